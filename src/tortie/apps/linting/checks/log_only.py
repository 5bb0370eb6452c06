"""Policies that only log, alone in their tier: Log decides nothing, so that the end of the tier denies everything."""

from collections.abc import Iterator

from tortie.apps.linting.bodies import POLICIES
from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.world import Enforced, World
from tortie.model.packet import Direction
from tortie.model.policy import Stage, TierAction
from tortie.model.rule import Action


def _look(world: World) -> Iterator[Suspicion]:
    for enforced in world.policies:
        subject, policy = enforced.subject, enforced.policy
        tier = world.tiers.get(policy.tier)
        is_denied = tier is not None and tier.default_action is TierAction.DENY
        if (
            subject is None
            or subject.resource.kind not in POLICIES
            or not is_denied
            or Stage.NORMAL not in policy.stages
        ):
            continue
        for direction in Direction:
            rules = policy.rules(direction)
            if (
                rules
                and all(rule.action is Action.LOG for rule in rules)
                and not _is_followed(world, enforced, direction)
            ):
                yield Suspicion(
                    subject=subject,
                    way=("spec", direction.value),
                    found=f"only logs {direction.value}, and no other policy here decides it in tier {policy.tier}",
                    why="Log decides nothing, and the end of the tier denies everything that the policy applies to",
                    remedy="add an Allow, Pass or Deny rule behind the Log, whichever is meant",
                )


def _is_followed(world: World, enforced: Enforced, direction: Direction) -> bool:
    """Whether the tier has another policy for that direction, so that somebody else may decide."""
    return any(
        other is not enforced
        and other.policy.tier == enforced.policy.tier
        and Stage.NORMAL in other.policy.stages
        and direction in other.policy.governs
        for other in world.policies
    )


CHECK: Check[World] = Check("TT2010", "a policy that only logs, and denies", _look)
