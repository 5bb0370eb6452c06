"""What a change of policy means for flows that exist: which of them are forgotten, so that policy decides anew."""

from collections.abc import Iterable, Iterator

from tortie.dataplane.batches import forget_in_batches
from tortie.dataplane.driver import Established
from tortie.dataplane.ebpf.flows import FlowTables, StoredFlow
from tortie.model.conntrack import Flow, Relation
from tortie.model.desired import DesiredState, EndpointState, HostAddresses
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate, is_for_host
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction, Packet
from tortie.model.verdict import Verdict


def reconsider(
    flows: FlowTables,
    choice: Established,
    enforced: DesiredState,
) -> Iterator[int]:
    """Forget flows of the interfaces where that is enforced, a batch for each step; how many went.

    A flow that was taken over knows no interface: it is forgotten if no endpoint would allow it. Its next packet is
    judged as if it were new.
    """
    if choice is Established.KEEP:
        return
    yield from forget_in_batches(_forgotten(flows.flows(), choice, enforced), flows.forget)


def _forgotten(flows: Iterable[StoredFlow], choice: Established, enforced: DesiredState) -> Iterator[StoredFlow | None]:
    """For each flow: itself where it is to be forgotten, None where it stays."""
    for one in flows:
        candidates = [state for state in enforced.endpoints.values() if one.ifindex in (0, state.interface.index)]
        is_over = bool(candidates) and (
            choice is Established.KILL or not any(_is_allowed(one.flow, state, enforced) for state in candidates)
        )
        yield one if is_over else None


def _is_allowed(flow: Flow, state: EndpointState, enforced: DesiredState) -> bool:
    """Whether the packet that opened the flow would be allowed to do so now."""
    direction = Direction.EGRESS if flow.is_outbound else Direction.INGRESS
    packet = opener_of(flow)
    found = evaluate(
        packet,
        direction,
        state,
        enforced.sets,
        enforced.failsafes,
        Relation.NEW,
        is_for_host=_concerns_host(packet, direction, state.interface, enforced.addresses),
    )
    return found.verdict is Verdict.ALLOW


def _concerns_host(packet: Packet, direction: Direction, interface: Interface, addresses: HostAddresses) -> bool:
    """Whether the host does not forward that packet."""
    if direction is Direction.INGRESS:
        return is_for_host(packet, interface, addresses)
    return packet.version not in interface.forwards or (packet.version, packet.source) in addresses.unicast


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
