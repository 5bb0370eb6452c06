"""The untracked rows of semantics.md, one by one, and the laws that hold for every policy.

The normal class: test_evaluate_normal.py.
"""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from judging import (
    BLOCKED,
    IN,
    NO_FAILSAFES,
    OUT,
    REDIS_PORT,
    allow,
    deny,
    icmp6,
    key,
    later,
    log,
    outcome,
    skip,
    tcp,
)

from strategies import Case, Meeting, meetings, random_case, random_packet
from tortie.model.address import Net, parse_net
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate_untracked, is_essential
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, TCP, UDP, Direction, Fragment, Packet, Side
from tortie.model.policy import Policy, Stage, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict

HTTP = NamedPortSet(ALL, TCP, "http")


def policy(*rules: Rule, name: str = "p", direction: Direction = IN) -> Policy:
    ingress, egress = (rules, ()) if direction is IN else ((), rules)
    return Policy(
        key=key(name),
        tier="t",
        order=None,
        selector=ALL,
        ingress=ingress,
        egress=egress,
        governs=frozenset({direction}),
        do_not_track=True,
        apply_on_forward=True,
    )


def endpoint(
    *tiers: tuple[Policy, ...], direction: Direction = IN, action: TierAction = TierAction.DENY
) -> EndpointState:
    groups = tuple(
        TierPolicies(Tier(f"t{index}", float(index), action), policies) for index, policies in enumerate(tiers)
    )
    return EndpointState(
        interface=Interface(name="eth0", index=2), endpoint="hep", tiers={(Stage.UNTRACKED, direction): groups}
    )


def judge(
    packet: Packet,
    *tiers: tuple[Policy, ...],
    sets: dict[str, IPSet] | None = None,
    failsafes: Failsafes = NO_FAILSAFES,
    action: TierAction = TierAction.DENY,
) -> Trace:
    return evaluate_untracked(packet, IN, endpoint(*tiers, action=action), sets or {}, failsafes)


ALLOWED = (Verdict.ALLOW, Reason.POLICY)
DENIED = (Verdict.DENY, Reason.POLICY)
NOTHING = (Verdict.CONTINUE, Reason.NO_MATCH)
UNKNOWN = (Verdict.DENY, Reason.FRAGMENT)


def test_the_deciding_rule_is_named_by_tier_policy_and_index() -> None:
    trace = judge(tcp(), (policy(name="a"), policy(deny(ProtocolMatch(UDP)), log(), allow(), name="b")))
    assert trace.rule == RuleRef("t0", key("b"), 2)
    assert [(step.rule.index, step.outcome) for step in trace.steps] == [(1, "log"), (2, "allow")]
    assert trace.stage is Stage.UNTRACKED


@pytest.mark.parametrize("action", TierAction)
def test_the_end_of_a_tier_continues_with_the_next_whatever_its_default_action(action: TierAction) -> None:
    assert outcome(judge(tcp(), (policy(deny(ProtocolMatch(UDP))),), (policy(allow()),), action=action)) == ALLOWED
    assert outcome(judge(tcp(), (policy(deny(ProtocolMatch(UDP))),), action=action)) == NOTHING


def test_tiers_come_in_order_and_the_first_decision_is_final() -> None:
    assert outcome(judge(tcp(), (policy(allow()),), (policy(deny()),))) == ALLOWED
    assert outcome(judge(tcp(), (policy(deny()),), (policy(allow()),))) == DENIED


def test_policies_of_a_tier_come_in_order() -> None:
    trace = judge(tcp(), (policy(deny(), name="a"), policy(allow(), name="b")))
    assert (outcome(trace), trace.rule) == (DENIED, RuleRef("t0", key("a"), 0))


def test_pass_leaves_the_tier_and_after_the_last_one_the_packet_goes_on_as_tracked() -> None:
    assert outcome(judge(tcp(), (policy(skip(), deny()), policy(deny(), name="q")), (policy(allow()),))) == ALLOWED
    trace = judge(tcp(), (policy(skip(), deny()),))
    assert outcome(trace) == NOTHING
    assert trace.rule is None
    assert [step.outcome for step in trace.steps] == ["pass"]


def test_an_endpoint_without_untracked_policy_has_nothing_to_say() -> None:
    assert outcome(judge(tcp())) == NOTHING


