"""`ports` and `notPorts`: numbers, ranges and named ports, ORed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.ipset import IPSet, NamedPortSet, PortSet
from tortie.model.matches.set import holds_port_set
from tortie.model.packet import PORTED, Packet, Side


class PortRange(NamedTuple):
    """First and last port, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PortMatch:
    """Packets whose port on that side is in a range or is a named port of that address; in none of them when negated.

    A positive match never holds for a protocol without ports; a negated one always does.
    """

    side: Side
    ranges: tuple[PortRange, ...]
    named: tuple[NamedPortSet, ...] = ()
    negated: bool = False

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Unknown in a later fragment of TCP, UDP or SCTP where the port decides."""
        if packet.protocol not in PORTED:
            return self.negated
        port = packet.port(self.side)
        if port is None and self.ranges:
            return None
        found: bool | None = port is not None and any(r.first <= port <= r.last for r in self.ranges)
        for source in self.named:
            members = sets.get(source.set_id)
            if found is not True and isinstance(members, PortSet):
                member = holds_port_set(members, packet, self.side, negated=False)
                found = member if member is not False else found
        return None if found is None else found != self.negated
