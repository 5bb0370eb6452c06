"""The value types of parameters: how each is read from text and from a document, and how the latter becomes text.

Text is what environment, configuration file and annotations hold; the field of a document is flattened to it, so that a
value means the same wherever it comes from. Lists are in `lists.py`.
Source: reference config.md sections 2, 3 and 10.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tortie.model.address import InvalidAddress, parse_address
from tortie.resources.fields import Decoder, Json, Missing, decoder
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import (
    DSCP_VALUES,
    INT_OR_STRING,
    boolean,
    dscp,
    duration,
    enum,
    integer,
    optional_text,
    pattern,
    port,
    seconds,
)
from tortie.resources.values import regex as regex_field

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

_TRUE, _FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")
# Source: Go's language specification, "Integer literals"; documents and files hold them with a sign too.
_INTEGER = r"([-+]?)(0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)\Z"
_LONGEST_INTEGER = 128
_DECIMAL = r"[-+]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][-+]?[0-9]{1,2})?\Z"
LONGEST_REGEX = 1024


class Unreadable(ValueError):
    """Text that is no value of its type; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Syntax(Generic[V_co]):
    """A value type.

    `form` tells people what is expected. `zero` is what the word `none` stands for. `doubts` says what of a readable
    text does not count. `show` is the text as people are shown it, whether it can be read or not.
    """

    form: str
    parse: Callable[[str], V_co]
    decode: Decoder
    zero: V_co
    flatten: Callable[[Json], str]
    doubts: Callable[[str], Sequence[str]] = lambda text: ()
    show: Callable[[str], str] = str


