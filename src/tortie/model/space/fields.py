"""The fields of packets that policy looks at, as numbers: the dimensions of the space of packets.

A packet has a value for each; one that it does not show is 0 and is never asked for, because a diagram asks for ports
only below a protocol that has them and a fragment that shows them, and for addresses only below their IP version. The
value of an address is the number of its class.
"""

from collections.abc import Mapping
from enum import IntEnum

from tortie.model.essential import NEIGHBOUR_HOP_LIMIT
from tortie.model.packet import Fragment, Packet, Side
from tortie.model.space.addresses import AddressClasses
from tortie.model.space.diagram import Diagrams


class Field(IntEnum):
    """In the order in which diagrams ask for them.

    Because: addresses have classes, so that they are few, and few rules are left below a pair of them; with ports first
    a rule with a wide range is met again below every port that another rule names. Measured in decision 13.
    """

    IS_LATER = 0
    IS_IPV6 = 1
    PROTOCOL = 2
    SOURCE_IPV4 = 3
    SOURCE_IPV6 = 4
    DESTINATION_IPV4 = 5
    DESTINATION_IPV6 = 6
    ICMP_TYPE = 7
    ICMP_CODE = 8
    HAS_FULL_HOP_LIMIT = 9
    DESTINATION_PORT = 10
    SOURCE_PORT = 11


LAST = {
    Field.IS_LATER: 1,
    Field.IS_IPV6: 1,
    Field.PROTOCOL: 255,
    Field.ICMP_TYPE: 255,
    Field.ICMP_CODE: 255,
    Field.HAS_FULL_HOP_LIMIT: 1,
    Field.DESTINATION_PORT: 65535,
    Field.SOURCE_PORT: 65535,
}
"""The last value of each field but addresses; the first is 0."""

PORT = {Side.SOURCE: Field.SOURCE_PORT, Side.DESTINATION: Field.DESTINATION_PORT}
ADDRESS = {
    (Side.SOURCE, 4): Field.SOURCE_IPV4,
    (Side.SOURCE, 6): Field.SOURCE_IPV6,
    (Side.DESTINATION, 4): Field.DESTINATION_IPV4,
    (Side.DESTINATION, 6): Field.DESTINATION_IPV6,
}


class Ground:
    """What the spaces of one question stand on: where their diagrams are made, and the classes of addresses."""

    def __init__(self, classes: Mapping[Field, AddressClasses]) -> None:
        self.diagrams = Diagrams()
        self.inside = self.diagrams.leaf("inside")
        self.classes = classes

    def last(self, field: Field) -> int:
        """The last value of the field; the first is 0."""
        return LAST[field] if field in LAST else self.classes[field].last

    def values_of(self, packet: Packet) -> list[int]:
        """The packet's values by field."""
        values = [0] * len(Field)
        values[Field.IS_LATER] = int(packet.fragment is Fragment.LATER)
        values[Field.IS_IPV6] = int(packet.version == 6)
        values[Field.PROTOCOL] = packet.protocol
        values[Field.ICMP_TYPE], values[Field.ICMP_CODE] = packet.icmp_type or 0, packet.icmp_code or 0
        values[Field.HAS_FULL_HOP_LIMIT] = int(packet.hop_limit == NEIGHBOUR_HOP_LIMIT)
        for side in Side:
            values[PORT[side]] = packet.port(side) or 0
            field = ADDRESS[side, packet.version]
            values[field] = self.classes[field].of(packet.address(side))
        return values
