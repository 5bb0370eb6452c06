"""`protocol` and `notProtocol`."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.ipset import IPSet
from tortie.model.packet import Packet


@dataclass(frozen=True, slots=True)
class ProtocolMatch:
    """Packets of that protocol number (IPv6: behind the extension headers), or of any other when negated."""

    protocol: int
    negated: bool = False

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Never unknown: every fragment carries its protocol."""
        return (packet.protocol == self.protocol) != self.negated
