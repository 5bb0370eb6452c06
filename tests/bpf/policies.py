"""Policies of the shapes that tables have trouble with, as cases with one untracked ingress policy and no failsafes."""

from collections.abc import Mapping, Sequence

from strategies import Case
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, SelectorSet
from tortie.model.matches import SetMatch
from tortie.model.packet import TCP, Direction, Packet, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Rule
from tortie.model.selector import ALL, parse_selector

NO_FAILSAFES = Failsafes((), ())


def case_of(
    *tiers: Sequence[Rule],
    sets: Mapping[str, IPSet] | None = None,
    failsafes: Failsafes = NO_FAILSAFES,
    vlans: frozenset[int] = frozenset(),
) -> Case:
    """Each argument is the one policy of a tier."""
    groups = tuple(
        TierPolicies(Tier(f"tier-{number}", float(number)), (_policy(f"tier-{number}", tuple(rules)),))
        for number, rules in enumerate(tiers)
    )
    endpoint = EndpointState(
        interface=Interface(name="eth0", index=2, vlans=vlans),
        endpoint="host-eth0",
        tiers={(Stage.UNTRACKED, Direction.INGRESS): groups},
    )
    return Case(endpoint, sets or {}, failsafes)


def _policy(tier: str, rules: tuple[Rule, ...]) -> Policy:
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", f"policy-of-{tier}"),
        tier=tier,
        order=1.0,
        selector=ALL,
        ingress=rules,
        do_not_track=True,
        apply_on_forward=True,
    )


def source(name: str) -> SelectorSet:
    """A set with that name."""
    return SelectorSet(parse_selector(f'set == "{name}"'))


def member_of(name: str, side: Side = Side.SOURCE, *, negated: bool = False) -> SetMatch:
    """The address on that side is in the set."""
    return SetMatch(side, source(name), negated)


def sets_of(**members: AddressSet) -> Mapping[str, IPSet]:
    """Sets by the name that `source` gives them."""
    return {source(name).set_id: found for name, found in members.items()}


def tcp(version: int, source: int, destination: int = 1, *, sport: int = 40000, dport: int = 80) -> Packet:
    """A TCP packet."""
    return Packet(
        version=version,
        protocol=TCP,
        source=source,
        destination=destination,
        source_port=sport,
        destination_port=dport,
    )
