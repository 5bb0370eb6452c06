"""`selector`, `notSelector`, service accounts, and a service's addresses: membership of an IP set."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.ipset import AddressSet, IPSet, PortSet, SetSource
from tortie.model.packet import PORTED, Packet, Side


@dataclass(frozen=True, slots=True)
class SetMatch:
    """Packets whose address on that side is a member of the set, or is not when negated.

    Where the source yields a port set (a service with ports), address, protocol and port must be a member together.
    """

    side: Side
    source: SetSource
    negated: bool = False

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Unknown only for a port set and a later fragment."""
        members = sets.get(self.source.set_id)
        if members is None:
            return self.negated
        address = packet.address(self.side)
        if isinstance(members, AddressSet):
            return members.contains(packet.version, address) != self.negated
        return holds_port_set(members, packet, self.side, negated=self.negated)


def holds_port_set(members: PortSet, packet: Packet, side: Side, *, negated: bool) -> bool | None:
    """Whether (address, protocol, port) is a member; None where a later fragment could be one."""
    if packet.protocol not in PORTED:
        return negated
    port = packet.port(side)
    address = packet.address(side)
    if port is None:
        could_be = any(
            m.version == packet.version and m.address == address and m.protocol == packet.protocol
            for m in members.members
        )
        return None if could_be else negated
    return members.contains(packet.version, address, packet.protocol, port) != negated
