r"""Characters that JSON writes as two escapes: "\ud83d\ude00" is one emoji, and libyaml knows no halves of characters.

    text ── mask: each pair becomes as many stand-ins ──▶ libyaml ── Masked.value ──▶ what it says

Because: JSON has no other escape for a character beyond U+FFFF (RFC 8259 section 7), and is YAML (YAML 1.2 section
1.2). Every pair keeps its length, so that places stay those of the text. Only double quotes have escapes: anywhere else
a pair is the twelve characters that are written there. A half alone is left for libyaml to refuse.
"""

import re
from bisect import bisect_left
from typing import NamedTuple

_ESCAPE = re.compile(
    r"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL
)  # any escape is taken whole, or the second half of \\ would begin one
_FIRST_STAND_IN, _STAND_INS = 0xE000, 0x1900
_LENGTH = len(r"\ud83d\ude00")


class Masked(NamedTuple):
    """A text without pairs, and where each begins, with what is written there. `blank` stands for each of them."""

    text: str
    places: list[int]
    pairs: list[str]
    blank: str

    def value(self, read: str, begin: int, end: int, *, has_escapes: bool) -> str:
        """What a scalar between these places of the text says, from what was read of it."""
        if self.blank not in read:
            return read
        first, last = bisect_left(self.places, begin), bisect_left(self.places, end)
        pieces = read.split(self.blank)
        for number, pair in enumerate(self.pairs[first:last]):
            pieces[number] += _character(pair) if has_escapes else pair
        return "".join(pieces)


def mask(text: str) -> Masked | None:
    """The text with a stand-in for each pair; None where it has none, as nearly always."""
    if "\\ud" not in text and "\\uD" not in text:
        return None
    found = [match for match in _ESCAPE.finditer(text) if match["pair"]]
    if not found or not (free := _unused(text)):
        return None
    blank = free * _LENGTH
    pieces: list[str] = []
    done = 0
    for match in found:
        pieces += [text[done : match.start()], blank]
        done = match.end()
    pieces.append(text[done:])
    return Masked("".join(pieces), [match.start() for match in found], [match[0] for match in found], blank)


def _unused(text: str) -> str:
    """A private character that the text has neither as itself nor as an escape; empty where it has all of them."""
    lower = text.lower()
    private = range(_FIRST_STAND_IN, _FIRST_STAND_IN + _STAND_INS)
    return next((chr(one) for one in private if chr(one) not in text and f"{one:04x}" not in lower), "")


def _character(pair: str) -> str:
    r"""The character of `\uXXXX\uYYYY`. Source: RFC 2781 section 2.2."""
    high, low = int(pair[2:6], 16), int(pair[8:12], 16)
    return chr(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF))
