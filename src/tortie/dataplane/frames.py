"""The Ethernet frame of a packet, to ask what is installed about it."""

from struct import pack

from tortie.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Fragment, Packet

_ETHERNET = bytes.fromhex("020000000001020000000002")
ETHERNET_BYTES = 14
_FRAGMENT_HEADER = 44
_LATER_OFFSET = 185
"""Where a later fragment is, in units of 8 bytes: behind a first one that fills an Ethernet frame."""


def frame(packet: Packet) -> bytes:
    """The packet's frame; checksums are left out, as no policy looks at them.

    What an ICMP error is about is left out, too, and so is the data behind the headers of a fragment.
    Source: RFC 791, RFC 8200 (section 4.5 for fragments), RFC 9293, RFC 768, RFC 792, RFC 9260.
    """
    body = _body(packet)
    # Before the last one, fragments are cut after a multiple of 8 bytes.
    body += bytes(-len(body) % 8) if packet.fragment is not Fragment.WHOLE else b""
    offset = _LATER_OFFSET if packet.fragment is Fragment.LATER else 0
    if packet.version == 4:
        addresses = packet.source.to_bytes(4, "big") + packet.destination.to_bytes(4, "big")
        flags = 0x4000 if packet.fragment is Fragment.WHOLE else 0x2000 | offset
        number = packet.fragment_id & 0xFFFF if packet.fragment is not Fragment.WHOLE else 1
        header = pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, flags, packet.hop_limit, packet.protocol, 0)
        return _ETHERNET + b"\x08\x00" + header + addresses + body
    addresses = packet.source.to_bytes(16, "big") + packet.destination.to_bytes(16, "big")
    protocol = packet.protocol
    if packet.fragment is not Fragment.WHOLE:
        body = pack("!BBHI", protocol, 0, offset << 3 | 1, packet.fragment_id) + body
        protocol = _FRAGMENT_HEADER
    header = pack("!IHBB", 6 << 28, len(body), protocol, packet.hop_limit)
    return _ETHERNET + b"\x86\xdd" + header + addresses + body


def _body(packet: Packet) -> bytes:
    """What is behind the IP header."""
    if packet.fragment is Fragment.LATER:
        return bytes(16)
    ports = pack("!HH", packet.source_port or 0, packet.destination_port or 0)
    if packet.protocol == TCP:
        numbers = packet.sequence, packet.acknowledgement
        return ports + pack("!IIHHHH", *numbers, 5 << 12 | packet.tcp_flags, 65535, 0, 0) + bytes(packet.payload_bytes)
    if packet.protocol == UDP:
        return ports + pack("!HH", 8, 0)
    if packet.protocol == SCTP:
        return ports + pack("!IIBBH", 0, 0, 1 if packet.is_sctp_init else 0, 0, 4)
    if packet.protocol in (ICMP, ICMPV6):
        return pack("!BBHHH", packet.icmp_type or 0, packet.icmp_code or 0, 0, packet.icmp_id, 1)
    return bytes(20)