def test_log_goes_on_with_the_next_rule() -> None:
    assert outcome(judge(tcp(), (policy(log()),))) == NOTHING
    assert outcome(judge(tcp(), (policy(log(), allow()),))) == ALLOWED


def test_egress_asks_the_egress_rules() -> None:
    state = endpoint((policy(allow(), direction=OUT),), direction=OUT)
    assert outcome(evaluate_untracked(tcp(), OUT, state, {}, NO_FAILSAFES)) == ALLOWED
    assert outcome(evaluate_untracked(tcp(), IN, state, {}, NO_FAILSAFES)) == NOTHING


def test_rules_of_a_direction_that_the_policy_does_not_govern_are_inert() -> None:
    inert = replace(policy(deny(), direction=OUT), ingress=(deny(),))
    assert outcome(judge(tcp(), (inert,))) == NOTHING


@pytest.mark.parametrize(
    ("failsafes", "direction", "packet", "is_protected"),
    [
        (Failsafes(), IN, tcp(22), True),
        (Failsafes(), IN, tcp(23), False),
        (Failsafes(), OUT, tcp(22), False),
        (Failsafes(), IN, tcp(40000, source_port=6443), True),
        (Failsafes(), OUT, tcp(40000, source_port=22), True),
        (Failsafes(), IN, tcp(40000, source_port=22), False),
        (Failsafes(), IN, replace(tcp(22), protocol=UDP), False),
        (Failsafes(), IN, tcp(22, source="fd00::1"), True),
        (Failsafes((FailsafePort(TCP, 22, parse_net("10.0.0.0/24", strict=True)),), ()), IN, tcp(22), True),
        (
            Failsafes((FailsafePort(TCP, 22, parse_net("10.0.0.0/24", strict=True)),), ()),
            IN,
            tcp(22, "10.0.1.1"),
            False,
        ),
        (
            Failsafes((FailsafePort(TCP, 22, parse_net("10.0.0.2/32", strict=True)),), ()),
            OUT,
            tcp(9, source_port=22),
            True,
        ),
        (
            Failsafes((), (FailsafePort(TCP, 53, parse_net("10.0.0.1/32", strict=True)),)),
            IN,
            tcp(9, source_port=53),
            True,
        ),
        (Failsafes((), ()), IN, tcp(22), False),
    ],
)
def test_failsafes_and_their_reply_legs_skip_only_the_untracked_stage(
    failsafes: Failsafes, direction: Direction, packet: Packet, is_protected: bool
) -> None:
    state = endpoint((policy(deny(), direction=direction),), direction=direction)
    expected = (Verdict.CONTINUE, Reason.FAILSAFE) if is_protected else DENIED
    assert outcome(evaluate_untracked(packet, direction, state, {}, failsafes)) == expected


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("hop_limit", [255, 254, 1])
def test_essential_icmpv6_passes_before_policy(hop_limit: int, direction: Direction) -> None:
    state = endpoint((policy(deny(), direction=direction),), direction=direction)
    passed = {
        kind
        for kind in range(256)
        if outcome(evaluate_untracked(icmp6(kind, hop_limit), direction, state, {}, NO_FAILSAFES)) != DENIED
    }
    assert passed == {130, 131, 132, 143} | ({133, 134, 135, 136} if hop_limit == 255 else set())
    trace = evaluate_untracked(icmp6(130), direction, state, {}, NO_FAILSAFES)
    assert outcome(trace) == (Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6)


def test_icmpv6_types_are_essential_only_in_ipv6_with_protocol_58() -> None:
    assert not is_essential(replace(icmp6(135), version=4))
    assert not is_essential(replace(icmp6(135), protocol=ICMP))
    assert not is_essential(replace(icmp6(135), icmp_type=None, icmp_code=None, fragment=Fragment.LATER))
    assert is_essential(replace(icmp6(135), fragment=Fragment.FIRST))


def test_an_empty_or_unknown_set_matches_nothing_and_its_negation_everything() -> None:
    for sets in ({}, {BLOCKED.set_id: AddressSet(())}):
        assert outcome(judge(tcp(), (policy(deny(SetMatch(Side.SOURCE, BLOCKED)), allow()),), sets=sets)) == ALLOWED
        negated = SetMatch(Side.SOURCE, BLOCKED, negated=True)
        assert outcome(judge(tcp(), (policy(deny(negated), allow()),), sets=sets)) == DENIED


