"""Policy rules as nft expressions: the usual ones become one line, and lines of one rule exclude each other."""

import pytest

from tortie.dataplane.alternatives import Kind
from tortie.dataplane.named_sets import SetTable
from tortie.dataplane.nft_text.matches import Line, match_lines
from tortie.model.address import parse_net
from tortie.model.ipset import (
    AddressSet,
    NamedPortSet,
    PortMember,
    PortSet,
    SelectorSet,
    ServiceSet,
)
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, TCP, UDP, Side
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
FOUR = (parse_net("10.0.0.0/8", strict=True), parse_net("10.1.0.0/16", strict=True))
SIX = (parse_net("fd00::/8", strict=True),)
SELECTED = SelectorSet(ALL)
SERVICE = ServiceSet("web", "shop", with_ports=True)
HTTP, DNS = NamedPortSet(ALL, TCP, "http"), NamedPortSet(ALL, TCP, "dns")
SETS = {
    SELECTED.set_id: AddressSet(FOUR),
    SERVICE.set_id: PortSet([PortMember(4, 1, TCP, 80)]),
    HTTP.set_id: PortSet([PortMember(4, 1, TCP, 80)]),
    DNS.set_id: PortSet([PortMember(4, 1, TCP, 53)]),
}
TCP_ONLY = ProtocolMatch(TCP)


def lines(*matches: Match, is_later: bool = False) -> list[str]:
    found = match_lines(Rule(Action.ALLOW, matches), is_later=is_later, table=SetTable(SETS))
    assert all(line.is_sure for line in found)
    return [line.text for line in found]


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ((), [""]),
        ((VersionMatch(6),), ["meta nfproto ipv6"]),
        ((TCP_ONLY,), ["meta l4proto 6"]),
        ((ProtocolMatch(UDP, negated=True),), ["meta l4proto != 17"]),
        ((TCP_ONLY, ProtocolMatch(TCP, negated=True)), []),
        ((TCP_ONLY, PortMatch(SOURCE, (PortRange(6379, 6379),))), ["meta l4proto 6 th sport 6379"]),
        (
            (TCP_ONLY, PortMatch(DESTINATION, (PortRange(5, 9), PortRange(7, 12), PortRange(80, 80)))),
            ["meta l4proto 6 th dport { 5-12, 80 }"],
        ),
        ((PortMatch(DESTINATION, (PortRange(9, 5),)),), []),
        ((ProtocolMatch(ICMP), PortMatch(DESTINATION, (PortRange(1, 2),))), []),
        ((ProtocolMatch(ICMP), PortMatch(DESTINATION, (PortRange(1, 2),), negated=True)), ["meta l4proto 1"]),
        (
            (PortMatch(DESTINATION, (PortRange(1, 2),), negated=True),),
            ["meta l4proto { 6, 17, 132 } th dport != 1-2", "meta l4proto != { 6, 17, 132 }"],
        ),
        ((NetMatch(SOURCE, FOUR),), ["ip saddr 10.0.0.0/8"]),
        ((NetMatch(SOURCE, FOUR, negated=True),), ["ip saddr != 10.0.0.0/8", "meta nfproto ipv6"]),
        ((NetMatch(SOURCE, (*FOUR, *SIX)),), ["ip saddr 10.0.0.0/8", "ip6 saddr fd00::/8"]),
        ((NetMatch(SOURCE, ()),), []),
        ((NetMatch(SOURCE, (), negated=True),), [""]),
        ((SetMatch(DESTINATION, SELECTED),), ["ip daddr @s0_v4", "ip6 daddr @s1_v6"]),
        ((VersionMatch(4), SetMatch(DESTINATION, SELECTED, negated=True)), ["ip daddr != @s0_v4"]),
        (
            (VersionMatch(4), SetMatch(DESTINATION, SERVICE)),
            ["meta l4proto { 6, 17, 132 } ip daddr . meta l4proto . th dport @s0_v4"],
        ),
        (
            (VersionMatch(4), SetMatch(DESTINATION, SERVICE, negated=True)),
            [
                "meta l4proto { 6, 17, 132 } ip daddr . meta l4proto . th dport != @s0_v4",
                "meta nfproto ipv4 meta l4proto != { 6, 17, 132 }",
            ],
        ),
        (
            (VersionMatch(4), TCP_ONLY, PortMatch(SOURCE, (PortRange(1, 1),), (HTTP, DNS))),
            [
                "meta nfproto ipv4 meta l4proto 6 th sport 1",
                "meta l4proto 6 th sport != 1 ip saddr . meta l4proto . th sport @s0_v4",
            ],
        ),
        ((ProtocolMatch(ICMP), IcmpMatch(8)), ["meta l4proto 1 @th,0,8 8"]),
        ((ProtocolMatch(ICMPV6), IcmpMatch(1, 4)), ["meta l4proto 58 @th,0,16 260"]),
        ((IcmpMatch(3, 1, negated=True),), ["meta l4proto != { 1, 58 }", "meta l4proto { 1, 58 } @th,0,16 != 769"]),
    ],
)
def test_matches_render_in_every_polarity(matches: tuple[Match, ...], expected: list[str]) -> None:
    assert sorted(lines(*matches)) == sorted(expected)


