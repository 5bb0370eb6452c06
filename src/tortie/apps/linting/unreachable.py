"""The rules of the subjects that no packet reaches, in whatever company their policies are met."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

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


@lru_cache(maxsize=1)
def never_met(world: World) -> tuple[NeverMet, ...]:
    """Every rule that is unreached wherever its policy is met; found once for each world."""
    return tuple(_never_met(world))


def _never_met(world: World) -> Iterator[NeverMet]:
    unmet: dict[Direction, dict[RuleRef, Unreached]] = {direction: {} for direction in Direction}
    met: dict[Direction, set[RuleRef]] = {direction: set() for direction in Direction}
    for together in companies(world):
        told, others = unmet[together.direction], met[together.direction]
        tiers = [_asked(tier, together) for tier in together.tiers]
        here = {one.ref: one for one in unreached(tiers, others, told)}
        others.update(ref for tier in tiers for ref, _ in tier.rules if ref not in here)
        told.update({ref: one for ref, one in here.items() if ref not in told})
    subjects = {one.policy.key: one.subject for one in world.policies if one.subject is not None and one.has_own_rules}
    for direction in Direction:
        for ref, found in unmet[direction].items():
            if ref not in met[direction] and (subject := subjects.get(ref.policy)):
                by = tuple(_named(each, ref.policy, direction) for each in found.by)
                yield NeverMet(subject, direction, ref.index, by, found.ends)


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
