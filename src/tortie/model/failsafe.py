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

    def protect(self, packet: Packet, direction: Direction) -> bool:
        """Whether the packet skips the untracked stage: it goes to a failsafe port, or it is the reply leg of one.

        A later fragment has no ports and is never protected.
        """
        if packet.protocol not in PORTED or packet.fragment is Fragment.LATER:
            return False
        if direction is Direction.INGRESS:
            forward, reply, remote = self.inbound, self.outbound, packet.address(Side.SOURCE)
        else:
            forward, reply, remote = self.outbound, self.inbound, packet.address(Side.DESTINATION)
        return any(
            entry.protocol == packet.protocol
            and entry.port == port
            and (entry.net is None or entry.net.contains(packet.version, remote))
            for entries, port in ((forward, packet.destination_port), (reply, packet.source_port))
            for entry in entries
        )
