"""One packet as policy sees it: the innermost IP header behind Ethernet and VLAN tags, and the start of its payload."""

from dataclasses import dataclass, replace
from enum import Enum

from tortie.model.names import ICMP as ICMP
from tortie.model.names import ICMPV6 as ICMPV6
from tortie.model.names import PORTED as PORTED
from tortie.model.names import SCTP as SCTP
from tortie.model.names import TCP as TCP
from tortie.model.names import UDP as UDP
from tortie.model.names import UDPLITE as UDPLITE
from tortie.model.names import Direction as Direction

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits of the TCP flags byte (RFC 9293 section 3.1)."""
ICMP_REQUESTS = {ICMP: (8, 13, 15, 17), ICMPV6: (128, 139)}
"""Types that ask: echo, timestamp, information, address mask; ICMPv6 echo and node information."""
ICMP_REPLIES = {ICMP: (0, 14, 16, 18), ICMPV6: (129, 140)}
ICMP_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (*range(128), 137)}
"""Types that carry the start of the packet they are about; ICMPv6 redirects (137) count among them."""


class Side(Enum):
    """Which end of the packet a match looks at."""

    SOURCE = "source"
    DESTINATION = "destination"


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

    What only connection tracking reads: `tcp_flags`, `sequence` and `acknowledgement` of TCP, `payload_bytes` behind
    its header; `icmp_id` of requests and replies; `inner`, the packet that an ICMP error is about; `is_sctp_init`.
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
    tcp_flags: int = SYN
    sequence: int = 0
    acknowledgement: int = 0
    payload_bytes: int = 0
    icmp_id: int = 0
    inner: "Packet | None" = None
    is_sctp_init: bool = True

    def address(self, side: Side) -> int:
        """The address on that side."""
        return self.source if side is Side.SOURCE else self.destination

    def port(self, side: Side) -> int | None:
        """The port on that side, None where the packet shows none."""
        return self.source_port if side is Side.SOURCE else self.destination_port

    def completed_by(self, first: "Packet") -> "Packet":
        """This later fragment with what its first fragment showed; any other packet as it is.

        Because: a later fragment follows the verdict of its first (semantics.md, "Fragments"). What is remembered is
        that one's protocol, ports and flags, so that later ones are judged and counted by the policy of their own
        moment. What an ICMP error is about is not remembered: nobody has to cut errors in pieces.
        """
        if self.fragment is not Fragment.LATER:
            return self
        return replace(first, hop_limit=self.hop_limit, inner=None)
