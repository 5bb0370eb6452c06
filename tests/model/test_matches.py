"""What each match holds for, and when a later fragment leaves it unknown."""

from dataclasses import replace
from random import Random

import pytest

from strategies import random_case, random_packet
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet, SelectorSet, ServiceSet
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, TCP, UDP, UDPLITE, Direction, Fragment, Packet, Side
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL

SOURCE, DESTINATION = Side
TEN = Net(4, 0x0A000000, 8)
ADDRESSES, SERVICE, HTTP = SelectorSet(ALL), ServiceSet("n", "web", True), NamedPortSet(ALL, TCP, "http")
MEMBER = PortMember(4, 0x0B000001, TCP, 80)
SETS: dict[str, IPSet] = {
    ADDRESSES.set_id: AddressSet([TEN, Net(6, 1, 128)]),
    SERVICE.set_id: PortSet([MEMBER]),
    HTTP.set_id: PortSet([MEMBER]),
}

TO_WEB = Packet(
    version=4, protocol=TCP, source=0x0A000001, destination=0x0B000001, source_port=1024, destination_port=80
)
ECHO = Packet(version=4, protocol=ICMP, source=0x0A000001, destination=0x0B000001, icmp_type=8, icmp_code=0)
SIX = Packet(version=6, protocol=UDP, source=1, destination=2, source_port=53, destination_port=53)
LATER = replace(TO_WEB, fragment=Fragment.LATER, source_port=None, destination_port=None)
LATER_ECHO = replace(ECHO, fragment=Fragment.LATER, icmp_type=None, icmp_code=None)


@pytest.mark.parametrize(
    ("match", "packet", "expected"),
    [
        (VersionMatch(4), TO_WEB, True),
        (VersionMatch(6), TO_WEB, False),
        (VersionMatch(4), LATER, True),
        (ProtocolMatch(TCP), TO_WEB, True),
        (ProtocolMatch(TCP), SIX, False),
        (ProtocolMatch(TCP), LATER, True),
        (NetMatch(SOURCE, (TEN,)), TO_WEB, True),
        (NetMatch(DESTINATION, (TEN,)), TO_WEB, False),
        (NetMatch(SOURCE, (Net(4, 0x0C000000, 8), TEN)), TO_WEB, True),
        (NetMatch(SOURCE, (Net(4, 0, 0),)), SIX, False),
        (NetMatch(SOURCE, ()), TO_WEB, False),
        (NetMatch(SOURCE, (TEN,)), LATER, True),
        (IcmpMatch(8), ECHO, True),
        (IcmpMatch(8, 0), ECHO, True),
        (IcmpMatch(8, 1), ECHO, False),
        (IcmpMatch(0), ECHO, False),
        (IcmpMatch(8), replace(ECHO, protocol=ICMPV6), True),
        (IcmpMatch(8), LATER_ECHO, None),
        (SetMatch(SOURCE, ADDRESSES), TO_WEB, True),
        (SetMatch(DESTINATION, ADDRESSES), TO_WEB, False),
        (SetMatch(SOURCE, ADDRESSES), SIX, True),
        (SetMatch(SOURCE, ADDRESSES), LATER, True),
        (SetMatch(DESTINATION, SERVICE), TO_WEB, True),
        (SetMatch(DESTINATION, SERVICE), replace(TO_WEB, destination_port=81), False),
        (SetMatch(DESTINATION, SERVICE), replace(TO_WEB, protocol=UDP), False),
        (SetMatch(DESTINATION, SERVICE), ECHO, False),
        (SetMatch(DESTINATION, SERVICE), LATER, None),
        (SetMatch(DESTINATION, SERVICE), replace(LATER, destination=1), False),
        (PortMatch(DESTINATION, (PortRange(80, 80),)), TO_WEB, True),
        (PortMatch(DESTINATION, (PortRange(1, 79), PortRange(81, 99))), TO_WEB, False),
        (PortMatch(SOURCE, (PortRange(1024, 65535),)), TO_WEB, True),
        (PortMatch(SOURCE, (PortRange(1025, 65535),)), TO_WEB, False),
        (PortMatch(DESTINATION, (PortRange(80, 80),)), LATER, None),
        (PortMatch(DESTINATION, (), (HTTP,)), TO_WEB, True),
        (PortMatch(DESTINATION, (PortRange(1, 2),), (HTTP,)), TO_WEB, True),
        (PortMatch(DESTINATION, (), (HTTP,)), replace(TO_WEB, destination=1), False),
        (PortMatch(DESTINATION, (), (HTTP,)), LATER, None),
        (PortMatch(DESTINATION, (), (HTTP,)), replace(LATER, destination=1), False),
    ],
)
def test_a_match_holds_and_its_negation_does_not(match: Match, packet: Packet, expected: bool | None) -> None:
    assert match.holds(packet, SETS) is expected
    if not isinstance(match, VersionMatch):
        opposite = None if expected is None else not expected
        assert replace(match, negated=True).holds(packet, SETS) is opposite


@pytest.mark.parametrize(
    ("match", "packet"),
    [
        (IcmpMatch(8), TO_WEB),
        (IcmpMatch(8), LATER),
        (PortMatch(DESTINATION, (PortRange(1, 65535),)), ECHO),
        (
            PortMatch(DESTINATION, (PortRange(1, 65535),)),
            replace(ECHO, protocol=UDPLITE, icmp_type=None, icmp_code=None),
        ),
        (PortMatch(DESTINATION, (), (HTTP,)), ECHO),
        (SetMatch(SOURCE, ADDRESSES), replace(TO_WEB, source=0)),
    ],
)
def test_what_a_packet_does_not_have_is_not_matched_and_not_excluded(match: Match, packet: Packet) -> None:
    assert not isinstance(match, VersionMatch)
    assert match.holds(packet, SETS) is False
    assert replace(match, negated=True).holds(packet, SETS) is True


def test_a_rule_is_false_if_one_match_is_then_unknown_if_one_is() -> None:
    port, udp, tcp = PortMatch(DESTINATION, (PortRange(80, 80),)), ProtocolMatch(UDP), ProtocolMatch(TCP)
    assert Rule(Action.ALLOW, (port, udp)).holds(LATER, SETS) is False
    assert Rule(Action.ALLOW, (port, tcp)).holds(LATER, SETS) is None
    assert Rule(Action.ALLOW, (port, tcp)).holds(TO_WEB, SETS) is True
    assert Rule(Action.ALLOW).holds(LATER, SETS) is True


def test_a_later_fragment_is_sure_only_of_what_holds_for_every_first_one() -> None:
    rng = Random(5)
    sure = unknown = 0
    for _ in range(100):
        case = random_case(rng, 6)
        rules = [rule for direction in Direction for rule in case.rules(direction)]
        for _ in range(20):
            first = random_packet(rng, case)
            later = replace(
                first,
                fragment=Fragment.LATER,
                source_port=None,
                destination_port=None,
                icmp_type=None,
                icmp_code=None,
            )
            if first.fragment is Fragment.LATER:
                continue
            for rule in rules:
                holds = rule.holds(later, case.sets)
                unknown += holds is None
                if holds is not None:
                    sure += first.protocol in PORTED
                    assert rule.holds(first, case.sets) is holds
    assert sure > 1000
    assert unknown > 200
