"""The order of tiers and policies, and an endpoint's policies sorted into stages, directions and tiers.

Source: semantics.md, rows "Tier without order", "Policy in a missing tier" and "Policies in a tier".
"""

from collections.abc import Iterable, Mapping
from math import inf

from tortie.model import names
from tortie.model.desired import TierPolicies
from tortie.model.packet import Direction
from tortie.model.policy import Policy, Stage, Tier, TierAction

BUILT_IN_TIERS = {
    name: Tier(name, float(order), TierAction(action)) for name, (order, action) in names.BUILT_IN_TIERS.items()
}
"""Tiers that exist without a document."""

Tiers = Mapping[tuple[Stage, Direction], tuple[TierPolicies, ...]]
PolicyRank = tuple[bool, float, str]


def policy_rank(policy: Policy) -> PolicyRank:
    """Sort key of a policy within its tier: missing order last, ties by `name/namespace/kind` as one string."""
    return policy.order is None, policy.order or 0.0, policy.key.order_text


def tier_named(name: str, tiers: Mapping[str, Tier]) -> tuple[Tier, bool]:
    """The tier, or what stands for one that has vanished (its order is after all others), and whether it has."""
    tier = tiers.get(name) or BUILT_IN_TIERS.get(name)
    return (tier, False) if tier else (Tier(name, inf, TierAction.DENY), True)


def arrange(policies: Iterable[Policy], tiers: Mapping[str, Tier]) -> Tiers:
    """The policies of one endpoint by stage and direction, tiers and policies in order."""
    by_tier: dict[str, list[Policy]] = {}
    for policy in policies:
        by_tier.setdefault(policy.tier, []).append(policy)
    found = [(tier_named(name, tiers)[0], members) for name, members in by_tier.items()]
    found.sort(key=lambda entry: (entry[0].order, entry[0].name))
    arranged: dict[tuple[Stage, Direction], list[TierPolicies]] = {}
    for tier, members in found:
        members.sort(key=policy_rank)
        parts: dict[tuple[Stage, Direction], list[Policy]] = {}
        for policy in members:
            for stage in policy.stages:
                for direction in policy.governs:
                    parts.setdefault((stage, direction), []).append(policy)
        for place, part in parts.items():
            arranged.setdefault(place, []).append(TierPolicies(tier, tuple(part)))
    return {
        (stage, direction): tuple(arranged[stage, direction])
        for stage in Stage
        for direction in Direction
        if (stage, direction) in arranged
    }


def reuse(new: Tiers, old: Tiers) -> Tiers:
    """The new tiers with every part that did not change taken from the old ones, or the old ones if none did.

    Policies are compared by identity: the engine keeps one object for equal values, and comparing thousands of rules
    would cost more than the change.
    """
    parts = {place: old[place] if _is_same(part, old.get(place)) else part for place, part in new.items()}
    is_unchanged = parts.keys() == old.keys() and all(part is old[place] for place, part in parts.items())
    return old if is_unchanged else parts


def _is_same(new: tuple[TierPolicies, ...], old: tuple[TierPolicies, ...] | None) -> bool:
    return (
        old is not None
        and len(new) == len(old)
        and all(
            a.tier == b.tier
            and len(a.policies) == len(b.policies)
            and all(p is q for p, q in zip(a.policies, b.policies, strict=True))
            for a, b in zip(new, old, strict=True)
        )
    )
