"""Long chains of policy rules in parts, each of which is a chain that is jumped to. Pure.

Because: a change of one policy is a change of some dozen rules then, and not of thousands. Where a part begins depends
on the name of the rule that it begins with, so that rules which come and go leave all other parts as they are. Rules
that let a packet go on by returning from the tier's chain cannot be jumped to: their part stays in that chain.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar
from zlib import crc32

from tortie.dataplane.telling import policy_name
from tortie.model.rule import Rule
from tortie.model.verdict import RuleRef
from tortie.model.walk import RuleList

T = TypeVar("T")
LONG = 128
"""Chains of fewer rules stay whole."""
USUAL = 48
"""So many policy rules a part has on average."""


class Segment(NamedTuple, Generic[T]):
    """Rules of a driver for some policy rules that stand together. `begins`: the name of the part that begins here,
    empty where it goes on with the one before. `returns`: one of them returns."""

    begins: str
    rules: tuple[T, ...]
    returns: bool


def segments_of(
    listed: RuleList, rendered: Callable[[RuleRef, Rule], Iterable[T]], returns: Callable[[Rule], bool]
) -> tuple[Segment[T], ...]:
    """A list of policy rules as segments. `rendered`: a driver's rules for one; `returns`: whether one of them does."""
    found: list[Segment[T]] = []
    for ref, rule in listed.numbered():
        name = f"{policy_name(ref.policy)}.{ref.index}"
        begins = crc32(name.encode()) % USUAL == 0
        rules = tuple(rendered(ref, rule))
        if found and not begins:
            last = found.pop()
            found.append(Segment(last.begins, (*last.rules, *rules), last.returns or returns(rule)))
        else:
            found.append(Segment(name if begins else "", rules, returns(rule)))
    return tuple(found)


def parted(segments: Iterable[Segment[T]]) -> Iterator[tuple[str, tuple[T, ...]]]:
    """The rules in their order, in parts: the name of each, empty where it stays in the chain itself, and its rules."""
    listed = list(segments)
    is_long = sum(len(one.rules) for one in listed) >= LONG
    part: list[Segment[T]] = []
    for one in listed:
        if part and one.begins and is_long:
            yield _joined(part, is_long=is_long)
            part = []
        part.append(one)
    if part:
        yield _joined(part, is_long=is_long)


def _joined(part: list[Segment[T]], *, is_long: bool) -> tuple[str, tuple[T, ...]]:
    is_own = is_long and not any(one.returns for one in part)
    return part[0].begins if is_own else "", tuple(rule for one in part for rule in one.rules)