def test_a_rule_without_matches_holds_for_every_packet() -> None:
    rng = Random(3)
    case = random_case(rng, 5)
    for _ in range(500):
        packet = random_packet(rng, case)
        expected = (Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6) if is_essential(packet) else DENIED
        assert outcome(judge(packet, (policy(deny()),))) == expected


def test_not_icmp_does_not_exclude_other_protocols() -> None:
    rule = deny(IcmpMatch(8, None, negated=True))
    echo = Packet(version=4, protocol=ICMP, source=1, destination=2, icmp_type=8, icmp_code=0)
    assert outcome(judge(tcp(), (policy(rule),))) == DENIED
    assert outcome(judge(echo, (policy(rule),))) == NOTHING
    assert outcome(judge(replace(echo, icmp_type=3), (policy(rule),))) == DENIED


PORT_RULE = REDIS_PORT
NET = (NetMatch(Side.SOURCE, (Net(4, 0, 8),)),)


@pytest.mark.parametrize(
    ("tiers", "expected", "steps"),
    [
        (((allow(),),), ALLOWED, ["allow"]),
        (((deny(),),), DENIED, ["deny"]),
        (((),), NOTHING, []),
        (((allow(*PORT_RULE),),), UNKNOWN, []),
        (((deny(*PORT_RULE),),), UNKNOWN, []),
        (((deny(*PORT_RULE), deny()),), DENIED, ["deny"]),
        (((allow(*PORT_RULE), allow()),), ALLOWED, ["allow"]),
        (((allow(*PORT_RULE), deny()),), UNKNOWN, []),
        (((allow(*PORT_RULE, VersionMatch(6)),),), NOTHING, []),
        (((allow(ProtocolMatch(UDP), PortMatch(Side.SOURCE, (PortRange(1, 2),))),),), NOTHING, []),
        (((log(*PORT_RULE), allow()),), ALLOWED, ["allow"]),
        (((log(*NET), allow()),), ALLOWED, ["log", "allow"]),
        (((skip(), deny()), (allow(),)), ALLOWED, ["pass", "allow"]),
        (((skip(*PORT_RULE), deny()), (deny(),)), DENIED, ["deny"]),
        (((skip(*PORT_RULE), deny()), (allow(),)), UNKNOWN, []),
        (((skip(*PORT_RULE), deny()),), UNKNOWN, []),
        (((skip(*PORT_RULE),),), NOTHING, []),
        (((skip(*PORT_RULE), allow(*PORT_RULE)), (allow(),)), ALLOWED, ["allow"]),
        (((skip(*PORT_RULE), skip(), deny()), (deny(),)), DENIED, ["pass", "deny"]),
        (((skip(*PORT_RULE),), (allow(), deny())), ALLOWED, ["allow"]),
        (((allow(*PORT_RULE),), (allow(),)), ALLOWED, ["allow"]),
        (((allow(*PORT_RULE),), (deny(),)), UNKNOWN, []),
        (((deny(*PORT_RULE), skip()), (deny(),)), DENIED, ["pass", "deny"]),
    ],
)
def test_a_later_fragment_gets_the_only_possible_verdict_or_is_dropped(
    tiers: tuple[tuple[Rule, ...], ...], expected: tuple[Verdict, Reason], steps: list[str]
) -> None:
    trace = judge(later(), *((policy(*rules),) for rules in tiers))
    assert outcome(trace) == expected
    assert [step.outcome for step in trace.steps] == steps


def test_a_later_fragment_without_a_doubt_names_the_rule_that_ended_the_walk() -> None:
    assert judge(later(), (policy(deny(*PORT_RULE), deny(*NET)),)).rule == RuleRef("t0", key("p"), 1)
    assert judge(later(), (policy(allow(*PORT_RULE), deny()),)).rule is None


def test_a_later_fragment_follows_the_first_where_that_is_known() -> None:
    rules = (policy(allow(*PORT_RULE), deny()),)
    first = replace(tcp(), fragment=Fragment.FIRST)
    assert outcome(judge(first, rules)) == ALLOWED
    assert judge(later().completed_by(first), rules) == judge(first, rules)


def test_a_later_fragment_follows_a_first_one_that_a_failsafe_protected() -> None:
    rules = (policy(deny()),)
    first = replace(tcp(22), fragment=Fragment.FIRST)
    trace = judge(later().completed_by(first), rules, failsafes=Failsafes())
    assert outcome(trace) == (Verdict.CONTINUE, Reason.FAILSAFE)
    assert outcome(judge(later(), rules, failsafes=Failsafes())) == DENIED


