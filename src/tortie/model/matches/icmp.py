"""`icmp` and `notICMP`: type and code are one pair."""

from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.ipset import IPSet
from tortie.model.packet import ICMP, ICMPV6, Fragment, Packet


@dataclass(frozen=True, slots=True)
class IcmpMatch:
    """ICMP or ICMPv6 packets of that type (and code, unless None).

    Negated: every packet but those; packets of other protocols are not excluded.
    Source: semantics.md, row "icmp, notICMP".
    """

    type: int
    code: int | None = None
    negated: bool = False

    def holds(self, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
        """Unknown in a later fragment of ICMP."""
        if packet.protocol not in (ICMP, ICMPV6):
            return self.negated
        if packet.fragment is Fragment.LATER:
            return None
        same = packet.icmp_type == self.type and self.code in (None, packet.icmp_code)
        return same != self.negated
