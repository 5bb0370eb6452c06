"""What a change of policy means for connections of the kernel's table: which are forgotten.

The kernel does not say on which interface a connection is. The address that the host has in it tells; of what the host
forwards any endpoint may be meant, and the connection stays if one of them allows it.
"""

from collections.abc import Iterable, Iterator, Sequence

from tortie.dataplane.batches import forget_in_batches
from tortie.dataplane.driver import Established
from tortie.kernel.ctforget import forget
from tortie.kernel.ctnetlink import ConntrackEntry, read_entries
from tortie.model.conntrack import Relation
from tortie.model.desired import DesiredState, EndpointState
from tortie.model.evaluate import evaluate
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import Verdict


def reconsidered(choice: Established, enforced: DesiredState) -> Iterator[int]:
    """Forget those of the kernel's connections, a batch for each step; how many went. Raises: KernelError."""
    if choice is Established.KEEP:
        return
    yield from forget_in_batches(forgotten(read_entries(), choice, enforced), forget)


def forgotten(
    entries: Iterable[ConntrackEntry], choice: Established, enforced: DesiredState
) -> Iterator[ConntrackEntry | None]:
    """For each entry: itself where it is to be forgotten, None where it stays."""
    for entry in entries:
        candidates = _candidates(entry, enforced)
        is_over = bool(candidates) and (
            choice is Established.KILL or not any(_is_allowed(entry, state, enforced) for state in candidates)
        )
        yield entry if is_over and choice is not Established.KEEP else None


def _candidates(entry: ConntrackEntry, enforced: DesiredState) -> Sequence[EndpointState]:
    """The endpoints that the connection may be at."""
    version = entry.original.version
    ends = {(version, entry.original.source), (version, entry.reply.source)}
    states = list(enforced.endpoints.values())
    sure = [state for state in states if any((net.version, net.address) in ends for net in state.interface.addresses)]
    if sure or not ends & enforced.addresses.unicast:
        return sure or states
    return [state for state in states if not state.interface.addresses]  # the address is another interface's


def _is_allowed(entry: ConntrackEntry, state: EndpointState, enforced: DesiredState) -> bool:
    """Whether the packet that opened the connection would be allowed to do so now, at that endpoint."""
    packet = opener_of(entry)
    is_local = {
        Direction.INGRESS: enforced.addresses.contains(packet.version, packet.destination),
        Direction.EGRESS: (packet.version, packet.source) in enforced.addresses.unicast,
    }
    is_forwarded = not any(is_local.values())
    directions = [direction for direction in Direction if is_forwarded or is_local[direction]]
    return all(
        evaluate(
            packet,
            direction,
            state,
            enforced.sets,
            enforced.failsafes,
            Relation.NEW,
            is_for_host=not is_forwarded,
        ).verdict
        is Verdict.ALLOW
        for direction in directions
    )


def opener_of(entry: ConntrackEntry) -> Packet:
    """The first packet as normal and forward policy see it: with the destination behind translation."""
    asked, answer = entry.original, entry.reply
    return Packet(
        version=asked.version,
        protocol=asked.protocol,
        source=asked.source,
        destination=answer.source,
        source_port=asked.source_port,
        destination_port=answer.source_port,
        icmp_type=asked.icmp_type,
        icmp_code=asked.icmp_code,
        icmp_id=asked.icmp_id or 0,
    )
