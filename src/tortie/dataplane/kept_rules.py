"""What a driver made of policy rules, for as long as it still holds: of thousands, one changes at a time. Pure."""

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from tortie.model.rule import Rule
from tortie.model.verdict import RuleRef

T = TypeVar("T")


class _Kept(NamedTuple, Generic[T]):
    rule: Rule
    ref: RuleRef
    made: T


_Key = tuple[int, str, bool]
Kept = Mapping[_Key, _Kept[T]]
"""By the identity of the rule, which it holds, the place that asks it, and whether denials are answered."""


class KeptRules(Generic[T]):
    """`before`: `kept` of the last time. `kept`: what was found again or added; the rest is forgotten."""

    def __init__(self, before: Kept[T]) -> None:
        self._before = before
        self.kept: dict[_Key, _Kept[T]] = {}

    def find(self, rule: Rule, ref: RuleRef, place: str, *, rejects: bool) -> T | None:
        """What was made of this very rule, under this name, in that place."""
        key = id(rule), place, rejects
        known = self._before.get(key)
        if known is None or known.rule is not rule or known.ref != ref:
            return None
        self.kept[key] = known
        return known.made

    def add(self, rule: Rule, ref: RuleRef, place: str, made: T, *, rejects: bool) -> None:
        """Keep what was made of a rule: of it, its name and place alone."""
        self.kept[id(rule), place, rejects] = _Kept(rule, ref, made)
