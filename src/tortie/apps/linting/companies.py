"""Which policies a packet meets together, as far as that is known.

Where endpoints are known: at each endpoint all policies that select it, in their tiers. Where they are not: the
policies of one tier with the same selector, and those that select everything. A policy that is not here could pass
packets on from one tier to the next, so that nothing is said there across tiers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tortie.apps.linting.world import Enforced, World
from tortie.calc.order import arrange
from tortie.model.desired import TierPolicies
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Stage
from tortie.model.selector import ALL


@dataclass(frozen=True, slots=True)
class Together:
    """Policies of one class and direction that packets meet one after another, by tiers."""

    stage: Stage
    direction: Direction
    tiers: Sequence[TierPolicies]


def companies(world: World) -> Iterator[Together]:
    """Every such company, each once."""
    # What a policy with http matches does is not enforced, so that nothing can be said of it, nor of others beside it.
    policies = [one for one in world.policies if one.policy.reason_refused is None]
    placed: set[PolicyKey] = set()
    combinations: dict[tuple[PolicyKey, ...], list[Policy]] = {}
    if world.knows_endpoints and world.knows_labels:
        for endpoint in world.endpoints:
            selected = [one.policy for one in policies if one.policy.selector.matches(endpoint.labels)]
            combinations.setdefault(tuple(one.key for one in selected), selected)
            placed |= {one.key for one in selected}
    for found in combinations.values():
        yield from _arranged(world, found)
    for found in _by_selector([one for one in policies if one.policy.key not in placed]):
        yield from _arranged(world, found)


def _by_selector(policies: Sequence[Enforced]) -> Iterator[list[Policy]]:
    """Those of each tier that certainly hold for the same endpoints."""
    by_tier: dict[str, dict[str, list[Policy]]] = {}
    for one in policies:
        by_tier.setdefault(one.policy.tier, {}).setdefault(one.policy.selector.canonical, []).append(one.policy)
    for selectors in by_tier.values():
        everywhere = selectors.get(ALL.canonical, [])
        for selector, found in selectors.items():
            yield found if selector == ALL.canonical else [*found, *everywhere]


def _arranged(world: World, policies: Sequence[Policy]) -> Iterator[Together]:
    for (stage, direction), tiers in arrange(policies, world.tiers).items():
        yield Together(stage, direction, tiers)
