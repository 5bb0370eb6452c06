"""The packets without which IPv6 itself stops: they pass before every class."""

from tortie.model.packet import ICMPV6, Fragment, Packet

NEIGHBOUR_DISCOVERY = range(133, 137)
"""Router and neighbour solicitation and advertisement."""
NEIGHBOUR_HOP_LIMIT = 255
"""That of genuine ones (RFC 4861 6.1, 7.1): no router has passed them on."""
LISTENER_DISCOVERY = (130, 131, 132, 143)
"""MLD queries, reports and done, MLDv2 reports."""


def is_essential(packet: Packet) -> bool:
    """Whether IPv6 itself breaks without this packet; a later fragment has no type and never is.

    Source: semantics.md, row "Essential ICMPv6".
    """
    if packet.version != 6 or packet.protocol != ICMPV6 or packet.fragment is Fragment.LATER:
        return False
    if packet.icmp_type in NEIGHBOUR_DISCOVERY:
        return packet.hop_limit == NEIGHBOUR_HOP_LIMIT
    return packet.icmp_type in LISTENER_DISCOVERY
