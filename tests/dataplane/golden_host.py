"""A host with policy of every class, which golden files show in the words of each dataplane; and hosts by chance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from strategies import Sets, random_failsafes, random_normal_case
from tortie.dataplane.surroundings import Surroundings
from tortie.model.address import Net
from tortie.model.desired import EndpointState, MissingProfile, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, TCP, UDP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

BAD = SelectorSet(parse_selector("role == 'bad'"))
HTTP = NamedPortSet(parse_selector("role == 'web'"), None, "http")
FAILSAFES = Failsafes((FailsafePort(TCP, 22), FailsafePort(TCP, 179, Net(4, 0xC0000200, 24))), (FailsafePort(UDP, 53),))
MEMBERS: Mapping[str, IPSet] = {
    BAD.set_id: AddressSet([Net(4, 0x0A000000, 8), Net(4, 0x0A010000, 16), Net(6, 0xFD << 120, 8)]),
    HTTP.set_id: PortSet([PortMember(4, 0xC0000201, TCP, 8080)]),
}


def ported(protocol: int, first: int, last: int | None = None, side: Side = Side.DESTINATION) -> tuple[object, ...]:
    return ProtocolMatch(protocol), PortMatch(side, (PortRange(first, last or first),))


def policy(name: str, stage: Stage, ingress: tuple[Rule, ...], egress: tuple[Rule, ...] = ()) -> Policy:
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier="default",
        order=1.0,
        selector=ALL,
        ingress=ingress,
        egress=egress,
        do_not_track=stage is Stage.UNTRACKED,
        pre_dnat=stage is Stage.PRE_DNAT,
        apply_on_forward=True,
    )


def host() -> EndpointState:
    redis = policy(
        "redis",
        Stage.UNTRACKED,
        (Rule(Action.ALLOW, ported(TCP, 6379)),),  # type: ignore[arg-type]
        (Rule(Action.ALLOW, ported(TCP, 6379, side=Side.SOURCE)),),  # type: ignore[arg-type]
    )
    early = policy("early", Stage.PRE_DNAT, (Rule(Action.DENY, (SetMatch(Side.SOURCE, BAD),)),))
    web = policy(
        "web",
        Stage.NORMAL,
        (
            Rule(Action.LOG, (SetMatch(Side.SOURCE, BAD),)),
            Rule(Action.DENY, (SetMatch(Side.SOURCE, BAD), NetMatch(Side.SOURCE, (Net(4, 0x0A000001, 32),), True))),
            Rule(Action.PASS, (VersionMatch(4), ProtocolMatch(ICMP), IcmpMatch(8))),
            Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(80, 80),), (HTTP,)))),
        ),
    )
    groups = {
        (Stage.UNTRACKED, Direction.INGRESS): redis,
        (Stage.UNTRACKED, Direction.EGRESS): redis,
        (Stage.PRE_DNAT, Direction.INGRESS): early,
        (Stage.NORMAL, Direction.INGRESS): web,
        (Stage.FORWARD, Direction.INGRESS): web,
    }
    return EndpointState(
        interface=Interface(name="eth0", index=2),
        endpoint="web1-eth0",
        tiers={key: (TierPolicies(Tier("default"), (one,)),) for key, one in groups.items()},
        profiles=(
            Profile("open", {}, (Rule(Action.ALLOW, (ProtocolMatch(ICMP),)),), (Rule(Action.ALLOW),)),
            MissingProfile("gone"),
        ),
    )


def random_host(rng: Random) -> tuple[list[EndpointState], Mapping[str, IPSet], Surroundings]:
    """Endpoints of four interfaces, which share sets; one of them answers what it denies."""
    pool = Sets(rng, members=5)
    states = []
    for number in range(4):
        state = random_normal_case(rng, pool=pool).endpoint
        states.append(replace(state, interface=Interface(name=f"eth{number}", index=number), rejects=number == 0))
    return states, pool.sets, Surroundings(random_failsafes(rng))


def turned(rng: Random, states: Sequence[EndpointState]) -> list[EndpointState]:
    """The same endpoints a while later: policies came, went, moved to other interfaces and tiers, and are refused with
    an answer or without."""
    tiers = [state.tiers for state in states]
    rng.shuffle(tiers)
    return [
        replace(state, tiers=found, rejects=rng.random() < 0.5)
        for state, found in zip(states, map(partial(_turned, rng), tiers), strict=True)
    ]


def _turned(rng: Random, tiers: Mapping[Any, tuple[TierPolicies, ...]]) -> dict[Any, tuple[TierPolicies, ...]]:
    """Policies in another order or tier, some with their rules for the other direction; most as they are."""
    found = {}
    for where, groups in tiers.items():
        policies = [list(rng.sample(group.policies, len(group.policies))) for group in groups]
        given, taken = rng.choice(policies), rng.choice(policies)
        if given and rng.random() < 0.5:
            taken.append(given.pop())
        if given and rng.random() < 0.3:
            given[0] = replace(given[0], ingress=given[0].egress, egress=given[0].ingress)
        found[where] = tuple(replace(one, policies=tuple(its)) for one, its in zip(groups, policies, strict=True))
    return found
