"""The return rule that was forgotten is found where it is, and nowhere else."""

from dataclasses import replace

import pytest

from tortie.apps.trace.hints import forgotten_request
from tortie.model.address import parse_net
from tortie.model.conntrack import ConnectionTable
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import NamedPortSet, PortMember, PortSet
from tortie.model.matches import Match, NetMatch, PortMatch, PortRange, ProtocolMatch, VersionMatch
from tortie.model.packet import ACK, ICMP, RST, SYN, TCP, UDP, Direction, Packet, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL

IN, OUT = Direction.INGRESS, Direction.EGRESS
REDIS = (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(6379, 6379), PortRange(7000, 7010))))
DENY_ALL = Rule(Action.DENY)
REPLY = Packet(
    version=4, protocol=TCP, source=5, source_port=6379, destination=9, destination_port=40000, tcp_flags=SYN | ACK
)
HTTP = NamedPortSet(ALL, TCP, "http")
SETS = {HTTP.set_id: PortSet([PortMember(4, 5, TCP, 6379)])}


def policy(*rules: Rule, direction: Direction = IN, untracked: bool = True, name: str = "redis") -> Policy:
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier="t",
        order=None,
        selector=ALL,
        ingress=rules if direction is IN else (),
        egress=rules if direction is OUT else (),
        governs=frozenset({direction}),
        do_not_track=untracked,
        apply_on_forward=untracked,
    )


def allow(*matches: Match) -> Rule:
    return Rule(Action.ALLOW, matches)


def hint(
    *policies: Policy,
    packet: Packet = REPLY,
    direction: Direction = OUT,
    profiles: tuple[Profile, ...] = (),
    failsafes: Failsafes | None = None,
) -> str | None:
    """The hint for the packet, as `trace` asks for it."""
    tiers = {}
    for stage in (Stage.UNTRACKED, Stage.NORMAL):
        for way in Direction:
            kept = tuple(one for one in policies if stage in one.stages and way in one.governs)
            tiers[stage, way] = (TierPolicies(Tier("t", 1.0), kept),) if kept else ()
    state = EndpointState(interface=Interface(name="eth0", index=2), endpoint="hep", tiers=tiers, profiles=profiles)
    ports = failsafes or Failsafes((), ())
    found = evaluate(packet, direction, state, SETS, ports, ConnectionTable().relation(packet))
    return forgotten_request(packet, direction, state, SETS, ports, found)


ADD = "GlobalNetworkPolicy(redis), rule 0, so nothing remembers it: add the mirrored rule"


@pytest.mark.parametrize("flags", [SYN | ACK, ACK, SYN, RST])
def test_a_reply_of_a_server_is_recognised_whatever_its_flags(flags: int) -> None:
    found = hint(policy(allow(*REDIS)), packet=replace(REPLY, tcp_flags=flags))
    assert found is not None
    assert f"{ADD} (Allow, protocol TCP, source ports [6379, 7000:7010]) to its egress" in found


def test_a_reply_to_a_client_is_recognised_too() -> None:
    asked = policy(allow(ProtocolMatch(TCP)), direction=OUT)
    arriving = replace(REPLY, source=9, destination=5)
    assert f"{ADD} (Allow, protocol TCP) to its ingress" in str(hint(asked, packet=arriving, direction=IN))


def test_normal_policy_that_denies_the_reply_is_no_excuse() -> None:
    block = policy(DENY_ALL, direction=OUT, untracked=False, name="block")
    assert hint(policy(allow(*REDIS)), block, packet=replace(REPLY, tcp_flags=ACK)) is not None


@pytest.mark.parametrize(
    ("matches", "words"),
    [
        ((), "(Allow)"),
        ((ProtocolMatch(TCP), VersionMatch(4)), "(Allow, protocol TCP)"),
        ((ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (), (HTTP,))), "(Allow, protocol TCP, source ports [http])"),
        (
            (ProtocolMatch(TCP), NetMatch(Side.SOURCE, (parse_net("0.0.0.0/8", strict=True),))),
            "(Allow, protocol TCP, and what else it asks, with source and destination swapped)",
        ),
    ],
)
def test_the_mirrored_rule_is_told(matches: tuple[Match, ...], words: str) -> None:
    assert words in str(hint(policy(allow(*matches))))


def test_answers_of_other_protocols_are_recognised() -> None:
    assert hint(policy(allow(ProtocolMatch(UDP))), packet=replace(REPLY, protocol=UDP)) is not None
    answer = Packet(version=4, protocol=ICMP, source=5, destination=9, icmp_type=0, icmp_code=0)
    assert "protocol ICMP" in str(hint(policy(allow(ProtocolMatch(ICMP))), packet=answer))


@pytest.mark.parametrize(
    "policies",
    [
        (),
        (policy(DENY_ALL),),
        (policy(allow(*REDIS), direction=OUT),),
        (policy(allow(*REDIS), untracked=False),),
        (policy(DENY_ALL, allow(*REDIS)),),
        (policy(Rule(Action.PASS), allow(*REDIS)),),
        (policy(allow(ProtocolMatch(UDP))),),
        (policy(allow(*REDIS)), policy(allow(), direction=OUT)),
        (policy(allow(*REDIS)), policy(DENY_ALL, direction=OUT)),
        (policy(allow(*REDIS)), policy(allow(), direction=OUT, untracked=False)),
    ],
)
def test_nothing_is_said_where_nothing_was_forgotten(policies: tuple[Policy, ...]) -> None:
    packet = replace(REPLY, tcp_flags=ACK)
    assert hint(*policies, packet=packet) is None


def test_a_new_connection_is_no_reply_unless_a_port_says_so() -> None:
    """Everything that arrives is allowed untracked: that says nothing of what the host begins itself."""
    assert hint(policy(allow(ProtocolMatch(TCP))), packet=replace(REPLY, tcp_flags=SYN)) is None
    assert hint(policy(allow(ProtocolMatch(TCP))), packet=REPLY) is not None


def test_a_request_to_a_failsafe_port_was_tracked() -> None:
    ssh = replace(REPLY, source_port=22)
    assert hint(policy(allow()), packet=ssh, failsafes=Failsafes()) is None
    assert hint(policy(allow()), packet=ssh) is not None


def test_a_profile_that_allows_it_needs_no_hint() -> None:
    packet = replace(REPLY, tcp_flags=ACK)
    assert hint(policy(allow(*REDIS)), packet=packet, profiles=(Profile("p", {}, (), (allow(),)),)) is None


@pytest.mark.parametrize("kind", [8, 3, 9])
def test_icmp_that_answers_nothing_gets_no_hint(kind: int) -> None:
    packet = Packet(version=4, protocol=ICMP, source=5, destination=9, icmp_type=kind, icmp_code=0)
    assert hint(policy(allow()), packet=packet) is None
