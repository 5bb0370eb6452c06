"""Ethernet frames of packets, written with `struct` from the RFCs: what a driver under test is given to read."""

from collections.abc import Sequence
from struct import pack, unpack

from tortie.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Fragment, Packet

ETHERNET = bytes.fromhex("020000000001020000000002")
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
VLAN, SERVICE_VLAN = 0x8100, 0x88A8
FRAGMENT_HEADER, AUTHENTICATION_HEADER = 44, 51
REDIRECT = 137
INNER_BYTES = 120
"""How much of the packet that an ICMP error is about goes into it."""
LATER_OFFSET = 185
"""Offset of later fragments in units of 8 bytes: the second one of a full Ethernet packet."""


def frame(
    packet: Packet,
    *,
    vlans: Sequence[int] = (),
    ip_options: bytes = b"",
    extension_headers: Sequence[tuple[int, bytes]] = (),
    payload: bytes = b"",
) -> bytes:
    """The frame that carries this packet.

    `vlans`: ids, outermost first; the outer one of two is a service tag. `ip_options` is padded to 4 bytes.
    `extension_headers`: (type, what follows its length byte), each padded to what its type asks for; they stand in
    front of the fragment header. `payload` follows the header of the transport protocol, or is all of a later fragment.
    A TCP packet has as many bytes as it says if none are given. A first fragment is padded to a multiple of 8 bytes.
    SCTP goes without its checksum, and with one chunk.
    """
    body = payload or bytes(range(16)) if packet.fragment is Fragment.LATER else _transport(packet, payload)
    if packet.fragment is not Fragment.WHOLE:
        body += bytes(-len(body) % 8)
    datagram = _ipv4(packet, ip_options, body) if packet.version == 4 else _ipv6(packet, extension_headers, body)
    tags = b"".join(
        pack("!HH", SERVICE_VLAN if len(vlans) - index > 1 else VLAN, vlan) for index, vlan in enumerate(vlans)
    )
    return ETHERNET + tags + pack("!H", ETHERTYPE[packet.version]) + datagram


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _addresses(packet: Packet) -> bytes:
    width = 4 if packet.version == 4 else 16
    return packet.source.to_bytes(width, "big") + packet.destination.to_bytes(width, "big")


def _ipv4(packet: Packet, options: bytes, body: bytes) -> bytes:
    """RFC 791."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4
    more = 0 if packet.fragment is Fragment.WHOLE else 0x2000
    offset = LATER_OFFSET if packet.fragment is Fragment.LATER else 0
    fields = (words | 0x40, 0, words * 4 + len(body), packet.fragment_id & 0xFFFF, more | offset, packet.hop_limit)
    addresses = _addresses(packet)
    head = pack("!BBHHHBBH", *fields, packet.protocol, 0)
    total = checksum(head + addresses + options)
    return head[:10] + total.to_bytes(2, "big") + addresses + options + body


def _ipv6(packet: Packet, extension_headers: Sequence[tuple[int, bytes]], body: bytes) -> bytes:
    """RFC 8200."""
    following = packet.protocol
    if packet.fragment is not Fragment.WHOLE:
        offset = LATER_OFFSET if packet.fragment is Fragment.LATER else 0
        body = pack("!BBHI", following, 0, offset << 3 | 1, packet.fragment_id) + body
        following = FRAGMENT_HEADER
    for kind, content in reversed(extension_headers):
        body = _extension_header(kind, following, content) + body
        following = kind
    return pack("!IHBB", 6 << 28, len(body), following, packet.hop_limit) + _addresses(packet) + body


def _extension_header(kind: int, following: int, content: bytes) -> bytes:
    if kind == FRAGMENT_HEADER:
        return pack("!BB6s", following, 0, content)
    if kind == AUTHENTICATION_HEADER:
        content += bytes(-(2 + len(content)) % 4)
        return pack("!BB", following, (2 + len(content)) // 4 - 2) + content
    content += bytes(-(2 + len(content)) % 8)
    return pack("!BB", following, (2 + len(content)) // 8 - 1) + content


def _transport(packet: Packet, payload: bytes) -> bytes:
    """The transport header with its checksum, and the payload."""
    match packet.protocol:
        case protocol if protocol == TCP:
            payload = payload or bytes(packet.payload_bytes)
            ports = packet.source_port, packet.destination_port
            numbers = packet.sequence, packet.acknowledgement, 0x5000 | packet.tcp_flags
            head = pack("!HHIIHHHH", *ports, *numbers, 65535, 0, 0)
            return _summed(packet, head + payload, 16, has_pseudo_header=True)
        case protocol if protocol == UDP:
            head = pack("!HHHH", packet.source_port, packet.destination_port, 8 + len(payload), 0)
            return _summed(packet, head + payload, 6, has_pseudo_header=True)
        case protocol if protocol == SCTP:
            # RFC 9260: an INIT has tag 0 and stands alone; the other chunk is a DATA one.
            tag, chunk = (0, 1) if packet.is_sctp_init else (1, 0)
            head = pack("!HHII", packet.source_port, packet.destination_port, tag, 0)
            return head + pack("!BBH", chunk, 0, 4 + len(payload)) + payload
        case protocol if protocol in (ICMP, ICMPV6):
            head = pack("!BBHHH", packet.icmp_type, packet.icmp_code, 0, packet.icmp_id, 1)
            about = frame(packet.inner)[14 : 14 + INNER_BYTES] if packet.inner else b""
            if packet.protocol == ICMPV6 and packet.icmp_type == REDIRECT and about:
                # RFC 4861 sections 4.5 and 4.6: target, destination, the target's link address, the packet as an option
                about += bytes(-len(about) % 8)
                about = bytes(32) + pack("!BB6x", 2, 1) + pack("!BB6x", 4, 1 + len(about) // 8) + about
            payload = payload or about
            return _summed(packet, head + payload, 2, has_pseudo_header=protocol == ICMPV6)
        case _:
            return payload or bytes(range(16))


def _summed(packet: Packet, data: bytes, position: int, *, has_pseudo_header: bool) -> bytes:
    """The data with the checksum written at that position."""
    pseudo = _addresses(packet) + pack("!II", len(data), packet.protocol) if has_pseudo_header else b""
    total = checksum(pseudo + data)
    if packet.protocol == UDP and total == 0:
        total = 0xFFFF
    return data[:position] + total.to_bytes(2, "big") + data[position + 2 :]
