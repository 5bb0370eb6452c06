"""The Ethernet frame of a packet, to ask the installed program about it."""

from struct import pack

from tortie.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet

_ETHERNET = bytes.fromhex("020000000001020000000002")


def frame(packet: Packet) -> bytes:
    """A whole packet's frame; checksums are left out, as no policy looks at them.

    What an ICMP error is about is left out, too.
    Source: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 9260.
    """
    ports = pack("!HH", packet.source_port or 0, packet.destination_port or 0)
    if packet.protocol == TCP:
        numbers = packet.sequence, packet.acknowledgement
        body = ports + pack("!IIHHHH", *numbers, 5 << 12 | packet.tcp_flags, 65535, 0, 0) + bytes(packet.payload_bytes)
    elif packet.protocol == UDP:
        body = ports + pack("!HH", 8, 0)
    elif packet.protocol == SCTP:
        body = ports + pack("!IIBBH", 0, 0, 1 if packet.is_sctp_init else 0, 0, 4)
    elif packet.protocol in (ICMP, ICMPV6):
        body = pack("!BBHHH", packet.icmp_type or 0, packet.icmp_code or 0, 0, packet.icmp_id, 1)
    else:
        body = bytes(20)
    if packet.version == 4:
        addresses = packet.source.to_bytes(4, "big") + packet.destination.to_bytes(4, "big")
        header = pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0x4000, packet.hop_limit, packet.protocol, 0)
        return _ETHERNET + b"\x08\x00" + header + addresses + body
    addresses = packet.source.to_bytes(16, "big") + packet.destination.to_bytes(16, "big")
    return (
        _ETHERNET
        + b"\x86\xdd"
        + pack("!IHBB", 6 << 28, len(body), packet.protocol, packet.hop_limit)
        + addresses
        + body
    )
