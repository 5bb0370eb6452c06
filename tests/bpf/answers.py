"""What tells the sender of a denied packet, by the RFCs, and a reader of such frames: both apart from the programs."""

from dataclasses import dataclass
from struct import unpack, unpack_from

from frames import checksum
from tortie.model.desired import HostAddresses
from tortie.model.packet import ACK, FIN, ICMP, ICMPV6, RST, SYN, TCP

MOST = {4: 576, 6: 1280}
"""Bytes of an ICMP error. Source: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)."""
ASKS_OR_ANSWERS = {(4, ICMP): (0, 8, 13, 14, 15, 16, 17, 18), (6, ICMPV6): (128, 129, 139, 140)}
EXTENSIONS = (0, 43, 44, 51, 60)
LEAST_FRAME = 60


@dataclass(frozen=True, slots=True)
class Datagram:
    """An Ethernet frame with an IP datagram: hardware addresses (to, from), tags, addresses, and what is in it.

    `whole`: the datagram, without what follows it in the frame. `body`: behind its headers. `place` 0: it is no later
    fragment.
    """

    to: bytes
    origin: bytes
    tags: bytes
    version: int
    source: int
    destination: int
    protocol: int
    place: int
    body: bytes
    whole: bytes
    is_intact: bool
    hop_limit: int


def read(data: bytes) -> Datagram | None:
    """The datagram in a frame; None: there is none, or not all of it."""
    at = 12
    while unpack_from("!H", data, at)[0] in (0x8100, 0x88A8):
        at += 4
    kind, network = unpack_from("!H", data, at)[0], data[at + 2 :]
    if kind == 0x0800:
        length, (total, _, place) = (network[0] & 15) * 4, unpack_from("!HHH", network, 2)
        if not total or total > len(network):
            return None
        whole, protocol, hops = network[:total], network[9], network[8]
        body, intact, width, start = whole[length:], checksum(network[:length]) == 0, 4, 12
        place &= 0x1FFF
    elif kind == 0x86DD:
        total, protocol, hops = 40 + unpack_from("!H", network, 4)[0], network[6], network[7]
        if total == 40 or total > len(network):
            return None
        whole, intact, width, start, place, body = network[:total], True, 16, 8, 0, network[40:total]
        while protocol in EXTENSIONS and not place:
            size = 8 if protocol == 44 else (body[1] + 2) * 4 if protocol == 51 else (body[1] + 1) * 8
            place = unpack_from("!H", body, 2)[0] >> 3 if protocol == 44 else 0
            protocol, body = body[0], body[size:]
    else:
        return None
    source, destination = (int.from_bytes(network[s : s + width], "big") for s in (start, start + width))
    version = 4 if width == 4 else 6
    macs = data[:6], data[6:12]
    return Datagram(*macs, data[12:at], version, source, destination, protocol, place, body, whole, intact, hops)


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP reset."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An ICMP error that says so; type, code, and what it quotes."""

    kind: int
    code: int
    quoted: bytes


def wanted(data: bytes, *, arrives: bool, addresses: HostAddresses) -> Reset | Unreachable | None:
    """What the sender of that denied packet is told; None: nothing."""
    asked = read(data)
    if asked is None or asked.place or not asked.is_intact or asked.to[0] & 1:
        return None
    if not (_is_one_host(asked.version, asked.source) and _is_one_host(asked.version, asked.destination)):
        return None
    if asked.version == 4 and asked.destination in addresses.broadcast - {a for v, a in addresses.unicast if v == 4}:
        return None
    if arrives and (
        (asked.version, asked.source) in addresses.unicast
        or (asked.version == 4 and asked.source in addresses.broadcast)
    ):
        return None
    if asked.protocol == TCP:
        return _reset(asked.body)
    is_icmp = asked.protocol in (ICMP, ICMPV6)
    if is_icmp and asked.body[0] not in ASKS_OR_ANSWERS.get((asked.version, asked.protocol), ()):
        return None
    headers = 28 if asked.version == 4 else 48
    kind, code = (3, 3) if asked.version == 4 else (1, 4)
    return Unreachable(kind, code, asked.whole[: MOST[asked.version] - headers])


def _is_one_host(version: int, address: int) -> bool:
    """RFC 1122 section 3.2.2: not all hosts, a group of them, none, nor whoever reads it."""
    if version == 4:
        return 0 < address >> 24 < 224 and address >> 24 != 127
    return address >> 120 != 0xFF and address not in (0, 1)


def _reset(segment: bytes) -> Reset | None:
    """RFC 9293 section 3.10.7.1, for a connection that does not exist."""
    if len(segment) < 20:
        return None
    source, destination, sequence, acknowledgement, offset, flags = unpack_from("!HHIIBB", segment)
    length = len(segment) - (offset >> 4) * 4
    if flags & RST or length < 0 or offset >> 4 < 5:
        return None
    if flags & ACK:
        return Reset(destination, source, acknowledgement, 0, RST)
    after = sequence + length + bool(flags & SYN) + bool(flags & FIN) & 0xFFFFFFFF
    return Reset(destination, source, 0, after, RST | ACK)


def told(answer: bytes, asked: bytes) -> Reset | Unreachable:
    """What a frame tells the sender of that packet. Raises: AssertionError where it does not go to it, or is broken."""
    found, before = read(answer), read(asked)
    assert found is not None and before is not None
    assert (found.to, found.origin, found.tags) == (before.origin, before.to, before.tags)
    assert (found.version, found.source, found.destination) == (before.version, before.destination, before.source)
    assert found.is_intact and found.hop_limit == 64 and found.place == 0
    if found.version == 4:
        assert (found.whole[0], found.whole[1], found.whole[4:8]) == (0x45, 0, bytes.fromhex("00004000"))
    width = 4 if found.version == 4 else 16
    ends = found.source.to_bytes(width, "big") + found.destination.to_bytes(width, "big")
    pseudo = ends + len(found.body).to_bytes(4, "big") + found.protocol.to_bytes(4, "big")
    if found.protocol == TCP:
        assert checksum(pseudo + found.body) == 0 and len(found.body) == 20
        source, destination, sequence, acknowledgement, offset, flags, window, _, urgent = unpack(
            "!HHIIBBHHH", found.body
        )
        assert (offset, window, urgent) == (0x50, 0, 0)
        assert len(answer) <= max(len(asked), LEAST_FRAME), "a reset is never larger than what it answers"
        return Reset(source, destination, sequence, acknowledgement, flags)
    assert found.protocol == (ICMP if found.version == 4 else ICMPV6)
    assert checksum((b"" if found.version == 4 else pseudo) + found.body) == 0
    assert found.body[4:8] == bytes(4) and len(found.whole) <= MOST[found.version]
    assert answer.endswith(found.whole), "nothing follows what an error quotes"
    return Unreachable(found.body[0], found.body[1], found.body[8:])
