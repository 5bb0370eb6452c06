"""`nets` and `notNets`."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.address import Net
from tortie.model.ipset import IPSet
from tortie.model.packet import Packet, Side


@dataclass(frozen=True, slots=True)
class NetMatch:
    """Packets whose address on that side is in one of the nets, or in none of them when negated."""

    side: Side
    nets: tuple[Net, ...]
    negated: bool = False

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Never unknown. No nets: nothing is in them."""
        address = packet.address(self.side)
        return any(net.contains(packet.version, address) for net in self.nets) != self.negated
