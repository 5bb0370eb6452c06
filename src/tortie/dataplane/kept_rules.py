"""What a driver made of lists of policy rules, as long as it holds: one of thousands of policies changes. Pure."""

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from tortie.model.walk import RuleList

T = TypeVar("T")


class _Kept(NamedTuple, Generic[T]):
    listed: RuleList
    made: T


_Key = tuple[int, str, bool]
Kept = Mapping[_Key, _Kept[T]]
"""By the identity of the rules, which it holds, the place that asks them, and whether denials are answered."""


class KeptRules(Generic[T]):
    """`before`: `kept` of the last time. `kept`: what was found again or added; the rest is forgotten."""

    def __init__(self, before: Kept[T]) -> None:
        self._before = before
        self.kept: dict[_Key, _Kept[T]] = {}

    def find(self, listed: RuleList, place: str, *, rejects: bool) -> T | None:
        """What was made of these very rules, of a policy of that name, in that place."""
        key = id(listed.rules), place, rejects
        known = self._before.get(key)
        if known is None or known.listed != listed:
            return None
        self.kept[key] = known
        return known.made

    def add(self, listed: RuleList, place: str, made: T, *, rejects: bool) -> None:
        """Keep what was made of the rules: of them, their names and the place alone."""
        self.kept[id(listed.rules), place, rejects] = _Kept(listed, made)
