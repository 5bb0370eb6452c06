"""What a verdict is: the stages of one endpoint, for one packet.

    essential ICMPv6 ─▶ untracked: failsafes, policy ─▶ connection table ─▶ for this host? ─▶ failsafes ─▶ invalid?
                                                                            ─▶ normal: tiers, profiles, default deny

Every driver is tested against `evaluate`; where the kernel and this file disagree, the kernel is wrong.

One walk serves both stages, whole packets and fragments. A later fragment shows no ports, so a rule that asks for them
may or may not have met the packet it belongs to: the walk then collects every verdict that was possible, and the packet
gets one only if it is the only one; else it is dropped.

Source: reference semantics.md (wins), dataplane-policy.md A.6, resources.md section 7.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, HostAddresses, MissingProfile, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import ICMPV6, Direction, Fragment, Packet
from tortie.model.policy import PolicyKey, Stage, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Step, Trace, Verdict, default_deny, missing_profile, tier_end

DENY_ALL = Rule(Action.DENY)
"""The rule that stands behind a tier, for a missing profile, and at the end of everything."""

NEIGHBOUR_DISCOVERY = range(133, 137)
"""Router and neighbour solicitation and advertisement; genuine ones have hop limit 255 (RFC 4861 6.1, 7.1)."""
_NEAR = (0x3FA, *range(0x3FC, 0x400))
"""First ten bits of fe80::/10 and ff00::/8."""
LISTENER_DISCOVERY = (130, 131, 132, 143)
"""MLD queries, reports and done, MLDv2 reports."""


def evaluate(
    packet: Packet,
    direction: Direction,
    endpoint: EndpointState,
    sets: Mapping[str, IPSet],
    failsafes: Failsafes,
    relation: Relation,
    *,
    is_for_host: bool = True,
    drops_invalid: bool = True,
) -> Trace:
    """The verdict of the endpoint's policy on a packet, Allow or Deny, with its explanation.

    `relation`: what the packet is to the connection table. `is_for_host`: it goes to or comes from this host itself;
    what the host forwards meets no normal policy. A later fragment whose first one is known is asked about as
    `packet.completed_by(first)`.
    """
    if is_essential(packet):
        return _trace(Verdict.ALLOW, Reason.ESSENTIAL_ICMPV6)
    untracked = evaluate_untracked(packet, direction, endpoint, sets, failsafes)
    if untracked.verdict is not Verdict.CONTINUE:
        return replace(untracked, is_tracked=False)
    trace = _evaluate_normal(
        packet, direction, endpoint, sets, failsafes, relation, is_for_host=is_for_host, drops_invalid=drops_invalid
    )
    return replace(trace, steps=untracked.steps + trace.steps)


def is_for_host(packet: Packet, interface: Interface, addresses: HostAddresses) -> bool:
    """Whether an arriving packet is for this host itself. One that is not, and that nobody forwards, counts as such:
    in IPv6 what has a link-local or loopback address, or that of a group as its source (RFC 4291 sections 2.5 and 2.7).
    """
    if addresses.contains(packet.version, packet.destination) or packet.version not in interface.forwards:
        return True
    ends = (packet.source, packet.destination)
    return packet.version == 6 and any(end >> 118 in _NEAR or end == 1 for end in ends)


def evaluate_untracked(
    packet: Packet, direction: Direction, endpoint: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes
) -> Trace:
    """The verdict of the endpoint's untracked policy alone, which may be to continue."""
    if is_essential(packet):
        return _trace(Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6)
    if failsafes.protect(packet, direction):
        return _trace(Verdict.CONTINUE, Reason.FAILSAFE)
    tiers = [_rules(group, direction) for group in endpoint.stage(Stage.UNTRACKED, direction)]
    return _walk(packet, tiers, sets, Stage.UNTRACKED)


def _evaluate_normal(
    packet: Packet,
    direction: Direction,
    endpoint: EndpointState,
    sets: Mapping[str, IPSet],
    failsafes: Failsafes,
    relation: Relation,
    *,
    is_for_host: bool,
    drops_invalid: bool,
) -> Trace:
    if relation is Relation.ESTABLISHED:
        return _trace(Verdict.ALLOW, Reason.ESTABLISHED, stage=Stage.NORMAL)
    if relation is Relation.RELATED:
        return _trace(Verdict.ALLOW, Reason.RELATED, stage=Stage.NORMAL)
    if not is_for_host:
        return _trace(Verdict.ALLOW, Reason.FORWARDED, stage=Stage.FORWARD)
    if failsafes.opens(packet, direction):
        return _trace(Verdict.ALLOW, Reason.FAILSAFE, stage=Stage.NORMAL)
    if relation is Relation.INVALID and drops_invalid:
        return _trace(Verdict.DENY, Reason.INVALID, stage=Stage.NORMAL)
    return _walk(packet, normal_groups(endpoint, direction), sets, Stage.NORMAL)


