"""`ipVersion`, and the family that a protocol name implies."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.ipset import IPSet
from tortie.model.packet import Packet


@dataclass(frozen=True, slots=True)
class VersionMatch:
    """Packets of that IP version (4 or 6)."""

    version: int

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Never unknown."""
        return packet.version == self.version
