"""Untracked egress for real: packets of local raw sockets through the rendered table, against `evaluate`.

Fragments are sent where connection tracking is not active, because it joins them before the raw hook.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest
from egress_lab import WATCH, Lab, lab

from strategies import Case, random_case, random_packet, with_simple_rules
from tortie.dataplane.nft_egress import Rendered, RuleKey, render
from tortie.model.address import format_address
from tortie.model.desired import TierPolicies
from tortie.model.evaluate import evaluate_untracked
from tortie.model.ipset import IPSet, PortSet
from tortie.model.matches import IcmpMatch, Match, PortMatch, SetMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction, Fragment, Packet
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Step, Trace, Verdict

pytestmark = pytest.mark.root

CASES, PACKETS = 36, 70


def judge(packet: Packet, case: Case) -> Trace:
    """`evaluate`, but a later fragment is dropped at the first rule that needs what it does not show."""
    trace = evaluate_untracked(packet, Direction.EGRESS, case.endpoint, case.sets, case.failsafes)
    if packet.fragment is not Fragment.LATER:
        return trace
    steps: list[Step] = []
    for group in case.endpoint.stage(Stage.UNTRACKED, Direction.EGRESS):
        for ref, rule in _rules(group):
            holds = _holds(rule, packet, case.sets)
            if holds is False or (holds is None and rule.action is Action.LOG):
                continue
            if holds is None:
                return Trace(verdict=Verdict.DENY, reason=Reason.FRAGMENT, stage=trace.stage, steps=tuple(steps))
            steps.append(Step(ref, rule.action.value.lower()))
            if rule.action is Action.PASS:
                break
            if rule.action is not Action.LOG:
                # Sure rules only: then there is one possible verdict, and evaluate's steps may differ in logs alone.
                assert trace.rule == ref
                return replace(trace, steps=tuple(steps))
    assert trace.reason is Reason.NO_MATCH
    return replace(trace, steps=tuple(steps))


def _rules(group: TierPolicies) -> Iterator[tuple[RuleRef, Rule]]:
    for policy in group.policies:
        for index, rule in enumerate(policy.rules(Direction.EGRESS)):
            yield RuleRef(group.tier.name, policy.key, index), rule


def _holds(rule: Rule, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
    known = [match.holds(packet, sets) for match in rule.matches if not _is_blind(match, packet, sets)]
    if False in known:
        return False
    return True if len(known) == len(rule.matches) else None


def _is_blind(match: Match, packet: Packet, sets: Mapping[str, IPSet]) -> bool:
    """Whether the match asks a later fragment for ports or type, and is not settled by empty sets."""
    if isinstance(match, IcmpMatch):
        return packet.protocol in (ICMP, ICMPV6)
    if packet.protocol not in PORTED:
        return False
    if isinstance(match, PortMatch):
        return bool(match.ranges) or any(isinstance(sets.get(one.set_id), PortSet) for one in match.named)
    return isinstance(match, SetMatch) and isinstance(sets.get(match.source.set_id), PortSet)


def show(packet: Packet) -> str:
    """A packet for people."""
    ends = [
        f"{format_address(packet.version, address)}{'' if port is None else f':{port}'}"
        for address, port in (
            (packet.source, packet.source_port),
            (packet.destination, packet.destination_port),
        )
    ]
    return (
        f"protocol {packet.protocol} {' > '.join(ends)} icmp {packet.icmp_type}/{packet.icmp_code}"
        f" hop {packet.hop_limit} {packet.fragment.value}"
    )


def compare(lab: Lab, case: Case, packets: Sequence[Packet], rendered: Rendered, *, is_watched: bool) -> int:
    """Send the packets through the table and compare all that can be seen with the evaluator; how many were sent."""
    lab.install(rendered.script)
    lab.arrived()
    expected: Counter[RuleKey] = Counter()
    reasons: Counter[Reason] = Counter()
    sent: dict[int, tuple[Packet, Trace]] = {}
    for number, packet in enumerate(packets):
        if lab.send(packet, number):
            trace = judge(packet, case)
            sent[number] = packet, trace
            expected.update(RuleKey(case.endpoint.interface.name, step.rule) for step in trace.steps)
            if trace.reason in (Reason.FRAGMENT, Reason.MALFORMED):
                reasons[trace.reason] += 1
    arrived = lab.arrived()
    for number, (packet, trace) in sent.items():
        said = f"{show(packet)}\n{trace}\n{case.sets}\n{case.failsafes}\n{rendered.script}"
        assert (number in arrived) == (trace.verdict is not Verdict.DENY), said
        if is_watched and number in arrived:
            assert arrived[number] == (trace.verdict is Verdict.ALLOW), said
    counts = lab.counts()
    met = Counter({key: counts[name] for name, key in rendered.rules.items()})
    assert +met == +expected, f"{+met - expected} {+expected - met}\n{rendered.script}"
    found = Counter({key.reason: counts[name] for name, key in rendered.reasons.items()})
    assert +found == +reasons, rendered.script
    return len(sent)


def run_cases(
    lab: Lab, seeds: range, fragments: frozenset[Fragment], *, is_watched: bool, are_simple: bool = False
) -> Counter[str]:
    """Random policies with packets about each; what was met."""
    total: Counter[str] = Counter()
    for seed in seeds:
        rng = Random(seed)
        case = random_case(rng, 10)
        while not case.endpoint.stage(Stage.UNTRACKED, Direction.EGRESS):
            case = random_case(rng, 10)
        if are_simple:
            case = with_simple_rules(rng, case, Direction.EGRESS)
        packets = [
            packet
            for _ in range(PACKETS * 2)
            if (packet := random_packet(rng, case, direction=Direction.EGRESS)).fragment in fragments
        ][:PACKETS]
        rendered = render([case.endpoint], case.sets, case.failsafes)
        total["shortcuts"] += rendered.script.partition("chain e0 {")[2].partition("ip frag-off")[0].count("counter")
        total["sent"] += compare(lab, case, packets, rendered, is_watched=is_watched)
        total["cases"] += 1
        for packet in packets:
            trace = judge(packet, case)
            total[f"v{packet.version}"] += 1
            total[trace.verdict.value] += 1
            total[trace.reason.value] += 1
    return total


def test_whole_packets_get_the_verdict_the_tracking_and_the_counts_of_evaluate() -> None:
    with lab() as made:
        made.install(WATCH)
        total = run_cases(made, range(CASES), frozenset({Fragment.WHOLE}), is_watched=True)
    assert total["sent"] > CASES * PACKETS * 0.8, total
    assert min(total[name] for name in ("v4", "v6", "allow", "deny", "continue", "failsafe")) > 50, total


@pytest.mark.parametrize("is_watched", [True, False])
def test_shortcuts_for_the_first_rules_decide_as_the_whole_chain_does(is_watched: bool) -> None:
    fragments = frozenset({Fragment.WHOLE}) if is_watched else frozenset(Fragment)
    with lab() as made:
        if is_watched:
            made.install(WATCH)
        seeds = range(1000, 1000 + CASES)
        total = run_cases(made, seeds, fragments, is_watched=is_watched, are_simple=True)
    assert total["sent"] > CASES * PACKETS * 0.8, total
    assert min(total[name] for name in ("v4", "v6", "allow", "deny", "failsafe", "shortcuts")) > 20, total


def test_fragments_get_the_verdict_of_evaluate_or_are_dropped_where_it_needs_ports() -> None:
    with lab() as made:
        total = run_cases(made, range(CASES, 2 * CASES), frozenset(Fragment), is_watched=False)
    assert total["sent"] > CASES * PACKETS * 0.8, total
    assert min(total[name] for name in ("v4", "v6", "allow", "deny", "continue", "fragment")) > 20, total
