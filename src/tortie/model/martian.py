"""Addresses that no packet from outside can have: who sends them wants to be taken for a part of this host.

Drivers drop such packets where they arrive, in front of policy and as they drop what they cannot read (decision 17): no
rule can mean them, so the evaluator is not asked. A known connection never has them.
"""

from tortie.model.address import Net
from tortie.model.desired import HostAddresses
from tortie.model.packet import Packet

_LOOPBACK = {4: Net(4, 127 << 24, 8), 6: Net(6, 1, 128)}
_GROUPS = {4: Net(4, 0xE << 28, 4), 6: Net(6, 0xFF << 120, 8)}
_EVERYONE = (1 << 32) - 1
_MAPPED = Net(6, 0xFFFF << 32, 96)


def is_martian(packet: Packet, addresses: HostAddresses) -> bool:
    """Whether an arriving packet comes from nobody, or goes where nothing on a wire goes.

    Loopback addresses; groups, and IPv4 addresses in IPv6, as a sender; no sender (0.0.0.0, ::) except to a group or to
    everyone, as DHCP and IGMP have it; in IPv6, this host itself as a sender, which IPv4 of Linux refuses by itself.
    Source: RFC 1122 section 3.2.1.3, RFC 4291 sections 2.5.2, 2.5.3 and 2.7, RFC 6890 table 20.
    """
    version, source, destination = packet.version, packet.source, packet.destination
    loopback, groups = _LOOPBACK[version], _GROUPS[version]
    if loopback.contains(version, source) or loopback.contains(version, destination):
        return True
    if groups.contains(version, source):
        return True
    if source == 0:
        return not (groups.contains(version, destination) or (version == 4 and destination == _EVERYONE))
    if version == 4:
        return source == _EVERYONE
    return _MAPPED.contains(6, source) or (6, source) in addresses.unicast
