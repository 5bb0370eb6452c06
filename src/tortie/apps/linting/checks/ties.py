"""Policies of one tier with the same order, or without any, where it matters which of them is asked first.

Names decide then, by their bytes. It matters where one allows a packet that the other denies, and nothing before them
decides it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tortie.apps.linting.check import Check
from tortie.apps.linting.companies import companies
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.growing import Growing
from tortie.apps.linting.reaching import Rules
from tortie.apps.linting.subject import Subject
from tortie.apps.linting.world import World
from tortie.apps.packets import describe
from tortie.calc.order import policy_rank
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Policy, PolicyKey
from tortie.model.rule import Action
from tortie.model.space import Space


@dataclass(frozen=True, slots=True)
class _Tie:
    """Two policies in the order in which they are asked, and a packet about which they differ."""

    first: Policy
    second: Policy
    packet: Packet


def _look(world: World) -> Iterator[Suspicion]:
    own = {one.policy.key: one.subject for one in world.policies if one.subject is not None and one.has_own_rules}
    told: set[PolicyKey] = set()
    for together in companies(world):
        for tier in together.tiers:
            for tie in _ties(tier.policies, together.direction):
                for policy, other in ((tie.second, tie.first), (tie.first, tie.second)):
                    if policy.key in own:
                        if policy.key not in told:
                            told.add(policy.key)
                            yield _suspicion(own[policy.key], policy, other, tie)
                        break


def _ties(policies: Sequence[Policy], direction: Direction) -> Iterator[_Tie]:
    before: list[Policy] = []
    for _, found in groupby(policies, key=lambda policy: policy_rank(policy)[:2]):
        tied = list(found)
        actions = {rule.action for policy in tied for rule in policy.rules(direction)}
        if len(tied) > 1 and {Action.ALLOW, Action.DENY} <= actions:
            yield from _differing(before, tied, direction)
        before += tied


def _differing(before: Sequence[Policy], tied: Sequence[Policy], direction: Direction) -> Iterator[_Tie]:
    """For each of the tied policies, the first one before it that decides otherwise about some packet."""
    rules = Rules(rule for policy in (*before, *tied) for rule in policy.rules(direction))
    packets = rules.packets
    earlier = (rule for policy in before for rule in policy.rules(direction) if rule.action is not Action.LOG)
    decided = packets.union(rules.most(rule) for rule in earlier)
    seen: list[tuple[Policy, _Decides]] = []
    allowed: Growing[PolicyKey] = Growing()
    denied: Growing[PolicyKey] = Growing()
    for policy in tied:
        mine = _decides(rules, policy, direction)
        shared = (*denied.shared_with(mine.allows), *allowed.shared_with(mine.denies))
        if any(space - decided for space in shared):
            for other, theirs in seen:
                difference = ((mine.allows & theirs.denies) | (mine.denies & theirs.allows)) - decided
                if packet := difference.sample():
                    yield _Tie(other, policy, packet)
                    break
        seen.append((policy, mine))
        allowed.add(mine.allows, policy.key)
        denied.add(mine.denies, policy.key)


@dataclass(frozen=True, slots=True)
class _Decides:
    """What a policy surely decides by itself."""

    allows: Space
    denies: Space


def _decides(rules: Rules, policy: Policy, direction: Direction) -> _Decides:
    allows = denies = taken = rules.packets.nothing
    for rule in policy.rules(direction):
        surely = rules.least(rule) - taken
        if rule.action is Action.ALLOW:
            allows = allows | surely
        elif rule.action is Action.DENY:
            denies = denies | surely
        if rule.action is not Action.LOG:
            taken = taken | rules.most(rule)
    return _Decides(allows, denies)


def _suspicion(subject: Subject, policy: Policy, other: Policy, tie: _Tie) -> Suspicion:
    place = "before" if policy is tie.first else "after"
    same = "has no order either" if policy.order is None else f"has order {policy.order:g} too"
    return Suspicion(
        subject=subject,
        way=("spec", "order"),
        found=f"is asked {place} {other.key}, which {same}, because of its name alone",
        why=f"one of them allows what the other one denies, such as {describe(tie.packet)}",
        remedy="give one of them another order",
    )


CHECK: Check[World] = Check("TT2007", "policies whose order is a tie", _look)
