"""Sets of packets, exact: what rules and matches stand for, to be joined, cut, compared and asked for an example.

    packets = PacketSpace(sets, rules, [office])       everything that will be asked about
    open = packets.rule(rule).surely                   every packet that the rule holds for
    hole = open - packets.nets(Side.SOURCE, office)
    hole.sample()                                      a packet of it, None where it is empty

Spaces of one `PacketSpace` (packetspace.py) can be joined with each other, and with no others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.address import Net
from tortie.model.packet import PORTED, Packet, Side
from tortie.model.space.addresses import Interval, joined, nets_of
from tortie.model.space.diagram import (
    NOTHING,
    Diagram,
    Merge,
    Node,
    intervals,
    otherwise,
    value_of,
    within,
    without,
)
from tortie.model.space.fields import ADDRESS, PORT, Field, Ground
from tortie.model.space.sample import example


@dataclass(frozen=True, slots=True)
class Space:
    """A set of packets. Two that hold the same packets are equal; an empty one is false."""

    ground: Ground
    diagram: Diagram

    def __bool__(self) -> bool:
        return self.diagram is not NOTHING

    def __contains__(self, packet: Packet) -> bool:
        return value_of(self.diagram, self.ground.values_of(packet)) is not None

    def __or__(self, other: "Space") -> "Space":
        return self._merged(otherwise, other)

    def __and__(self, other: "Space") -> "Space":
        return self._merged(within, other)

    def __sub__(self, other: "Space") -> "Space":
        return self._merged(without, other)

    def __le__(self, other: "Space") -> bool:
        return not self - other

    def sample(self) -> Packet | None:
        """The most natural packet of it, always the same one; None where it is empty."""
        return example(self.ground, self.diagram)

    def addresses(self, side: Side, version: int) -> tuple[Net, ...]:
        """The addresses on that side of all packets of one IP version, as the fewest networks."""
        field = ADDRESS[side, version]
        part = self & where(self.ground, Field.IS_IPV6, [(int(version == 6), int(version == 6))])
        found = _values(part.diagram, field, self.ground)
        classes = [number for first, last in found for number in range(first, last + 1)]
        return nets_of(version, self.ground.classes[field].addresses(classes))

    def ports(self, side: Side) -> tuple[Interval, ...]:
        """The ports on that side of all packets; ask it of a space whose packets all have ports."""
        return _values(self.diagram, PORT[side], self.ground)

    def protocols(self) -> tuple[Interval, ...]:
        """The protocol numbers of all packets."""
        return _values(self.diagram, Field.PROTOCOL, self.ground)

    def box(self) -> "Space":
        """Every packet each of whose addresses, protocol and ports some packet of the space has, seen by itself.

        What a person reads out of lists of these values: never less than the space, and more where the values go
        together. Ports count where all packets have them.
        """
        protocols = self.protocols()
        rest = where(self.ground, Field.PROTOCOL, protocols)
        if all(first == last and first in PORTED for first, last in protocols):
            rest &= where(self.ground, Field.IS_LATER, [(0, 0)])
            for side in Side:
                rest &= where(self.ground, PORT[side], self.ports(side))
        found = Space(self.ground, NOTHING)
        for version in (4, 6):
            part = where(self.ground, Field.IS_IPV6, [(int(version == 6), int(version == 6))])
            if mine := self & part:
                for side in Side:
                    field = ADDRESS[side, version]
                    part &= where(self.ground, field, _values(mine.diagram, field, self.ground))
                found |= part & rest
        return found

    def _merged(self, how: Merge, other: "Space") -> "Space":
        if self.ground is not other.ground:
            raise ValueError("spaces of two questions cannot be joined: make both from one PacketSpace")
        return Space(self.ground, self.ground.diagrams.merge(how, self.diagram, other.diagram))


class Likely(NamedTuple):
    """The packets that something surely holds for, and those that it may hold for: later fragments do not tell."""

    surely: Space
    maybe: Space


def _values(diagram: Diagram, field: Field, ground: Ground) -> tuple[Interval, ...]:
    """Every value of the field on some way to a leaf; all of them where a way does not ask for it."""
    found: list[Interval] = []
    seen: set[Diagram] = {NOTHING}
    waiting = [diagram]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.field > field:
            return ((0, ground.last(field)),)
        if isinstance(one, Node) and one.field == field:
            found += [(first, last) for first, last, _ in intervals(one)]
        elif isinstance(one, Node):
            waiting += dict.fromkeys(one.children)
    return joined(found)


def where(ground: Ground, field: Field, wanted: Iterable[Interval]) -> Space:
    """The packets with one of those values in the field; for those who know where the field means something."""
    bounds: list[int] = []
    children: list[Diagram] = []
    for first, last in joined(wanted):
        if first:
            bounds.append(first - 1)
            children.append(NOTHING)
        bounds.append(last)
        children.append(ground.inside)
    if not bounds or bounds[-1] < ground.last(field):
        bounds.append(ground.last(field))
        children.append(NOTHING)
    return Space(ground, ground.diagrams.node(field, bounds, children))
