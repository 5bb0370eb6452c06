"""What a verdict is where one endpoint alone is asked, as a driver of host interfaces asks it.

    essential ICMPv6 ─▶ untracked: failsafes, policy ─▶ connection table
        ─▶ pre-DNAT, of what arrives: failsafes, invalid?, policy
        ─▶ for this host? ─┬─▶ normal: failsafes, invalid?, tiers, profiles, default deny
                           └─▶ forward: invalid?, tiers

On an interface of a workload the wildcard has pre-DNAT and forward policy only: the host's own passes there.

Every driver is tested against `evaluate`; where the kernel and this file disagree, the kernel is wrong. The stages
themselves are in `stages.py`; the whole way of a packet through a host, with the other interface that it crosses and
with workloads, is in `passage.py`.

Source: reference semantics.md (wins), dataplane-policy.md A.6, resources.md section 7.
"""

from collections.abc import Mapping
from dataclasses import replace

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, HostAddresses
from tortie.model.endpoint import Interface
from tortie.model.essential import is_essential as is_essential
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.stages import forward, normal, pre_dnat, untracked
from tortie.model.verdict import Reason, Trace, Verdict
from tortie.model.walk import Given, reasoned

_NEAR = (0x3FA, *range(0x3FC, 0x400))
"""First ten bits of fe80::/10 and ff00::/8."""


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
    what the host forwards meets the forward class instead. A later fragment whose first
    one is known is asked about as `packet.completed_by(first)`.
    """
    if is_essential(packet):
        return reasoned(Verdict.ALLOW, Reason.ESSENTIAL_ICMPV6, Stage.UNTRACKED)
    given = Given(sets, failsafes, drops_invalid)
    early = untracked(packet, direction, endpoint, given)
    if early.verdict is not Verdict.CONTINUE:
        return replace(early, is_tracked=False)
    if direction is Direction.INGRESS and endpoint.stage(Stage.PRE_DNAT, direction):
        next_one = pre_dnat(packet, endpoint, relation, given)
        early = replace(next_one, steps=early.steps + next_one.steps)
        if early.verdict is not Verdict.CONTINUE:
            return early
    is_known = relation in (Relation.ESTABLISHED, Relation.RELATED)
    if endpoint.is_beside_workload and is_for_host and not is_known:
        found = reasoned(Verdict.ALLOW, Reason.NO_MATCH, Stage.NORMAL)
    elif is_for_host or is_known:
        found = normal(packet, direction, endpoint, relation, given)
    else:
        found = forward(packet, direction, endpoint, relation, given)
    return replace(found, steps=early.steps + found.steps)


def evaluate_untracked(
    packet: Packet, direction: Direction, endpoint: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes
) -> Trace:
    """The verdict of the endpoint's untracked policy alone, which may be to continue."""
    if is_essential(packet):
        return reasoned(Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6, Stage.UNTRACKED)
    return untracked(packet, direction, endpoint, Given(sets, failsafes))


def is_for_host(packet: Packet, interface: Interface, addresses: HostAddresses) -> bool:
    """Whether an arriving packet is for this host itself. One that is not, and that nobody forwards, counts as such:
    in IPv6 what has a link-local or loopback address, or that of a group as its source (RFC 4291 sections 2.5 and 2.7).
    """
    if addresses.contains(packet.version, packet.destination) or packet.version not in interface.forwards:
        return True
    ends = (packet.source, packet.destination)
    return packet.version == 6 and any(end >> 118 in _NEAR or end == 1 for end in ends)
