"""The rules of the subjects that no packet reaches, in whatever company their policies are met."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tortie.apps.linting.companies import Together, companies
from tortie.apps.linting.reaching import Asked, Unreached, unreached
from tortie.apps.linting.subject import Subject
from tortie.apps.linting.world import World
from tortie.model.desired import TierPolicies
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey, Stage, TierAction
from tortie.model.rule import Rule
from tortie.model.verdict import RuleRef

_MAY_DENY = (Stage.NORMAL, Stage.FORWARD)
"""Classes in which the end of a tier may deny."""


@dataclass(frozen=True, slots=True)
class NeverMet:
    """A rule that no packet meets; `by` and `ends` as in `Unreached`, rules by their names."""

    subject: Subject
    direction: Direction
    index: int
    by: tuple[str, ...]
    ends: tuple[str, ...]


class _Place(NamedTuple):
    policy: PolicyKey
    direction: Direction
    number: int


@lru_cache(maxsize=1)
def never_met(world: World) -> tuple[NeverMet, ...]:
    """Every rule that is unreached wherever its policy is met; found once for each world."""
    return tuple(_never_met(world))


def _never_met(world: World) -> Iterator[NeverMet]:
    everywhere: dict[_Place, Unreached] = {}
    reached: set[_Place] = set()
    for together in companies(world):
        here = {one.ref: one for one in unreached([_asked(tier, together) for tier in together.tiers])}
        for tier in together.tiers:
            for policy in tier.policies:
                for index in range(len(policy.rules(together.direction))):
                    place = _Place(policy.key, together.direction, index)
                    if found := here.get(RuleRef(tier.tier.name, policy.key, index)):
                        everywhere.setdefault(place, found)
                    else:
                        reached.add(place)
    subjects = {one.policy.key: one for one in world.policies if one.has_own_rules}
    for place, found in everywhere.items():
        enforced = subjects.get(place.policy)
        if enforced is not None and enforced.subject is not None and place not in reached:
            by = tuple(_named(ref, place.policy, place.direction) for ref in found.by)
            yield NeverMet(enforced.subject, place.direction, place.number, by, found.ends)


def _asked(group: TierPolicies, together: Together) -> Asked:
    rules: list[tuple[RuleRef, Rule]] = [
        (RuleRef(group.tier.name, policy.key, index), rule)
        for policy in group.policies
        for index, rule in enumerate(policy.rules(together.direction))
    ]
    denies = group.tier.default_action is TierAction.DENY and together.stage in _MAY_DENY
    return Asked(group.tier.name, rules, denies)


def _named(ref: RuleRef, own: PolicyKey, direction: Direction) -> str:
    where = f"{direction.value}[{ref.index}]"
    return where if ref.policy == own else f"{where} of {ref.policy}"