def plain(*types: type) -> Callable[[Json], str]:
    """The flattening of a single value of one of these types. It raises Unreadable for others, as all of them do.

    Because: a stored document may be damaged, and what is no value of its field must not be taken for one.
    """

    def flatten(value: Json) -> str:
        if type(value) not in types:
            raise misshapen(value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return flatten


def misshapen(value: Json) -> Unreadable:
    """The error that a stored value has not the shape that its field has."""
    return Unreadable(f"{shorten(repr(value))} is no value of the field")


def unreadable(text: str, what: str) -> Unreadable:
    """The error that this text is not that."""
    return Unreadable(f"{shorten(text)!r} is {what}")


# ---- switches and words


def _read_switch(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise unreadable(text, "neither true nor false")
    return text.lower() in _TRUE


def _show_switch(text: str) -> str:
    return "true" if text.lower() in _TRUE else "false" if text.lower() in _FALSE else text


SWITCH = Syntax("true or false", _read_switch, boolean, zero=False, flatten=plain(bool), show=_show_switch)


def word(
    *words: str, ignore_case: bool = False, may_be_empty: bool = False, field: Decoder | None = None
) -> Syntax[str]:
    """One of the words, in text in any letter case.

    `ignore_case` and `may_be_empty` are for documents; empty text counts as absent there. `field`: documents differ.
    """
    known = {each.lower(): each for each in words}
    expected = ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]

    def read(text: str) -> str:
        if text.lower() not in known:
            raise unreadable(text, f"none of {', '.join(words)}")
        return known[text.lower()]

    decode = field or enum(*words, ignore_case=ignore_case, may_be_empty=may_be_empty)

    def show(text: str) -> str:
        return known.get(text.lower(), text)

    return Syntax(expected, read, decode, zero=known.get("none", ""), flatten=plain(str), show=show)


def _dscp() -> Syntax[int | str]:
    name, value = word(*DSCP_VALUES, ignore_case=True), whole(0, 63)

    def read(text: str) -> int | str:
        return value.parse(text) if re.match(_INTEGER, text) else name.parse(text)

    return Syntax("0 to 63, or a name such as AF21", read, dscp, zero=0, flatten=plain(int, str))


# ---- numbers


def read_integer(text: str) -> int:
    """A whole number as Go writes them: decimal, or with 0x, 0o, 0b, or octal after a 0."""
    found = re.match(_INTEGER, text) if len(text) <= _LONGEST_INTEGER else None
    if found is None:
        raise unreadable(text, "no whole number")
    sign, digits = found.groups()
    is_octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "_01234567"
    value = int(digits, 8 if is_octal else 0)
    return -value if sign == "-" else value


def whole(first: int = -(2**63), last: int = 2**63 - 1, *, field: Decoder | None = None) -> Syntax[int]:
    """A whole number in that range; `field`: documents have another one."""
    is_any = (first, last) == (-(2**63), 2**63 - 1)
    form = "a whole number" if is_any else f"{first} to {last}" if last < 2**63 - 1 else f"{first} or more"

    def read(text: str) -> int:
        value = read_integer(text)
        if not first <= value <= last:
            raise unreadable(text, f"not in the range {first} to {last}")
        return value

    bounds = (None if first == -(2**63) else first, None if last == 2**63 - 1 else last)
    return Syntax(form, read, field or integer(*bounds), zero=0, flatten=plain(int))


def _read_mask(text: str) -> int:
    value = read_integer(text)
    if not 0 <= value < 2**32 or value.bit_count() < 2:
        raise unreadable(text, "no mask of 32 bits with at least two of them set")
    return value


def _read_decimal(text: str) -> float:
    if not re.match(_DECIMAL, text) or not math.isfinite(value := float(text)):
        raise unreadable(text, "no plain number")
    return value


def _flat(length: Json, scale: int) -> str:
    """A document's duration as a plain number."""
    found = seconds(length.removeprefix("-")) if isinstance(length, str) else None
    if found is None or not isinstance(length, str):
        raise misshapen(length)
    return f"{'-' if length.startswith('-') else ''}{round(found * scale, 9):.15g}"


def _time(unit: str, scale: int, *, may_be_negative: bool = False) -> Syntax[float]:
    return Syntax(
        f"a number of {'milliseconds' if unit == 'ms' else 'seconds'}; in documents a duration such as 1m30s",
        _read_decimal,
        duration(may_be_negative=may_be_negative, is_plain=not may_be_negative),
        zero=0,
        flatten=lambda value: _flat(value, scale),
        show=lambda text: f"{text}{unit}" if re.match(_DECIMAL, text) else text,
    )


WHOLE = whole()
PORT_NUMBER = whole(0, 65535)
MASK = Syntax(
    "a mask of 32 bits, decimal or 0x..., at least two of them set",
    _read_mask,
    integer(0, 2**32 - 1),
    zero=0,
    flatten=lambda value: f"{int(plain(int)(value)):#x}",
)
SECONDS = _time("s", 1)
SIGNED_SECONDS = _time("s", 1, may_be_negative=True)
MILLISECONDS = _time("ms", 1000)
DSCP = _dscp()


# ---- text


def _any(text: str) -> str:
    return text


def words(field: Decoder = optional_text, form: str = "text") -> Syntax[str]:
    """Free text; `field`: what documents may hold of it."""
    return Syntax(form, _any, field, zero="", flatten=plain(str))


def matching(form: str, expected: str) -> Decoder:
    """Decoder of text of that form; empty text counts as absent."""
    return pattern("TT1116", form, expected, may_be_empty=True)


def _address(version: int) -> Syntax[str]:
    expected = f"an IPv{version} address"

    def is_one(text: str) -> bool:
        try:
            return "/" not in text and parse_address(text)[0] == version
        except InvalidAddress:
            return False

    def is_plain(text: str) -> bool:
        # Fields take no IPv4 address that is written as an IPv6 one (resources.md section 2).
        return is_one(text) and (":" in text) == (version == 6)

    def read(text: str) -> str:
        if not is_one(text):
            raise unreadable(text, f"not {expected}")
        return text

    return Syntax(expected, read, pattern("TT1106", is_plain, expected, may_be_empty=True), zero="", flatten=plain(str))


def _read_regex(text: str) -> str:
    from tortie.model.regex import InvalidExpression, check_expression  # few are set

    if len(text) > LONGEST_REGEX:
        raise unreadable(text, f"longer than {LONGEST_REGEX} characters")
    try:
        check_expression(text)
    except InvalidExpression as error:
        raise Unreadable(f"{shorten(text)!r} is no regular expression: {error}") from None
    return text


def read_span(text: str) -> tuple[int, int]:
    """First and last port. Raises: Unreadable."""
    low, colon, high = text.partition(":")
    try:
        first, last = read_integer(low), read_integer(high if colon else low)
    except Unreadable:
        raise unreadable(text, "no port and no range of ports first:last") from None
    if not 0 <= first <= last <= 65535:
        raise unreadable(text, "no range of ports within 0 to 65535")
    return first, last


@decoder(**INT_OR_STRING)
def _numeric_port(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A port or a range of ports, no name."""
    value = port(node, path, problems)
    if isinstance(value, str) and ":" not in value:
        problems.add("TT1107", node, path, "a port name", found=shorten(value), expected="a port or first:last")
    return value


TEXT = words()
PATH = words(form="a path")
IPV4, IPV6 = _address(4), _address(6)
REGEX = Syntax("a regular expression", _read_regex, regex_field, zero="", flatten=plain(str))
PORT_RANGE = Syntax("a port or first:last", read_span, _numeric_port, zero=(0, 0), flatten=plain(int, str))