def normal_groups(endpoint: EndpointState, direction: Direction) -> list[Sequence[tuple[RuleRef, Rule]]]:
    """The normal class as groups of rules: a Pass goes on with the next group, and the last one denies everything."""
    groups: list[Sequence[tuple[RuleRef, Rule]]] = []
    for group in endpoint.stage(Stage.NORMAL, direction):
        rules = list(_rules(group, direction))
        if group.tier.default_action is TierAction.DENY:
            rules.append((tier_end(group.tier.name), DENY_ALL))
        groups.append(rules)
    for profile in endpoint.profiles:
        if isinstance(profile, MissingProfile):
            groups.append([(missing_profile(profile.name), DENY_ALL)])
        else:
            key = PolicyKey("Profile", "", profile.name)
            rules_of = profile.ingress if direction is Direction.INGRESS else profile.egress
            groups.append([(RuleRef("", key, index), rule) for index, rule in enumerate(rules_of)])
    groups.append([(default_deny(endpoint.endpoint), DENY_ALL)])
    return groups


def is_essential(packet: Packet) -> bool:
    """Whether IPv6 itself breaks without this packet; a later fragment has no type and never is.

    Source: semantics.md, row "Essential ICMPv6".
    """
    if packet.version != 6 or packet.protocol != ICMPV6 or packet.fragment is Fragment.LATER:
        return False
    if packet.icmp_type in NEIGHBOUR_DISCOVERY:
        return packet.hop_limit == 255
    return packet.icmp_type in LISTENER_DISCOVERY


def _walk(
    packet: Packet, groups: Sequence[Iterable[tuple[RuleRef, Rule]]], sets: Mapping[str, IPSet], stage: Stage
) -> Trace:
    """Groups and their rules in order; only rules that surely hold become steps."""
    possible: set[Verdict] = set()
    steps: list[Step] = []
    for group in groups:
        may_have_passed = False
        for ref, rule in group:
            holds = rule.holds(packet, sets)
            if holds is False:
                continue
            step = Step(ref, rule.action.value.lower())
            match rule.action:
                case Action.LOG:
                    if holds:
                        steps.append(step)
                case Action.PASS:
                    if holds:
                        steps.append(step)
                        break
                    may_have_passed = True
                case Action.ALLOW | Action.DENY:
                    possible.add(Verdict.ALLOW if rule.action is Action.ALLOW else Verdict.DENY)
                    if len(possible) > 1:
                        return _conclude(possible, None, steps, stage)
                    if holds and may_have_passed:
                        break
                    if holds:
                        return _conclude(possible, ref, [*steps, step], stage)
                case _:
                    assert_never(rule.action)
    possible.add(Verdict.CONTINUE)
    return _conclude(possible, None, steps, stage)


def _rules(group: TierPolicies, direction: Direction) -> Iterator[tuple[RuleRef, Rule]]:
    for policy in group.policies:
        for index, rule in enumerate(policy.rules(direction)):
            yield RuleRef(group.tier.name, policy.key, index), rule


def _conclude(possible: set[Verdict], last: RuleRef | None, steps: list[Step], stage: Stage) -> Trace:
    """The one possible verdict, or a drop where policy could have depended on ports that are not there.

    `last` is what surely ended the walk; without one, the end of the last group was reached.
    """
    if len(possible) > 1:
        return _trace(Verdict.DENY, Reason.FRAGMENT, stage=stage, steps=steps)
    (verdict,) = possible
    reason = Reason.NO_MATCH if verdict is Verdict.CONTINUE else last.reason if last is not None else Reason.POLICY
    return _trace(verdict, reason, stage=stage, rule=last, steps=steps)


def _trace(
    verdict: Verdict,
    reason: Reason,
    *,
    stage: Stage = Stage.UNTRACKED,
    rule: RuleRef | None = None,
    steps: Sequence[Step] = (),
) -> Trace:
    return Trace(verdict=verdict, reason=reason, stage=stage, rule=rule, steps=tuple(steps))
