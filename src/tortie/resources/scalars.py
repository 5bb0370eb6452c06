"""How an unquoted scalar is read: YAML 1.2 core with the words and bases that the reference allows.

A port range such as `20:21` is text here, never the sexagesimal number that YAML 1.1 makes of it.
Source: reference cli.md section 4.
"""

import math
import re
from functools import lru_cache

Value = None | bool | int | float | str

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {
    spelling: truth
    for truth, words in ((True, ("true", "yes", "on", "y")), (False, ("false", "no", "off", "n")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = r"[-+]?(0x[0-9a-fA-F]+(_[0-9a-fA-F]+)*|0b[01]+(_[01]+)*|0o[0-7]+(_[0-7]+)*|[0-9]+(_[0-9]+)*)\Z"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z"
_NOT_FINITE = r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
MAX_NUMBER = 64
"""Longer texts are text: no field needs such a number, and converting one could take quadratic time."""


class NotFinite(ValueError):
    """Infinity or NaN, which no field accepts and JSON cannot hold."""


@lru_cache(maxsize=4096)
def resolve(text: str) -> Value:
    """The value of an unquoted scalar.

    Raises: NotFinite.
    """
    if text in _NULL:
        return None
    boolean = _BOOLEANS.get(text)
    if boolean is not None:
        return boolean
    if text[0] not in "+-.0123456789" or len(text) > MAX_NUMBER:
        return text
    if re.match(_INTEGER, text):
        return _integer(text)
    if re.match(_FLOAT, text):
        number = float(text)
        if not math.isfinite(number):
            raise NotFinite(text)
        return number
    if re.match(_NOT_FINITE, text):
        raise NotFinite(text)
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").replace("_", "")
    prefix = digits[:2].lower()
    if prefix in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    # A leading zero means octal, unless a digit says that it cannot.
    is_octal = len(digits) > 1 and digits[0] == "0" and not set(digits) & {"8", "9"}
    return sign * int(digits, 8 if is_octal else 10)
