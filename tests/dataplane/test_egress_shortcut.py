"""Which rules get a copy in front of an interface's egress chain, and how far it is narrowed."""

from tortie.dataplane.nft_egress.shortcut import MOST, Shortcut, shortcuts
from tortie.model.address import Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch, VersionMatch
from tortie.model.packet import ICMP, TCP, UDP, Side
from tortie.model.rule import Action, Rule

NONE = Failsafes((), ())


def simple(
    *ports: tuple[int, int], side: Side = Side.SOURCE, protocol: int = TCP, action: Action = Action.ALLOW
) -> Rule:
    matches: tuple[Match, ...] = (ProtocolMatch(protocol), PortMatch(side, tuple(PortRange(*pair) for pair in ports)))
    return Rule(action, matches)


def test_a_reply_rule_is_narrowed_to_what_no_failsafe_port_protects() -> None:
    rule = simple((6379, 6379))
    assert shortcuts([rule], Failsafes()) == [Shortcut(0, "meta l4proto 6 th sport 6379 th dport > 6667")]


def test_ports_of_its_own_failsafe_list_are_left_out_also_those_for_a_net() -> None:
    failsafes = Failsafes((FailsafePort(TCP, 22), FailsafePort(TCP, 80, Net(4, 0, 0)), FailsafePort(UDP, 85)), ())
    (found,) = shortcuts([simple((20, 30), (79, 90))], failsafes)
    assert found.match == "meta l4proto 6 th sport { 20-21, 23-30, 79, 81-90 }"


def test_overlapping_ranges_become_disjoint_as_an_nft_set_wants_them() -> None:
    (found,) = shortcuts([simple((10, 20), (15, 30), (5, 40))], NONE)
    assert found.match == "meta l4proto 6 th sport 5-40"


def test_a_rule_of_the_other_side_ends_the_shortcuts_of_its_protocol_and_with_them_all() -> None:
    rules = [simple((1, 2)), simple((3, 4), protocol=UDP), simple((5, 6), side=Side.DESTINATION), simple((7, 8))]
    assert [found.rule for found in shortcuts(rules, NONE)] == [0, 1]


def test_a_rule_that_looks_at_anything_else_ends_them() -> None:
    others = (
        Rule(Action.ALLOW, (ProtocolMatch(ICMP),)),
        Rule(Action.ALLOW, (VersionMatch(4), *simple((1, 1)).matches)),
        simple((1, 1), action=Action.LOG),
        simple((1, 1), action=Action.PASS),
        Rule(Action.DENY, (ProtocolMatch(TCP), PortMatch(Side.SOURCE, (PortRange(1, 1),), negated=True))),
    )
    for other in others:
        assert [found.rule for found in shortcuts([simple((9, 9)), other, simple((9, 9))], NONE)] == [0]


def test_there_are_a_handful_at_most_and_none_where_a_failsafe_takes_every_port() -> None:
    assert len(shortcuts([simple((9, 9))] * 100, NONE)) == MOST
    assert shortcuts([simple((22, 22))], Failsafes()) == []
    assert shortcuts([simple((9, 9))], Failsafes((), (FailsafePort(TCP, 65535),))) == []
