"""Frames of packets as nobody sends them, and as attackers do: tags, options, extension headers, lies, cuts, trailers.

What such a frame holds has to be read from it (`dissect`). Of one that was not damaged, whoever made it knows.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from struct import pack
from typing import NamedTuple

from frames import AUTHENTICATION_HEADER, ETHERTYPE, FRAGMENT_HEADER, SERVICE_VLAN, VLAN, frame
from strategies import chance, random_port
from tortie.model.desired import HostAddresses
from tortie.model.packet import ICMP, ICMP_ERRORS, ICMPV6, SCTP, TCP, UDP, Fragment, Packet
from tortie.model.verdict import Reason

HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
KINDS = (HOP_BY_HOP, ROUTING, ROUTING, AUTHENTICATION_HEADER, DESTINATION, DESTINATION, FRAGMENT_HEADER)
MOST_HEADERS = 6
OPTIONS = (7, 68, 130, 136, 148, 30, 94, 222)
"""Record route, time stamp, security, stream, router alert, and three that nobody knows."""
SOURCE_ROUTES = (131, 137)
TYPES = (*ETHERTYPE.values(), VLAN, SERVICE_VLAN, 0x0806, 0x88CC, 0x8847, 0x9100, 0x05DC)
JUMBO, ORDINARY = 9000, 1400
"""Most bytes behind the headers: only the XDP door can be asked about more than a page (Linux 6.18)."""
SHORTEST = {ETHERTYPE[4]: 34, ETHERTYPE[6]: 54}
"""What a tc program can be asked about has a whole IP header (Linux 6.18), by ethertype; the rest a byte of content."""

GROUPS = {4: (0xE0000001, 0xE00000FB, 0xFFFFFFFF), 6: (0xFF02 << 112 | 1, 0xFF02 << 112 | 0xFB, 0xFF0E << 112 | 7)}
NOBODY = {4: (0, 0x7F000001, 0x7FFFFFFF, 0xE0000001, 0xFFFFFFFF), 6: (0, 1, 0xFF02 << 112 | 1, 0xFFFF0A000001)}
"""Addresses at the edges of what no packet comes from."""

Header = tuple[int, bytes]


class Dressed(NamedTuple):
    """A frame, and what its maker knows: the packet in it, the reason why there is none, or nothing."""

    data: bytes
    known: Packet | Reason | None


def dressed(rng: Random, packet: Packet, vlans: frozenset[int] = frozenset(), *, longest: int = ORDINARY) -> Dressed:
    """A frame of the packet. `vlans`: ids that VLAN devices of the host take; some frames carry one."""
    if chance(rng, 55):  # as most are sent
        return Dressed(frame(packet), packet)
    known: Packet | Reason | None = packet
    options, headers = b"", tuple[Header, ...]()
    if packet.version == 4 and chance(rng, 25):
        options = _options(rng)
        known = Reason.SOURCE_ROUTE if options[0] in SOURCE_ROUTES else packet
    elif packet.version == 6 and chance(rng, 45):
        headers = tuple(_headers(rng))
        if any(kind == ROUTING and content[0] == 0 and content[1] for kind, content in headers[:MOST_HEADERS]):
            known = Reason.SOURCE_ROUTE
        elif len(headers) + (packet.fragment is not Fragment.WHOLE) > MOST_HEADERS:
            known = None if packet.fragment is not Fragment.WHOLE else Reason.IPV6_EXT
    tags = _tags(rng, vlans) if chance(rng, 30) else ()
    if len(tags) > 2:
        known = Reason.MALFORMED
    if tags and vlans:
        known = None
    data = frame(
        packet, vlans=tags, ip_options=options, extension_headers=headers, payload=_payload(rng, packet, longest)
    )
    if chance(rng, 50 if packet.inner else 15):
        data, known = _damaged(rng, data, 14 + 4 * len(tags)), None
    if chance(rng, 10):  # padding, whatever it looks like
        data += pack("!HH", random_port(rng), random_port(rng)) * rng.randrange(1, 12)
    return Dressed(data, known)


def readdressed(rng: Random, packet: Packet, addresses: HostAddresses) -> Packet:
    """The packet, at times to a group or to everyone, or from or to an address that nobody outside can have."""
    kind = rng.randrange(40)
    if kind > 2:
        return packet
    own = sorted(address for version, address in addresses.unicast if version == packet.version)
    nobody = (*NOBODY[packet.version], *own)
    if kind == 0:
        groups = (*GROUPS[packet.version], *(addresses.broadcast if packet.version == 4 else ()))
        return replace(packet, destination=rng.choice(groups), source=rng.choice((packet.source, packet.source, 0)))
    return replace(packet, **{("source", "destination")[kind - 1]: rng.choice(nobody)})


def told(packet: Packet) -> tuple[object, ...]:
    """What a frame tells of a packet: an error, ports of what it is about; a later fragment, no ports."""
    inner = packet.inner
    about = inner and (inner.version, inner.protocol, inner.source, inner.destination, *_ports(inner))
    first = (packet.version, packet.protocol, packet.source, packet.destination, packet.hop_limit, packet.fragment)
    number = packet.fragment_id if packet.fragment is not Fragment.WHOLE else 0
    is_later = packet.fragment is Fragment.LATER
    flags = (packet.tcp_flags, packet.sequence, packet.acknowledgement) if packet.protocol == TCP else ()
    chunk = packet.is_sctp_init if packet.protocol == SCTP else None
    return (*first, number, *_ports(packet), *(() if is_later else (*flags, chunk, about)))


def _ports(packet: Packet) -> tuple[int | None, ...]:
    if packet.protocol in (ICMP, ICMPV6) and packet.fragment is not Fragment.LATER:
        return packet.icmp_type, packet.icmp_code, packet.icmp_id
    return packet.source_port, packet.destination_port


def _payload(rng: Random, packet: Packet, longest: int) -> bytes:
    """Bytes behind the transport header where nothing else has to be there, some of them more than a page."""
    has_content = packet.protocol == TCP or packet.inner is not None
    if has_content or (packet.fragment is Fragment.FIRST and packet.protocol != UDP):
        return b""
    is_error = packet.protocol in (ICMP, ICMPV6) and packet.icmp_type in ICMP_ERRORS[packet.protocol]
    return b"" if is_error else bytes(longest if chance(rng, 2) else rng.randrange(24))


def _options(rng: Random) -> bytes:
    """Options that fill 4 to 40 bytes, contents drawn to look like ports; the first one may be a source route."""
    left = 4 * rng.randrange(1, 11)
    made = b""
    while left:
        size = rng.randrange(2, left + 1) if left > 2 and chance(rng, 70) else 1
        kinds = SOURCE_ROUTES if not made and size > 1 and chance(rng, 12) else OPTIONS
        made += bytes([rng.choice(kinds), size, *rng.randbytes(size - 2)]) if size > 1 else b"\1"
        left -= size
    return made


def _headers(rng: Random) -> Sequence[Header]:
    """Extension headers of all kinds; a fragment header among them is one of a whole packet."""
    count = 1 + rng.randrange(3) if chance(rng, 85) else 1 + rng.randrange(9)
    found = []
    for _ in range(count):
        kind, content = rng.choice(KINDS), rng.randbytes(rng.randrange(10, 24))
        if kind == FRAGMENT_HEADER:
            content = bytes(2) + content[:4]
        elif kind == ROUTING:  # type 0 of an address that is not the last one is what nobody takes
            is_old = chance(rng, 20)
            left = rng.randrange(4) if not is_old or chance(rng, 60) else 0
            content = bytes([0 if is_old else rng.choice((2, 3, 4, 253)), left]) + content[2:]
        found.append((kind, content))
    return found


def _tags(rng: Random, vlans: frozenset[int]) -> tuple[int, ...]:
    ids = (0, 1, 4094, 4095, *vlans, *vlans)
    count = 1 + (chance(rng, 40) and 1 + chance(rng, 20))
    return tuple(rng.choice(ids) if chance(rng, 70) else rng.randrange(4096) for _ in range(count))


def _damaged(rng: Random, data: bytes, start: int) -> bytes:
    """The frame cut, or with a byte or a field of its headers changed; long enough for every program."""
    made = bytearray(data)
    kind = rng.choice((0, 1, 2, 2, 3, 4, 5))
    if kind == 0:
        made = made[: rng.randrange(14, len(made) + 1)]
    elif kind == 1:
        made[rng.randrange(start, min(len(made), start + 80))] = rng.getrandbits(8)
    elif kind == 2:  # length of the packet
        place = start + (2 if data[start] >> 4 == 4 else 4)
        said = rng.choice((0, 1, 19, 20, 21, 24, 28, 40, 48, 60, len(data) - start + 1, 65535, rng.getrandbits(9)))
        real = int.from_bytes(data[place : place + 2], "big")
        made[place : place + 2] = pack("!H", rng.randrange(real + 1) if chance(rng, 60) else said)
    elif kind == 3:  # version and length of the header
        made[start] = rng.choice((made[start] & 0xF0 | rng.getrandbits(4), rng.getrandbits(8)))
    elif kind == 4:  # flags and offset of a fragment, protocol, length of a TCP header
        made[min(len(made) - 1, start + rng.choice((6, 7, 6, 9, 20, 32, 52)))] = rng.getrandbits(8)
    else:
        made[start - 2 : start] = pack("!H", rng.choice(TYPES))
    shortest = SHORTEST.get(int.from_bytes(made[12:14], "big"), 15)
    return bytes(made).ljust(shortest, b"\0")