def test_the_kinds_of_protocol_divide_all_protocols() -> None:
    assert sum(kind.value for kind in Kind) == (1 << 256) - 1
    assert Kind.TYPE.value == 1 << ICMP | 1 << ICMPV6


@pytest.mark.parametrize("negated", [False, True])
def test_a_set_that_does_not_exist_is_an_empty_set_and_is_remembered(negated: bool) -> None:
    table = SetTable({})
    rule = Rule(Action.DENY, (SetMatch(SOURCE, SELECTED, negated),))
    assert match_lines(rule, is_later=False, table=table) == ([Line("", True)] if negated else [])
    assert table.absent == {SELECTED.set_id}


def test_empty_sets_stay_sets_so_that_members_can_come() -> None:
    table = SetTable({SELECTED.set_id: AddressSet(()), HTTP.set_id: PortSet(())})
    rule = Rule(Action.DENY, (VersionMatch(4), SetMatch(SOURCE, SELECTED), PortMatch(SOURCE, (), (HTTP,))))
    (line,) = match_lines(rule, is_later=False, table=table)
    assert "@s0_v4" in line.text and "@s1_v4" in line.text


def test_a_rule_that_never_holds_in_a_family_loads_no_set_for_it() -> None:
    table = SetTable(SETS)
    rule = Rule(Action.DENY, (SetMatch(SOURCE, SELECTED), NetMatch(DESTINATION, FOUR)))
    match_lines(rule, is_later=False, table=table)
    assert [named.version for named in table.named.values()] == [4]


def test_many_named_ports_share_one_set() -> None:
    names = tuple(NamedPortSet(parse_selector(f"has(l{n})"), TCP, "http") for n in range(200))
    table = SetTable({source.set_id: PortSet([PortMember(4, n, TCP, 80)]) for n, source in enumerate(names)})
    rule = Rule(Action.ALLOW, (VersionMatch(4), PortMatch(SOURCE, (), names), PortMatch(DESTINATION, (), names)))
    assert len(match_lines(rule, is_later=False, table=table)) == 1
    assert [len(named.set_ids) for named in table.named.values()] == [200]


@pytest.mark.parametrize(
    "match",
    [
        PortMatch(SOURCE, (PortRange(1, 1),)),
        PortMatch(SOURCE, (PortRange(1, 1),), negated=True),
        PortMatch(SOURCE, (), (HTTP,)),
        SetMatch(SOURCE, SERVICE),
        SetMatch(SOURCE, SERVICE, negated=True),
    ],
)
def test_a_later_fragment_leaves_a_match_of_ports_open(match: Match) -> None:
    rule = Rule(Action.ALLOW, (TCP_ONLY, match, NetMatch(SOURCE, FOUR)))
    found = match_lines(rule, is_later=True, table=SetTable(SETS))
    assert found == [Line("meta l4proto 6 ip saddr 10.0.0.0/8", False)]


def test_a_later_fragment_of_another_protocol_is_judged() -> None:
    rule = Rule(Action.ALLOW, (ProtocolMatch(50), IcmpMatch(8, negated=True)))
    assert match_lines(rule, is_later=True, table=SetTable(SETS)) == [Line("meta l4proto 50", True)]
