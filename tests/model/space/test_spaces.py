"""Sets of packets as people ask for them; that they are right for every rule: test_space_agrees.py."""

import pytest

from tortie.model.address import Net, parse_net
from tortie.model.ipset import AddressSet, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import ICMP, TCP, UDP, Fragment, Packet, Side
from tortie.model.policy import PolicyKey
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector
from tortie.model.space import PacketSpace, reach
from tortie.model.verdict import tier_end
from tortie.model.walk import Group, RuleList

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
PARTNERS = SelectorSet(parse_selector("role == 'partner'"))


def nets(*texts: str) -> tuple[Net, ...]:
    return tuple(parse_net(text, strict=True) for text in texts)


TEN, TEN_ONE, V6 = nets("10.0.0.0/8"), nets("10.1.0.0/16"), nets("2001:db8::/32")
REDIS = Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(DESTINATION, (PortRange(6379, 6379),))))


@pytest.fixture
def packets() -> PacketSpace:
    return PacketSpace({}, [REDIS], [TEN, TEN_ONE, V6])


def group(*rules: Rule) -> Group:
    policy = PolicyKey("GlobalNetworkPolicy", "", "p")
    return Group(tier_end("default"), (RuleList("default", policy, rules),), True)


def test_equal_sets_of_packets_are_equal_however_they_were_made(packets: PacketSpace) -> None:
    ten, inner = packets.nets(SOURCE, TEN), packets.nets(SOURCE, TEN_ONE)
    assert ten | inner == ten
    assert ten & inner == inner
    assert (ten - inner) | inner == ten
    assert inner <= ten
    assert not ten <= inner
    assert not inner - ten


def test_the_difference_of_a_net_and_one_inside_is_told_in_nets(packets: PacketSpace) -> None:
    found = (packets.nets(SOURCE, TEN) - packets.nets(SOURCE, TEN_ONE)).addresses(SOURCE, 4)
    assert [str(net) for net in found[:2]] == ["10.0.0.0/16", "10.2.0.0/15"]
    assert sum(1 << 32 - net.length for net in found) == (1 << 24) - (1 << 16)


def test_the_example_is_the_first_packet_of_a_connection_with_ordinary_addresses(packets: PacketSpace) -> None:
    assert packets.rule(REDIS).surely.sample() == Packet(
        version=4,
        protocol=TCP,
        source=0xCB007109,
        destination=0xC000020A,
        source_port=40000,
        destination_port=6379,
    )


def test_the_example_comes_as_near_to_an_ordinary_packet_as_the_space_lets_it(packets: PacketSpace) -> None:
    ping = (packets.icmp([8]) & packets.nets(SOURCE, V6)).sample()
    assert ping is not None
    assert (ping.version, ping.source, ping.icmp_type) == (6, 0x20010DB8 << 96 | 9, 8)
    fragment = (packets.later_fragments & packets.protocols(UDP)).sample()
    assert fragment is not None
    assert (fragment.fragment, fragment.protocol, fragment.destination_port) == (Fragment.LATER, UDP, None)
    assert packets.nothing.sample() is None


def test_nets_that_were_not_said_before_are_refused(packets: PacketSpace) -> None:
    with pytest.raises(ValueError, match="not named when the space was made"):
        packets.nets(SOURCE, nets("192.0.2.0/24"))


def test_spaces_of_two_questions_are_not_joined(packets: PacketSpace) -> None:
    with pytest.raises(ValueError, match="one PacketSpace"):
        packets.everything | PacketSpace({}).everything


def test_a_port_set_holds_address_protocol_and_port_together() -> None:
    source = NamedPortSet(parse_selector("all()"), TCP, "http")
    members = PortSet([PortMember(4, 1, TCP, 80), PortMember(4, 2, TCP, 8080), PortMember(6, 1, UDP, 80)])
    rule = Rule(Action.ALLOW, (PortMatch(DESTINATION, (), (source,)),))
    held = PacketSpace({source.set_id: members}, [rule]).rule(rule).surely

    def packet(version: int, address: int, protocol: int, port: int) -> Packet:
        ends = {"source": 9, "destination": address, "source_port": 1, "destination_port": port}
        return Packet(version=version, protocol=protocol, **ends)

    inside = [member for member in members.members if packet(*member) in held]
    assert set(inside) == members.members
    assert packet(4, 1, TCP, 8080) not in held
    assert packet(6, 1, TCP, 80) not in held


def test_what_a_rule_misses_and_why() -> None:
    """The second rule is inside the first, the third asks for two protocols, the end of the tier gets the rest."""
    inner = Rule(Action.DENY, (*REDIS.matches, NetMatch(SOURCE, TEN_ONE)))
    never = Rule(Action.ALLOW, (ProtocolMatch(TCP), ProtocolMatch(ICMP)))
    one = group(REDIS, inner, never)
    first, second, third, end = reach([one], PacketSpace({}, [rule for _, rule in one.rules]))
    assert first.example is not None
    assert (second.example, second.is_empty, second.shadowed_by) == (None, False, (first.ref,))
    assert (third.example, third.is_empty, third.shadowed_by) == (None, True, ())
    assert end.meets == end.holds.surely - first.holds.maybe


def test_a_rule_behind_an_empty_set_is_empty() -> None:
    rule = Rule(Action.ALLOW, (SetMatch(SOURCE, PARTNERS),))
    one = group(rule)
    found = reach([one], PacketSpace({PARTNERS.set_id: AddressSet(())}, [rule]))
    assert found[0].is_empty


def test_a_rule_that_only_logs_is_met_and_takes_nothing() -> None:
    log = Rule(Action.LOG, REDIS.matches)
    one = group(log, REDIS, log)
    first, second, third, _ = reach([one], PacketSpace({}, [REDIS]))
    assert first.meets == second.meets == first.holds.surely
    assert third.shadowed_by == (second.ref,)


def test_a_box_has_what_lists_of_values_have_and_no_less(packets: PacketSpace) -> None:
    tcp = packets.protocols(TCP)
    inner, outer = packets.nets(SOURCE, TEN_ONE), packets.nets(SOURCE, TEN) - packets.nets(SOURCE, TEN_ONE)
    redis, web = (tcp & packets.ports(DESTINATION, [(port, port)]) for port in (6379, 80))
    assert (inner & redis).box() == inner & redis
    crossed = (inner & redis) | (outer & web)
    assert crossed.box() == packets.nets(SOURCE, TEN) & (redis | web)
    assert (packets.nets(SOURCE, V6) - packets.later_fragments).box() == packets.nets(SOURCE, V6)
    assert not packets.nothing.box()
