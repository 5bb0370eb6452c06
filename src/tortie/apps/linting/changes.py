"""Changes of a document: what they make of its value. How they are written into its text is in `retouching.py`."""

from dataclasses import dataclass, replace
from typing import assert_never

from tortie.apps.linting.subject import Way
from tortie.resources.plain import Plain


@dataclass(frozen=True, slots=True)
class Replace:
    """Another value in the place of a scalar."""

    way: Way
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Insert:
    """Another field of the mapping that has `after`, behind it."""

    way: Way
    after: str
    key: str
    value: Plain


@dataclass(frozen=True, slots=True)
class Append:
    """More items at the end of a list."""

    way: Way
    values: tuple[Plain, ...]


Change = Replace | Insert | Append


def below(change: Change, prefix: Way) -> Change:
    """The same change, of what lies there."""
    return replace(change, way=(*prefix, *change.way))


def changed(value: Plain, change: Change) -> Plain:
    """The value after the change. Raises: LookupError where there is nothing to be changed."""
    return _changed(value, change.way, change)


def _changed(value: Plain, way: Way, change: Change) -> Plain:
    if not way:
        return _here(value, change)
    key = way[0]
    if isinstance(value, dict) and isinstance(key, str):
        return {**value, key: _changed(value[key], way[1:], change)}
    if isinstance(value, list) and isinstance(key, int):
        return [*value[:key], _changed(value[key], way[1:], change), *value[key + 1 :]]
    raise LookupError(f"nothing is at {key!r}")


def _here(value: Plain, change: Change) -> Plain:
    match change:
        case Replace():
            return change.value
        case Insert() if isinstance(value, dict) and change.key not in value:
            return {**value, change.key: change.value}
        case Append() if isinstance(value, list):
            return [*value, *change.values]
        case Insert() | Append():
            raise LookupError("nothing can be put there")
        case _:
            assert_never(change)
