"""One packet out of many: such as a person would have taken for an example, and always the same one.

It is the first packet of a TCP connection between two ordinary addresses where the space has one, else what comes
nearest: each field in turn gets its most natural value that still leads somewhere.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence

from tortie.model.essential import NEIGHBOUR_DISCOVERY, NEIGHBOUR_HOP_LIMIT
from tortie.model.packet import ICMP, ICMP_REQUESTS, ICMPV6, PORTED, SCTP, TCP, UDP, Fragment, Packet, Side
from tortie.model.space.diagram import NOTHING, Diagram, Leaf, Node, intervals
from tortie.model.space.fields import ADDRESS, Field, Ground

_USUAL_HOP_LIMIT = 64
_GRE = 47
_EPHEMERAL = 40000
USUAL = {
    Field.SOURCE_IPV4: (0xCB007109, 0x0A000009),
    Field.SOURCE_IPV6: (0x20010DB8 << 96 | 9,),
    Field.DESTINATION_IPV4: (0xC000020A, 0x0A00000A),
    Field.DESTINATION_IPV6: (0x20010DB8 << 96 | 10,),
}
"""203.0.113.9 and 192.0.2.10 (RFC 5737), 10.0.0.9 and 10.0.0.10, 2001:db8::9 and 2001:db8::a (RFC 3849)."""

Chosen = dict[Field, int]


def examples(ground: Ground, diagram: Diagram) -> dict[Hashable, Packet]:
    """A packet for each value of the map."""
    return _Search(ground).all(diagram)


def example(ground: Ground, diagram: Diagram) -> Packet | None:
    """The most natural packet that the map says something of; None where it says nothing of any."""
    if diagram is NOTHING:
        return None
    search = _Search(ground)
    chosen: Chosen = {}
    while isinstance(diagram, Node):
        field = Field(diagram.field)
        chosen[field], diagram = next(search.ways(diagram, chosen))
    return search.packet(chosen)


class _Search:
    """For packets in the diagrams of one ground."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def all(self, diagram: Diagram) -> dict[Hashable, Packet]:
        """A packet for each leaf: on the most natural way to it over what no earlier way went over."""
        found: dict[Hashable, Packet] = {}
        seen: set[Diagram] = {NOTHING}
        waiting: list[tuple[Diagram, Chosen]] = [(diagram, {})]
        while waiting:
            one, chosen = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if isinstance(one, Leaf):
                found[one.value] = self.packet(chosen)
                continue
            ways: dict[Diagram, int] = {}
            for value, child in self.ways(one, chosen):
                ways.setdefault(child, value)
            field = Field(one.field)
            waiting += [(child, {**chosen, field: value}) for child, value in reversed(ways.items())]
        return found

    def ways(self, node: Node, chosen: Chosen) -> Iterator[tuple[int, Diagram]]:
        """Values of the node's field that lead to something, the most natural first, one at least for each child."""
        for value in self._natural(Field(node.field), chosen):
            child = node.children[bisect_left(node.bounds, value)]
            if child is not NOTHING:
                yield value, child
        for first, _, child in intervals(node):
            yield first, child

    def _natural(self, field: Field, chosen: Chosen) -> Sequence[int]:
        if field in USUAL:
            classes = self._ground.classes[field]
            return [classes.of(address) for address in USUAL[field]]
        return _natural(field, chosen)

    def packet(self, chosen: Chosen) -> Packet:
        """The packet with those values, and natural ones for fields that nobody chose."""
        values = dict(chosen)
        for field in Field:
            if field not in values:
                values[field] = self._natural(field, values)[0]
        version = 6 if values[Field.IS_IPV6] else 4
        protocol, is_later = values[Field.PROTOCOL], bool(values[Field.IS_LATER])
        has_ports = protocol in PORTED and not is_later
        is_icmp = protocol in (ICMP, ICMPV6) and not is_later
        source, destination = (ADDRESS[side, version] for side in (Side.SOURCE, Side.DESTINATION))
        return Packet(
            version=version,
            protocol=protocol,
            source=self._ground.classes[source].examples[values[source]],
            destination=self._ground.classes[destination].examples[values[destination]],
            source_port=values[Field.SOURCE_PORT] if has_ports else None,
            destination_port=values[Field.DESTINATION_PORT] if has_ports else None,
            icmp_type=values[Field.ICMP_TYPE] if is_icmp else None,
            icmp_code=values[Field.ICMP_CODE] if is_icmp else None,
            fragment=Fragment.LATER if is_later else Fragment.WHOLE,
            hop_limit=NEIGHBOUR_HOP_LIMIT if values[Field.HAS_FULL_HOP_LIMIT] else _USUAL_HOP_LIMIT,
        )


def _natural(field: Field, chosen: Chosen) -> Sequence[int]:
    """Values that people would think of first."""
    match field:
        case Field.PROTOCOL:
            return (TCP, UDP, ICMPV6 if chosen.get(Field.IS_IPV6) else ICMP, SCTP, _GRE)
        case Field.ICMP_TYPE:
            return ICMP_REQUESTS[ICMPV6 if chosen.get(Field.PROTOCOL) == ICMPV6 else ICMP]
        case Field.HAS_FULL_HOP_LIMIT:
            return (1, 0) if chosen.get(Field.ICMP_TYPE) in NEIGHBOUR_DISCOVERY else (0, 1)
        case Field.DESTINATION_PORT:
            return (443, 80, 22, 53)
        case Field.SOURCE_PORT:
            return (_EPHEMERAL, 50000, 32768)
        case _:
            return (0,)
