"""Connections between the driver's own table and the kernel's connection tracking, where one driver takes another's
place. Pure.

The kernel cannot be told of SCTP and DCCP: it wants tags that the driver's table does not have.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tortie.dataplane.ebpf.takeover import place_of
from tortie.kernel.ctnetlink import ASSURED, SEEN_REPLY, ConntrackEntry, ConntrackTuple, TcpState
from tortie.model.conntrack import Flow, FlowKey, FlowState, Timeouts
from tortie.model.desired import EndpointState
from tortie.model.packet import ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6, PORTED, TCP, UDP
from tortie.model.policy import Profile, Stage
from tortie.model.rule import Action, Rule

TRACKING = "inet tortie-tracking"
"""A table whose one rule no packet meets: as long as a rule asks for connections, the kernel tracks them."""
TRACK = f"table {TRACKING} {{\n\tchain asks {{\n\t\tct state new accept\n\t}}\n}}\n"
_UDP_LITE = 136
_TELLABLE_PORTED = (TCP, UDP, _UDP_LITE)
_NOTICES = Profile("change-of-dataplane", {}, (Rule(Action.ALLOW),), (Rule(Action.ALLOW),))


def noticing(state: EndpointState) -> EndpointState:
    """The endpoint as it is while another driver still decides: everything but untracked policy allows, so that
    connections are noticed. Untracked policy holds at once: what it allows is in no table."""
    tiers = {key: groups for key, groups in state.tiers.items() if key[0] is Stage.UNTRACKED}
    return replace(state, tiers=tiers, profiles=(_NOTICES,))


def tracked_keys(entries: Iterable[ConntrackEntry]) -> Iterator[FlowKey]:
    """The flows that the kernel tracks, each as it is on both sides of a translation."""
    for entry in entries:
        for side in (entry.original, entry.reply):
            where = place_of(side)
            if where is not None:
                yield where[0]


def untold(flows: Iterable[Flow], tracked: Sequence[ConntrackEntry], timeouts: Timeouts) -> Iterator[ConntrackEntry]:
    """An entry for each flow that goes on and that the kernel does not know, or not that it was answered."""
    known = set(tracked_keys(tracked))
    answered = set(tracked_keys(entry for entry in tracked if entry.is_answered))
    for flow in flows:
        if flow.is_closed or flow.key in (answered if flow.is_answered else known):
            continue
        tuples = _tuples(flow)
        if tuples is None:
            continue
        is_assured = flow.state is FlowState.ESTABLISHED and flow.is_answered
        yield ConntrackEntry(
            *tuples,
            status=(SEEN_REPLY if flow.is_answered else 0) | (ASSURED if is_assured else 0),
            # The one state in which the kernel takes whatever may come next, an answer to a SYN included.
            tcp_state=TcpState.ESTABLISHED if flow.key[1] == TCP else None,
            timeout_s=max(1, int(timeouts.of(flow.key[1], flow.state))),
            zone=0,
        )


def _tuples(flow: Flow) -> tuple[ConntrackTuple, ConntrackTuple] | None:
    """What the opener sends and what it is answered; None where the kernel cannot be told."""
    version, protocol, low, low_port, high, high_port = flow.key
    if protocol in (ICMP, ICMPV6):  # the asker, an identifier, who is asked, the type of the request
        if high_port not in ICMP_REQUESTS[protocol]:
            return None
        reply = ICMP_REPLIES[protocol][ICMP_REQUESTS[protocol].index(high_port)]
        return (
            ConntrackTuple(version, protocol, low, high, icmp_type=high_port, icmp_code=0, icmp_id=low_port),
            ConntrackTuple(version, protocol, high, low, icmp_type=reply, icmp_code=0, icmp_id=low_port),
        )
    ends = [(low, low_port), (high, high_port)]
    (here, here_port), (there, there_port) = ends[flow.opener], ends[1 - flow.opener]
    if protocol in _TELLABLE_PORTED:
        return (
            ConntrackTuple(version, protocol, here, there, here_port, there_port),
            ConntrackTuple(version, protocol, there, here, there_port, here_port),
        )
    if protocol in PORTED:
        return None
    return ConntrackTuple(version, protocol, here, there), ConntrackTuple(version, protocol, there, here)
