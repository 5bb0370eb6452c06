"""Which rules get a copy in front of an interface's untracked chain, and how far it is narrowed."""

from random import Random

import pytest

from strategies import random_case, random_packet, with_simple_rules
from tortie.dataplane.shortcut import MOST, shortcuts
from tortie.model.address import Net
from tortie.model.evaluate import evaluate_untracked
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch, VersionMatch
from tortie.model.packet import ICMP, TCP, UDP, Direction, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.stages import stage_groups

NONE = Failsafes((), ())


def ports(*ranges: tuple[int, int], side: Side) -> PortMatch:
    return PortMatch(side, tuple(PortRange(*pair) for pair in ranges))


def simple(
    *ranges: tuple[int, int], side: Side = Side.SOURCE, protocol: int = TCP, action: Action = Action.ALLOW
) -> Rule:
    matches: tuple[Match, ...] = (ProtocolMatch(protocol), ports(*ranges, side=side))
    return Rule(action, matches)


def made(rules: list[Rule], failsafes: Failsafes, direction: Direction = Direction.EGRESS) -> list[tuple[int, Rule]]:
    return list(shortcuts(enumerate(rules), failsafes, direction))


def named(rules: list[Rule], failsafes: Failsafes = NONE) -> list[int]:
    return [number for number, _ in made(rules, failsafes)]


@pytest.mark.parametrize(
    ("side", "direction"), [(Side.SOURCE, Direction.EGRESS), (Side.DESTINATION, Direction.INGRESS)]
)
def test_the_rules_of_a_server_are_narrowed_to_what_no_failsafe_port_protects(side: Side, direction: Direction) -> None:
    failsafes = Failsafes((FailsafePort(TCP, 22), FailsafePort(UDP, 68)), (FailsafePort(TCP, 6667),))
    other = Side.DESTINATION if side is Side.SOURCE else Side.SOURCE
    ((_, found),) = made([simple((20, 30), side=side)], failsafes, direction)
    assert found.matches[1:] == (ports((20, 21), (23, 30), side=side), ports((6668, 65535), side=other))


def test_ports_of_its_own_failsafe_list_are_left_out_also_those_for_a_net() -> None:
    failsafes = Failsafes((FailsafePort(TCP, 22), FailsafePort(TCP, 80, Net(4, 0, 0)), FailsafePort(UDP, 85)), ())
    ((_, found),) = made([simple((20, 30), (79, 90))], failsafes)
    assert found.matches[1] == ports((20, 21), (23, 30), (79, 79), (81, 90), side=Side.SOURCE)


def test_overlapping_ranges_become_disjoint_as_an_nft_set_wants_them() -> None:
    ((_, found),) = made([simple((10, 20), (15, 30), (5, 40))], NONE)
    assert found.matches[1] == ports((5, 40), side=Side.SOURCE)


def test_a_packet_that_does_not_show_both_ports_takes_the_long_way() -> None:
    ((_, found),) = made([simple((10, 20))], NONE)
    assert found.matches[2] == ports((1, 65535), side=Side.DESTINATION)


def test_a_rule_of_the_other_side_ends_the_shortcuts_of_its_protocol_and_with_them_all() -> None:
    rules = [simple((1, 2)), simple((3, 4), protocol=UDP), simple((5, 6), side=Side.DESTINATION), simple((7, 8))]
    assert named(rules) == [0, 1]


def test_a_rule_that_looks_at_anything_else_ends_them() -> None:
    others = (
        Rule(Action.ALLOW, (ProtocolMatch(ICMP),)),
        Rule(Action.ALLOW, (VersionMatch(4), *simple((1, 1)).matches)),
        simple((1, 1), action=Action.LOG),
        simple((1, 1), action=Action.PASS),
        Rule(Action.DENY, (ProtocolMatch(TCP), PortMatch(Side.SOURCE, (PortRange(1, 1),), negated=True))),
    )
    for other in others:
        assert named([simple((9, 9)), other, simple((9, 9))]) == [0]


def test_there_are_a_handful_at_most_and_none_where_a_failsafe_takes_every_port() -> None:
    assert len(named([simple((9, 9))] * 100)) == MOST
    assert named([simple((22, 22))], Failsafes()) == []
    assert named([simple((9, 9))], Failsafes((), (FailsafePort(TCP, 65535),))) == []


@pytest.mark.parametrize("direction", list(Direction), ids=lambda one: one.value.lower())
def test_what_they_decide_is_what_the_evaluator_decides_and_for_the_same_rule(direction: Direction) -> None:
    """Of all packets that one of them holds for, and there are many."""
    met = 0
    for seed in range(300):
        rng = Random(seed)
        case = random_case(rng, 10)
        if not case.endpoint.stage(Stage.UNTRACKED, direction):
            continue
        case = with_simple_rules(rng, case, direction)
        first = stage_groups(case.endpoint, Stage.UNTRACKED, direction)[0]
        short = list(shortcuts(first.rules, case.failsafes, direction))
        for _ in range(100):
            packet = random_packet(rng, case, direction=direction)
            ref, rule = next(((ref, rule) for ref, rule in short if rule.holds(packet, {})), (None, None))
            if rule is None:
                continue
            trace = evaluate_untracked(packet, direction, case.endpoint, case.sets, case.failsafes)
            assert (trace.rule, trace.verdict.name) == (ref, rule.action.name), (seed, packet)
            met += 1
    assert met > 1_000
