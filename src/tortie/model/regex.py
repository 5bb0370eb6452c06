"""Which texts are regular expressions to the programs whose documents these are: those of RE2, as Go's library has it.

Python's own expressions differ: they look around and refer back, and know neither `\\z` nor `\\pL` nor `[[:alpha:]]`.
Here is only told whether a text is one, in time linear in its length; nothing is matched.
Source: RE2's description of its syntax; the documentation of Go's package regexp/syntax.
"""

import re

MOST_REPEATS = 1000
"""Of anything, repeats within repeats multiplied."""
_LAST_CHARACTER = 0x10FFFF
_REPEAT = re.compile(r"(?:[*+?]|\{(?P<low>0|[1-9][0-9]*)(?P<comma>,)?(?P<high>(?<=,)(?:0|[1-9][0-9]*))?\})\??")
_GROUP = re.compile(r"\(\?(?:P?<(?P<name>[A-Za-z0-9_]+)>|[imsU]*(?:-[imsU]+)?(?P<end>[:)]))")
_CHARACTER = r"\\(?:[afnrtv]|0[0-7]{0,2}|[1-7][0-7]{1,2}|x[0-9a-fA-F]{2}|x\{(?P<code>[0-9a-fA-F]+)\}|[!-/:-@\[-`{-~ ])"
_SEVERAL = r"\\(?:[dDsSwW]|[pP](?:[CLMNPSZ]|\{\^?[A-Z][A-Za-z_]*\}))"
_ESCAPED = re.compile(rf"{_CHARACTER}|{_SEVERAL}|\\[AbBz]")
_IN_CLASS = re.compile(rf"{_CHARACTER}|[^\\]", re.DOTALL)
_SEVERAL_IN_CLASS = re.compile(rf"{_SEVERAL}|\[:\^?(?P<posix>[^:\[\]]*):\]")
_POSIX = [
    "alnum",
    "alpha",
    "ascii",
    "blank",
    "cntrl",
    "digit",
    "graph",
    "lower",
    "print",
    "punct",
    "space",
    "upper",
    "word",
    "xdigit",
]


class InvalidExpression(ValueError):
    """Text that is no regular expression; the message says what of it."""


def check_expression(text: str) -> None:
    """Nothing, if the text is a regular expression. Raises: InvalidExpression."""
    _Reader(text).read()


class _Reader:
    """Goes through the text once.

    `_last`: how often the thing before may be repeated within itself, None where nothing is that a repeat could follow.
    `_groups`: the greatest of these numbers so far, of the whole and of each group that is open.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._last: int | None = None
        self._is_repeated = False
        self._groups = [1]
        self._names: set[str] = set()

    def read(self) -> None:
        """Read all of it. Raises: InvalidExpression."""
        while self._at < len(self._text):
            if repeat := _REPEAT.match(self._text, self._at):
                self._repeat(repeat)
                continue
            self._is_repeated = False
            match self._text[self._at]:
                case "(":
                    self._open()
                case ")":
                    self._close()
                case "|":
                    self._last, self._at = None, self._at + 1
                case "[":
                    self._class()
                case "\\":
                    self._escape()
                case _:
                    self._last, self._at = 1, self._at + 1
        if len(self._groups) > 1:
            raise InvalidExpression("a parenthesis is not closed")

    def _repeat(self, found: re.Match[str]) -> None:
        if self._last is None:
            raise InvalidExpression(f"nothing is before {found[0]} that it could repeat")
        if self._is_repeated:
            raise InvalidExpression(f"{found[0]} repeats a repeat; put parentheses around it")
        if found["low"]:
            low = int(found["low"][:9])
            high = int(found["high"][:9]) if found["high"] else low
            self._last *= max(low, high, 1)
            if low > high or self._last > MOST_REPEATS:
                raise InvalidExpression(f"{found[0]} is no count of repeats up to {MOST_REPEATS}")
        self._groups[-1] = max(self._groups[-1], self._last)
        self._is_repeated, self._at = True, found.end()

    def _open(self) -> None:
        if not self._text.startswith("(?", self._at):
            self._groups.append(1)
            self._last, self._at = None, self._at + 1
            return
        found = _GROUP.match(self._text, self._at)
        if found is None:
            raise InvalidExpression(f"{self._text[self._at : self._at + 4]} begins nothing that RE2 knows")
        if name := found["name"]:
            if name in self._names:
                raise InvalidExpression(f"two groups are called {name}")
            self._names.add(name)
        if found["end"] != ")":  # else it only sets flags
            self._groups.append(1)
            self._last = None
        self._at = found.end()

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise InvalidExpression("a parenthesis is closed that was not opened")
        self._last = self._groups.pop()
        self._groups[-1] = max(self._groups[-1], self._last)
        self._at += 1

    def _escape(self) -> None:
        if self._text.startswith(r"\Q", self._at):
            end = self._text.find(r"\E", self._at + 2)
            is_empty = end == self._at + 2 or len(self._text) == self._at + 2
            self._last, self._at = (self._last if is_empty else 1), len(self._text) if end < 0 else end + 2
            return
        found = _ESCAPED.match(self._text, self._at)
        if found is None:
            raise InvalidExpression(f"{self._text[self._at : self._at + 2]} stands for nothing that RE2 knows")
        _code_point(found)
        self._last, self._at = 1, found.end()

    def _class(self) -> None:
        at = self._at + 2 if self._text.startswith("[^", self._at) else self._at + 1
        first = at
        while at == first or not self._text.startswith("]", at):
            at = self._member(at)
        self._last, self._at = 1, at + 1

    def _member(self, at: int) -> int:
        """Where a member of a class ends that begins there."""
        if several := _SEVERAL_IN_CLASS.match(self._text, at):
            if several["posix"] is not None and several["posix"] not in _POSIX:
                raise InvalidExpression(f"{several[0]} is no class of characters")
            return several.end()
        low = self._one(at)
        if not self._text.startswith("-", low.end()) or self._text.startswith("-]", low.end()):
            return low.end()
        high = self._one(low.end() + 1)
        if _code_point(low) > _code_point(high):
            raise InvalidExpression(f"{low[0]}-{high[0]} is no range: its end is before its beginning")
        return high.end()

    def _one(self, at: int) -> re.Match[str]:
        found = _IN_CLASS.match(self._text, at)
        if found is not None:
            _code_point(found)
            return found
        if at >= len(self._text):
            raise InvalidExpression("a bracket is not closed")
        raise InvalidExpression(f"{self._text[at : at + 2]} is no character of a class")


def _code_point(found: re.Match[str]) -> int:
    """The character that the text of one stands for; of an escape for several, any. Raises: InvalidExpression."""
    text = found[0]
    if code := found["code"]:
        value = int(code[-8:], 16) if not code[:-8].strip("0") else _LAST_CHARACTER + 1
        if value > _LAST_CHARACTER:
            raise InvalidExpression(f"{text[:20]} is beyond the last character")
        return value
    if len(text) == 1:
        return ord(text)
    if text[1] == "x":
        return int(text[2:], 16)
    if text[1].isdigit():
        return int(text[1:], 8)
    return {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}.get(text[1], ord(text[1]))
