"""Regular expressions: what RE2 takes, where Python's own matcher differs, and that bad ones are told in a sentence."""

import time
from contextlib import suppress

import pytest

from tortie.model.regex import InvalidExpression, check_expression

BOTH = [
    "",
    "a|b|",
    "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)",
    "(?i)eth",
    "(?P<name>x)",
    "a{2}b{2,}c{2,3}?",
    "[]a]",
    "[^]a-]",
    "[a\\]\\d-]",
    r"\x41\n\.\-\bx\B",
    "^*",
    "(a*)*",
    "{",
    "a{,3}",
    "a{x}",
]
ONLY_RE2 = [
    r"\z",
    r"\pL\PN\p{Greek}\p{^Lu}",
    r"\x{41}\x{10FFFF}",
    r"\Q(a.b\E+",
    r"\Q(never closed",
    "[[:alpha:][:^digit:]]",
    "(?<name>x)",
    "(?U)a+",
    "(?i-s:x)",
    "a{01}",
    r"\_",
]
ONLY_PYTHON = [
    "(?=x)",
    "(?!x)",
    "(?<=x)y",
    "(?<!x)y",
    "(?P<n>a)(?P=n)",
    r"(a)\1",
    r"x\Z",
    "(?#remark)",
    "(?>x)",
    "(?x)a",
    "(?a)x",
    "a++",
    "a*+",
    "a{1001}",
    "(a{100}){11}",
    r"\N{DIGIT ONE}",
    r"\u0041",
    r"[\b]",
]
NEITHER = [
    "(",
    ")",
    "a)",
    "[",
    "[a",
    "[]",
    "[z-a]",
    "*a",
    "(*a)",
    "a|+",
    "a**",
    "a{3,2}",
    "(?",
    "(?P<a>x)(?P<a>y)",
    "(?P<a-b>x)",
    "\\",
    r"\x{110000}",
    r"[\x{110000}]",
    r"\pX",
    "[[:letters:]]",
    "(?i-)",
]


@pytest.mark.parametrize("text", BOTH + ONLY_RE2)
def test_what_re2_takes_is_an_expression(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize("text", ONLY_PYTHON + NEITHER)
def test_what_re2_does_not_take_is_none_and_the_reason_is_a_sentence(text: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        check_expression(text)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(?=x)", r"\(\?=x begins nothing that RE2 knows"),
        ("a++", r"\+ repeats a repeat; put parentheses around it"),
        ("eth[0-9", "a bracket is not closed"),
        (r"(a)\1", r"\\1 stands for nothing that RE2 knows"),
        ("(a{100}){11}", r"\{11\} is no count of repeats up to 1000"),
    ],
)
def test_the_reason_names_the_part(text: str, reason: str) -> None:
    with pytest.raises(InvalidExpression, match=f"^{reason}$"):
        check_expression(text)


@pytest.mark.parametrize("text", ["(" * 200_000, "[" * 200_000, "a{1}" * 100_000, r"\Qa\E" * 100_000, "[[:" * 100_000])
def test_any_text_is_read_in_linear_time(text: str) -> None:
    began = time.process_time()
    with suppress(InvalidExpression):
        check_expression(text)
    assert time.process_time() - began < 2
