"""Selectors that somebody writes to make the reader slow, or to make it fall (T-SEC-2): a seed makes the same ones."""

from collections.abc import Iterator
from random import Random

from tortie.model.selector import MAX_LENGTH

UNITS = [
    *(
        "a==''||",
        "a==''&&",
        "has(a)&&",
        "all()||",
        "global() || ",
        "!",
        "! ",
        "(",
        ")",
        "!(",
        "((a==''||",
        "{",
        "}",
        ",",
    ),
    *(
        "(!(a=='')||!(has(b)))&&",
        "a in {'x'}||",
        "a not in {}&&",
        "'",
        '"',
        "'a',",
        '"a" ',
        " ",
        "\t",
        "=",
        "!=",
        "&",
        "|",
    ),
    *(
        "has(",
        "has( a",
        "all(",
        "global(",
        "a",
        "a ",
        "in ",
        "not ",
        "starts ",
        "contains ",
        "a.b/c-d_e==",
        "é",
        "\n",
        "\0",
    ),
]
OPENINGS = [
    "",
    "a ",
    "a in {",
    "a not  in{",
    "a starts",
    "a == '",
    'a contains "',
    "(",
    "!",
    "has(",
    "has(a) && ",
    "x" * 600,
]
CLOSINGS = ["", "all()", "has(z)", "a==''", "'", '"', "'z'}", "}", ")", " with 'x'", "||", "&&"]
PIECES = [*UNITS, *OPENINGS[1:], *CLOSINGS[1:], "starts with", "ends\twith", "\U0001f600", "\ud800", "a" * 513]


def selectors(count: int, seed: int = 20) -> Iterator[str]:
    """That many, of five sorts in turn: repeated, nested, many labels or values, soup, far too long.

    A fifth of the first three is as long as a selector may be.
    """
    random = Random(seed)
    for number in range(count):
        length = MAX_LENGTH if number % 25 < 5 else random.choice((500, 1_024, 2_048))
        match number % 5:
            case 0:
                yield _repeated(random, length)
            case 1:
                yield _nested(random, length)
            case 2:
                yield _various(random, length)
            case 3:
                yield "".join(random.choices(PIECES, k=random.randint(1, 80)))
            case _:
                yield _repeated(random, random.choice((1_024, MAX_LENGTH + 1, 65_536)))


def _repeated(random: Random, length: int) -> str:
    opening, unit, closing = random.choice(OPENINGS), random.choice(UNITS), random.choice(CLOSINGS)
    return opening + unit * ((length - len(opening) - len(closing)) // len(unit)) + closing


def _nested(random: Random, length: int) -> str:
    """Brackets of which the innermost holds a lot; sometimes one is missing."""
    opening, closing = random.choice([("(", ")"), ("!(", ")"), ("has(k)&&(", ")"), ("a=='q'||(", ")||a=='r'")])
    depth = random.choice((10, 100, 330, 340, 349, 351, 999, 1_001))
    inner = _various(random, length - depth * (len(opening) + len(closing)))
    return opening * depth + inner + closing * (depth - random.choice((0, 0, 0, 1)))


def _various(random: Random, length: int) -> str:
    """Terms or values that all differ, so that nothing can be shared."""
    form, glue = random.choice(
        [("has(k{:x})", "&&"), ("a=='{:x}'", "||"), ("k{:x}!='v'", "||"), ("a{:x} in {{'x','y'}}", "&&")]
    )
    if random.random() < 0.3:
        values = ",".join(f"'{number:x}'" for number in range(max(1, length // 8)))
        return f"a in {{{values}}}"[:length] if random.random() < 0.1 else f"a in {{{values}}}"
    return glue.join(form.format(number) for number in range(max(1, length // (len(form) + len(glue) + 2))))
