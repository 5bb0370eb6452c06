"""What a verdict is: the untracked stage of one endpoint, for one packet.

Every driver is tested against `evaluate`; where the kernel and this file disagree, the kernel is wrong.

One walk serves whole packets and fragments. A later fragment shows no ports, so a rule that asks for them may or may
not have met the packet it belongs to: the walk then collects every verdict that was possible, and the packet gets one
only if it is the only one; else it is dropped.

Source: reference semantics.md (wins), dataplane-policy.md A.6, resources.md section 7.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import ICMPV6, Direction, Fragment, Packet
from tortie.model.policy import PolicyKey, Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Step, Trace, Verdict

NEIGHBOUR_DISCOVERY = range(133, 137)
"""Router and neighbour solicitation and advertisement; genuine ones have hop limit 255 (RFC 4861 6.1, 7.1)."""
LISTENER_DISCOVERY = (130, 131, 132, 143)
"""MLD queries, reports and done, MLDv2 reports."""


def evaluate(
    packet: Packet, direction: Direction, endpoint: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes
) -> Trace:
    """The verdict of the endpoint's untracked policy on a packet, with its explanation.

    A later fragment whose first one is known is asked about as `packet.completed_by(first)`.
    """
    if is_essential(packet):
        return _trace(Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6)
    if failsafes.protect(packet, direction):
        return _trace(Verdict.CONTINUE, Reason.FAILSAFE)
    return _walk(packet, direction, endpoint.stage(Stage.UNTRACKED, direction), sets)


def is_essential(packet: Packet) -> bool:
    """Whether IPv6 itself breaks without this packet; a later fragment has no type and never is.

    Source: semantics.md, row "Essential ICMPv6".
    """
    if packet.version != 6 or packet.protocol != ICMPV6 or packet.fragment is Fragment.LATER:
        return False
    if packet.icmp_type in NEIGHBOUR_DISCOVERY:
        return packet.hop_limit == 255
    return packet.icmp_type in LISTENER_DISCOVERY


def _walk(packet: Packet, direction: Direction, tiers: Sequence[TierPolicies], sets: Mapping[str, IPSet]) -> Trace:
    """Tiers, policies and rules in order; only rules that surely hold become steps."""
    possible: set[Verdict] = set()
    steps: list[Step] = []
    for group in tiers:
        may_have_passed = False
        for key, index, rule in _rules(group, direction):
            holds = rule.holds(packet, sets)
            if holds is False:
                continue
            ref = RuleRef(group.tier.name, key, index)
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
                        return _conclude(possible, None, steps)
                    if holds and may_have_passed:
                        break
                    if holds:
                        return _conclude(possible, ref, [*steps, step])
                case _:
                    assert_never(rule.action)
    possible.add(Verdict.CONTINUE)
    return _conclude(possible, None, steps)


def _rules(group: TierPolicies, direction: Direction) -> Iterator[tuple[PolicyKey, int, Rule]]:
    for policy in group.policies:
        for index, rule in enumerate(policy.rules(direction)):
            yield policy.key, index, rule


def _conclude(possible: set[Verdict], last: RuleRef | None, steps: list[Step]) -> Trace:
    """The one possible verdict, or a drop where policy could have depended on ports that are not there.

    `last` is the sure rule that ended the walk; without one, the end of the last tier was reached.
    """
    if len(possible) > 1:
        return _trace(Verdict.DENY, Reason.FRAGMENT, steps=steps)
    (verdict,) = possible
    reason = Reason.NO_MATCH if verdict is Verdict.CONTINUE else Reason.POLICY
    return _trace(verdict, reason, rule=last, steps=steps)


def _trace(verdict: Verdict, reason: Reason, *, rule: RuleRef | None = None, steps: Sequence[Step] = ()) -> Trace:
    return Trace(verdict=verdict, reason=reason, stage=Stage.UNTRACKED, rule=rule, steps=tuple(steps))
