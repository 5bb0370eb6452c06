"""One packet as policy sees it: the innermost IP header behind Ethernet and VLAN tags, and the start of its payload."""

from dataclasses import dataclass, replace
from enum import Enum

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 58, 132, 136
PORTED = (TCP, UDP, SCTP)
"""Protocols whose ports policy may name."""


class Side(Enum):
    """Which end of the packet a match looks at."""

    SOURCE = "source"
    DESTINATION = "destination"


class Direction(Enum):
    """Towards the endpoint, or away from it."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Fragment(Enum):
    """Whole packet, first fragment (has the ports), or a later one (has none)."""

    WHOLE = "whole"
    FIRST = "first"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The fields that matches read.

    Ports are None where the protocol has none or the packet is a later fragment; `icmp_type` and `icmp_code` are set
    for protocols 1 and 58 only, and None in a later fragment. Addresses are integers in host order.
    """

    version: int
    protocol: int
    source: int
    destination: int
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    fragment: Fragment = Fragment.WHOLE
    fragment_id: int = 0
    hop_limit: int = 64

    def address(self, side: Side) -> int:
        """The address on that side."""
        return self.source if side is Side.SOURCE else self.destination

    def port(self, side: Side) -> int | None:
        """The port on that side, None where the packet shows none."""
        return self.source_port if side is Side.SOURCE else self.destination_port

    def completed_by(self, first: "Packet") -> "Packet":
        """This later fragment with what its first fragment showed; any other packet as it is.

        Because: a later fragment follows the verdict of its first (semantics.md, "Fragments"). What is remembered is
        that one's protocol and ports, so that later ones are judged and counted by the policy of their own moment.
        """
        if self.fragment is not Fragment.LATER:
            return self
        return replace(first, hop_limit=self.hop_limit)