def test_only_later_fragments_follow_another_packet() -> None:
    assert tcp().completed_by(tcp(22)) == tcp()


def test_a_named_port_matches_only_the_whole_member() -> None:
    packet = tcp(8080)
    sets: dict[str, IPSet] = {HTTP.set_id: PortSet([PortMember(4, packet.destination, TCP, 8080)])}
    rules = (policy(allow(PortMatch(Side.DESTINATION, (), (HTTP,)))),)
    assert outcome(judge(packet, rules, sets=sets)) == ALLOWED
    for other in (tcp(8081), tcp(8080, "10.0.0.9"), replace(packet, protocol=UDP), tcp(8080, "fd00::1")):
        assert outcome(judge(other, rules, sets=sets)) == NOTHING


def completions(packet: Packet, rng: Random, count: int) -> list[Packet]:
    """First fragments that the later fragment may belong to."""
    if packet.protocol in (ICMP, ICMPV6):
        return [
            replace(
                packet, fragment=Fragment.FIRST, icmp_type=rng.randrange(255), icmp_code=rng.randrange(4), hop_limit=9
            )
            for _ in range(count)
        ]
    ports = [(rng.randrange(65536), rng.randrange(65536)) for _ in range(count)]
    return [replace(packet, fragment=Fragment.FIRST, source_port=s, destination_port=d) for s, d in ports]


def verdict(packet: Packet, case: Case) -> Verdict:
    return evaluate_untracked(packet, IN, case.endpoint, case.sets, NO_FAILSAFES).verdict


def test_a_later_fragment_that_passes_or_is_denied_by_policy_agrees_with_every_first_one() -> None:
    rng = Random(4)
    compared = 0
    for _ in range(150):
        case = random_case(rng, 6)
        for _ in range(40):
            packet = random_packet(rng, case, direction=IN)
            packet = replace(
                packet, fragment=Fragment.LATER, source_port=None, destination_port=None, icmp_type=None, icmp_code=None
            )
            trace = evaluate_untracked(packet, IN, case.endpoint, case.sets, NO_FAILSAFES)
            if trace.reason is Reason.FRAGMENT or packet.protocol not in (TCP, UDP, ICMP):
                continue
            compared += 1
            assert {verdict(first, case) for first in completions(packet, rng, 5)} == {trace.verdict}
    assert compared > 2000


@settings(max_examples=100)
@given(meetings())
def test_an_appended_rule_changes_only_what_was_undecided(meeting: Meeting) -> None:
    case = meeting.case
    groups = case.endpoint.stage(Stage.UNTRACKED, IN)
    appended = (*groups, TierPolicies(Tier("last", 9e9), (policy(deny(), name="z"),)))
    changed = replace(case.endpoint, tiers={(Stage.UNTRACKED, IN): appended})
    for packet in meeting.packets:
        before = evaluate_untracked(packet, IN, case.endpoint, case.sets, case.failsafes)
        after = evaluate_untracked(packet, IN, changed, case.sets, case.failsafes)
        if before.reason is Reason.NO_MATCH:
            assert outcome(after) == DENIED
        elif before.reason is not Reason.FRAGMENT and packet.fragment is not Fragment.LATER:
            assert after == before


@settings(max_examples=100)
@given(meetings())
def test_a_whole_packet_is_never_in_doubt(meeting: Meeting) -> None:
    for packet in meeting.packets:
        if packet.fragment is not Fragment.LATER:
            assert evaluate_untracked(packet, IN, *meeting.case).reason is not Reason.FRAGMENT


@settings(max_examples=100)
@given(meetings())
def test_log_rules_never_change_a_verdict(meeting: Meeting) -> None:
    case = meeting.case
    silent = tuple(
        TierPolicies(
            group.tier,
            tuple(
                replace(p, ingress=tuple(r for r in p.ingress if r.action is not Action.LOG)) for p in group.policies
            ),
        )
        for group in case.endpoint.stage(Stage.UNTRACKED, IN)
    )
    without = replace(case.endpoint, tiers={(Stage.UNTRACKED, IN): silent})
    for packet in meeting.packets:
        assert outcome(evaluate_untracked(packet, IN, case.endpoint, case.sets, case.failsafes)) == outcome(
            evaluate_untracked(packet, IN, without, case.sets, case.failsafes)
        )
