"""Failsafe ports: what stays open whatever policy says.

Source: reference config.md section 4 (defaults), semantics.md (meaning).
"""

from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.address import Net
from tortie.model.packet import PORTED, TCP, UDP, Direction, Fragment, Packet, Side


class FailsafePort(NamedTuple):
    """Protocol (TCP, UDP or SCTP), port, and the remote net it is open for (None: everyone)."""

    protocol: int
    port: int
    net: Net | None = None


_COMMON = tuple(FailsafePort(TCP, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667))


@dataclass(frozen=True, slots=True)
class Failsafes:
    """Inbound: ports of this host. Outbound: ports of others."""

    inbound: tuple[FailsafePort, ...] = (FailsafePort(TCP, 22), FailsafePort(UDP, 68), *_COMMON)
    outbound: tuple[FailsafePort, ...] = (FailsafePort(UDP, 53), FailsafePort(UDP, 67), *_COMMON)

    def opens(self, packet: Packet, direction: Direction) -> bool:
        """Whether the packet goes to a failsafe port, which no policy of the normal class is asked about."""
        forward, _ = self._lists(direction)
        return _names(forward, packet, packet.destination_port, _remote(packet, direction))

    def protect(self, packet: Packet, direction: Direction) -> bool:
        """Whether the packet skips the untracked stage: it goes to a failsafe port, or it is the reply leg of one."""
        _, reply = self._lists(direction)
        return self.opens(packet, direction) or _names(reply, packet, packet.source_port, _remote(packet, direction))

    def _lists(self, direction: Direction) -> tuple[tuple[FailsafePort, ...], tuple[FailsafePort, ...]]:
        return (self.inbound, self.outbound) if direction is Direction.INGRESS else (self.outbound, self.inbound)


def _remote(packet: Packet, direction: Direction) -> int:
    return packet.address(Side.SOURCE if direction is Direction.INGRESS else Side.DESTINATION)


def _names(entries: tuple[FailsafePort, ...], packet: Packet, port: int | None, remote: int) -> bool:
    """Whether an entry names that port of the packet. A later fragment has no ports and is never protected."""
    if packet.protocol not in PORTED or packet.fragment is Fragment.LATER:
        return False
    return any(
        entry.protocol == packet.protocol
        and entry.port == port
        and (entry.net is None or entry.net.contains(packet.version, remote))
        for entry in entries
    )
