"""What a change of policy means for flows that exist: which of them are forgotten, so that policy decides anew."""

from collections.abc import Iterator, Mapping

from tortie.dataplane.driver import Established
from tortie.dataplane.ebpf.flows import FlowTables, StoredFlow
from tortie.model.conntrack import Flow, Relation
from tortie.model.desired import EndpointState
from tortie.model.evaluate import evaluate
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction, Packet
from tortie.model.verdict import Verdict

BATCH = 500
"""Flows of one step: some 25 ms of evaluation."""


def reconsider(
    flows: FlowTables,
    choice: Established,
    states: Mapping[int, EndpointState],
    sets: Mapping[str, IPSet],
    failsafes: Failsafes,
) -> Iterator[int]:
    """Forget flows, a batch for each step; how many went. `states`: by interface index, what is enforced there.

    A flow that was taken over knows no interface: it is forgotten if no endpoint would allow it. Its next packet is
    judged as if it were new.
    """
    if choice is Established.KEEP:
        return
    batch: list[StoredFlow] = []
    for number, one in enumerate(flows.flows(), 1):
        candidates = [state for index, state in states.items() if one.ifindex in (0, index)]
        if candidates and (
            choice is Established.KILL or not any(_is_allowed(one.flow, state, sets, failsafes) for state in candidates)
        ):
            batch.append(one)
        if number % BATCH == 0:
            yield flows.forget(batch)
            batch.clear()
    yield flows.forget(batch)


def _is_allowed(flow: Flow, state: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes) -> bool:
    """Whether the packet that opened the flow would be allowed to do so now."""
    direction = Direction.EGRESS if flow.is_outbound else Direction.INGRESS
    found = evaluate(opener_of(flow), direction, state, sets, failsafes, Relation.NEW)
    return found.verdict is Verdict.ALLOW


def opener_of(flow: Flow) -> Packet:
    """The packet that opens such a flow."""
    version, protocol, low, low_port, high, high_port = flow.key
    ends = (low, low_port), (high, high_port)
    (source, source_port), (destination, destination_port) = ends[flow.opener], ends[1 - flow.opener]
    has_ports, is_icmp = protocol in PORTED, protocol in (ICMP, ICMPV6)
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=destination,
        source_port=source_port if has_ports else None,
        destination_port=destination_port if has_ports else None,
        icmp_type=high_port if is_icmp else None,
        icmp_code=0 if is_icmp else None,
        icmp_id=low_port if is_icmp else 0,
    )
