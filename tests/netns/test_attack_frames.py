"""T-ATT-3 to T-ATT-7 with real packets: frames that hide their ports from the programs and show them to Linux, through
both doors and both kinds of policy. What comes past the programs, what servers are given, and every count.

The same frames byte by byte, and more of them: tests/bpf/test_frames.py.
"""

import socket
from collections.abc import Iterator
from itertools import pairwise, product
from struct import pack

import pytest
from siege import CLOSED, KINDS, OPEN, Siege, kind_name, siege

from dissect import dissect
from frames import checksum, frame
from lockdown import sized
from tortie.model.packet import ICMP, ICMPV6, SCTP, UDP, UDPLITE, Fragment
from tortie.model.verdict import Reason

pytestmark = pytest.mark.root

HOP, ROUTING, FRAGMENT, AH, DESTINATION = 0, 43, 44, 51, 60
GRE, ESP, UNKNOWN = 47, 50, 253
TAG, SERVICE_TAG = 0x8100, 0x88A8
LOOSE, STRICT = 131, 137
REMEMBERED = 16_384
"""First fragments that the programs remember (maps.h)."""


@pytest.fixture(scope="module", params=KINDS, ids=kind_name)
def host(request: pytest.FixtureRequest) -> Iterator[Siege]:
    with siege(request.param[0], is_untracked=request.param[1]) as made:
        yield made


@pytest.fixture
def attack(host: Siege) -> Iterator[Siege]:
    """Nothing ever comes to the closed port, whatever the test looks at."""
    host.heard(OPEN)
    yield host
    assert host.heard(CLOSED) == []
    assert host.answers(CLOSED) == 0


# ---- T-ATT-3


def pieces(attack: Siege, port: int, version: int, ident: int, *cuts: int) -> list[bytes]:
    """A datagram of 64 bytes to that port in fragments, cut behind so many bytes of UDP."""
    packet = attack.packet(version, UDP, source_port=40000, destination_port=port)
    body = frame(packet, payload=bytes(64))[34 if version == 4 else 54 :]
    places = [0, *cuts, len(body)]
    return [
        piece(attack, version, ident, body[start:end], start, is_more=end < len(body))
        for start, end in pairwise(places)
    ]


def piece(attack: Siege, version: int, ident: int, body: bytes, start: int, *, is_more: bool) -> bytes:
    """A fragment with those bytes. Source: RFC 791, RFC 8200 section 4.5."""
    if version == 6:
        return attack.raw(6, FRAGMENT, pack("!BBHI", UDP, 0, start | is_more, ident) + body)
    whole = bytearray(attack.raw(4, GRE, b"\1"))[:22]
    whole[4:6] = pack("!H", 20 + len(body))
    whole[6:10] = pack("!HH", ident, is_more << 13 | start // 8)
    whole[11] = UDP
    whole[12:14] = bytes(2)
    whole[12:14] = pack("!H", checksum(bytes(whole[2:])))
    return bytes(whole) + body


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_first_fragments_too_small_for_their_ports_are_dropped(attack: Siege, version: int) -> None:
    packet = attack.packet(version, UDP, source_port=40000, destination_port=CLOSED)
    body = frame(packet, payload=bytes(64))[34 if version == 4 else 54 :]
    tiny = [piece(attack, version, 100 + size, body[:size], 0, is_more=True) for size in range(8)]
    rest = [piece(attack, version, 100 + size, body[8:], 8, is_more=False) for size in range(8)]
    small = [piece(attack, version, 200 + size, body[:size], 0, is_more=True) for size in (8, 16, 24)]
    assert attack.judged(*tiny, *rest, *small) == []
    assert attack.judged(*rest, *tiny) == []


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_later_fragments_without_their_first_are_dropped(attack: Siege, version: int) -> None:
    later = [one for port in (OPEN, CLOSED) for one in pieces(attack, port, version, 300 + port, 24, 48)[1:]]
    assert attack.judged(*later, *reversed(later)) == []


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_what_is_in_front_of_its_first_fragment_has_to_be_sent_again(attack: Siege, version: int) -> None:
    """Nobody knows yet whose it is."""
    first, middle, last = pieces(attack, OPEN, version, 401, 24, 48)
    assert attack.judged(first, middle, last) == [first, middle, last]
    assert attack.heard(OPEN) == [bytes(64)]
    first, middle, last = pieces(attack, OPEN, version, 402, 24, 48)
    assert attack.judged(last, first, middle) == [first, middle]
    assert attack.heard(OPEN) == []
    attack.send(last)
    assert attack.heard(OPEN) == [bytes(64)]


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_overlapping_fragments_rewrite_no_port(attack: Siege, version: int) -> None:
    """A second start with another port, before and behind the rest; and one that begins inside the first (teardrop)."""
    closed_body = frame(attack.packet(version, UDP, source_port=40000, destination_port=CLOSED), payload=bytes(64))
    inside = closed_body[34 if version == 4 else 54 :][:16]
    for number in range(6):
        ident = 500 + number
        (first, rest), (second, other) = (pieces(attack, port, version, ident, 24) for port in (OPEN, CLOSED))
        teardrop = piece(attack, version, ident, inside, 8, is_more=True)
        orders = (
            (first, second, rest),
            (second, first, rest),
            (first, second, other),
            (first, teardrop, second, other),
            (first, first, second, rest, other),
            (second, other, first, rest),
        )
        attack.judged(*orders[number])
        assert attack.heard(CLOSED) == []


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_duplicates_make_no_second_datagram(attack: Siege, version: int) -> None:
    first, later = pieces(attack, OPEN, version, 600, 24)
    assert attack.judged(first, first, later, later) == [first, first, later, later]
    assert attack.heard(OPEN) == [bytes(64)]


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_a_datagram_of_60_kb_goes_there_and_back(attack: Siege, version: int) -> None:
    site, server = attack.site, attack.servers[OPEN]
    with site.peer.entered():
        client = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    content = bytes(range(256)) * 234
    attack.counted()
    attack.heard(OPEN)
    with client:
        client.settimeout(10)
        client.sendto(content, (site.host.address if version == 4 else site.host.address6, OPEN))
        server.settimeout(10)
        data, sender = server.recvfrom(70_000)
        assert data == content
        server.sendto(data, sender)
        assert client.recv(70_000) == content
    assert attack.dropped() == {}


# ---- T-ATT-4


CHAINS: tuple[tuple[int, ...], ...] = (
    *((kind,) * count for kind in (HOP, ROUTING, AH, DESTINATION, FRAGMENT) for count in (1, 2, 6, 7, 9)),
    (HOP, DESTINATION, ROUTING, AH, DESTINATION),
    (HOP, FRAGMENT),
    (FRAGMENT, HOP),
    (FRAGMENT, DESTINATION, AH),
    (HOP, ROUTING, FRAGMENT, AH, DESTINATION, DESTINATION),
    (HOP, ROUTING, FRAGMENT, AH, DESTINATION, DESTINATION, DESTINATION),
)
"""Up to six are walked."""


def headers(chain: tuple[int, ...], routing: bytes = b"\2\0") -> list[tuple[int, bytes]]:
    """Their contents look like the open port wherever it is read; a fragment header is that of a whole packet."""
    contents = {FRAGMENT: bytes(6), ROUTING: routing + pack("!H", OPEN) * 2}
    return [(kind, contents.get(kind, pack("!H", OPEN) * 11)) for kind in chain]


def test_t_att_4_ports_are_found_behind_extension_headers_or_the_packet_is_dropped(attack: Siege) -> None:
    made = [
        write(port, 6, extension_headers=headers(chain))
        for chain in CHAINS
        for port in (OPEN, CLOSED)
        for write in (attack.udp, attack.tcp)
    ]
    came = attack.judged(*made)
    assert len(came) == 2 * sum(len(chain) <= 6 for chain in CHAINS)
    assert attack.heard(OPEN)  # Linux takes some of them


def test_t_att_4_a_routing_header_of_type_0_goes_no_further(attack: Siege) -> None:
    for kind, left in product((0, 2, 3, 4, 253), (0, 1, 2)):
        came = attack.judged(
            *(
                attack.udp(port, 6, extension_headers=headers((ROUTING,), bytes([kind, left])))
                for port in (OPEN, CLOSED)
            )
        )
        assert len(came) == (0 if (kind, left > 0) == (0, True) else 1)


def test_t_att_4_what_is_no_extension_header_is_the_protocol(attack: Siege) -> None:
    hidden = attack.udp(OPEN, 6)[42:]
    for kind in (ESP, 59, UNKNOWN, 4, 41, 135, 139, 140):
        for body in (hidden, bytes([UDP, 0]) + bytes(6) + hidden):
            assert attack.judged(attack.raw(6, kind, body)) == []


def test_t_att_4_a_first_fragment_that_hides_its_ports_behind_headers_is_dropped(attack: Siege) -> None:
    for number, size in enumerate((0, 8, 16)):
        option = bytes([UDP, size // 8]) + bytes(6 + size)
        first = attack.raw(6, FRAGMENT, pack("!BBHI", DESTINATION, 0, 1, 700 + number) + option)
        later = pack("!BBHI", DESTINATION, 0, len(option), 700 + number) + attack.udp(CLOSED, 6)[42:]
        assert attack.judged(first, attack.raw(6, FRAGMENT, later)) == []


# ---- T-ATT-5


def tagged(one: bytes, *tags: tuple[int, int]) -> bytes:
    """The frame behind those tags (type, TCI)."""
    return b"".join(pack("!HH", *tag) for tag in tags) + one


@pytest.mark.parametrize(
    "tags",
    [
        *([tag] for tag in ((TAG, 7), (TAG, 0), (TAG, 0xE000), (SERVICE_TAG, 7), (SERVICE_TAG, 0), (TAG, 4095))),
        *([a, b] for a in ((SERVICE_TAG, 7), (TAG, 7), (TAG, 0)) for b in ((TAG, 8), (TAG, 0), (SERVICE_TAG, 9))),
        *([tag] * 3 for tag in ((TAG, 7), (TAG, 0), (SERVICE_TAG, 0))),
        [(TAG, 0)] * 5,
    ],
    ids=str,
)
def test_t_att_5_a_tag_hides_nothing(attack: Siege, tags: list[tuple[int, int]]) -> None:
    """At tc, Linux has taken the outer tag out of the frame before the program sees it."""
    ends = [write(port, version) for version in (4, 6) for port in (OPEN, CLOSED) for write in (attack.udp, attack.tcp)]
    ends.append(attack.udp(OPEN, 6, extension_headers=headers((DESTINATION,) * 7)))
    came = attack.judged(*(tagged(one, *tags) for one in ends))
    is_shown = len(tags) == 1 or (len(tags) == 2 and not tags[0][1] & 4095)  # by Linux, to those who read IP
    assert len(came) == (4 if is_shown else 0)
    is_taken = len(tags) <= 2 and not any(tci & 4095 for _, tci in tags)
    assert len(attack.heard(OPEN)) == (2 if is_taken else 0)


# ---- T-ATT-6


def bodies(attack: Siege, version: int) -> Iterator[bytes]:
    """A whole packet of each protocol that programs read, to the closed port or to none."""
    yield attack.udp(CLOSED, version)
    yield attack.tcp(CLOSED, version)
    ports = {"source_port": 40000, "destination_port": CLOSED}
    yield attack.raw(version, SCTP, b"", **ports)
    yield attack.raw(version, UDPLITE, pack("!HHHH", 40000, CLOSED, 8, 0))
    kind = {"icmp_type": 8 if version == 4 else 128, "icmp_code": 0}
    yield attack.raw(version, ICMP if version == 4 else ICMPV6, b"", **kind)
    for protocol in (GRE, ESP, UNKNOWN):
        yield attack.raw(version, protocol, attack.udp(OPEN)[2:])
    if version == 4:
        yield attack.udp(CLOSED, 4, ip_options=bytes([1]) * 40)
    else:
        yield attack.udp(CLOSED, 6, extension_headers=headers((HOP, AH, DESTINATION)))


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_6_no_truncation_of_any_protocol_passes(attack: Siege, version: int) -> None:
    for whole in bodies(attack, version):
        assert attack.judged(*(whole[:length].ljust(length, b"\0") for length in range(2, 117))) == []


def test_t_att_6_headers_that_lie_about_lengths_pass_only_where_they_show_the_open_port(attack: Siege) -> None:
    whole = attack.udp(OPEN), attack.udp(CLOSED), attack.tcp(OPEN), attack.tcp(CLOSED)
    lying = [one[:2] + bytes([first]) + one[3:] for one in whole for first in range(256)]
    lying += [one[:4] + pack("!H", size) + one[6:] for one in whole for size in (*range(70), 255, 1500, 65535)]
    lying += [one[:34] + bytes([size << 4]) + one[35:] for one in whole[2:] for size in range(16)]
    lying += [one[:26] + pack("!H", size) + one[28:] for one in whole[:2] for size in (0, 1, 7, 8, 9, 65535)]
    six = attack.udp(OPEN, 6), attack.udp(CLOSED, 6), attack.tcp(OPEN, 6), attack.tcp(CLOSED, 6)
    lying += [one[:2] + bytes([first]) + one[3:] for one in six for first in range(0, 256, 3)]
    lying += [one[:6] + pack("!H", size) + one[8:] for one in six for size in (*range(70), 255, 1500, 65535)]
    lying += [one[:2] + b"\x45" + one[3:] for one in six]
    assert attack.judged(*lying)


def test_t_att_6_what_follows_the_end_of_a_packet_is_not_read_as_its_ports(attack: Siege) -> None:
    """A datagram whose header ends the packet, and the open port behind it."""
    for version in (4, 6):
        head = attack.raw(version, UDP, b"", source_port=0, destination_port=OPEN)
        place, size = (4, 20) if version == 4 else (6, 0)
        for left in range(1, 8):
            cut = head[:place] + pack("!H", size + left) + head[place + 2 :]
            assert attack.judged(cut + bytes(8)) == []


# ---- T-ATT-7


@pytest.mark.parametrize("kind", [1, 7, 68, 130, 136, 148, 222, LOOSE, STRICT])
def test_t_att_7_options_hide_no_port_and_source_routes_are_dropped(attack: Siege, kind: int) -> None:
    """Not by Linux, which is told here to take them."""
    for where in ("all", attack.site.host.interface):
        attack.site.host.run("sysctl", "-qw", f"net.ipv4.conf.{where}.accept_source_route=1")
    made = []
    for size in range(4, 44, 4):
        option = bytes([1] * size) if kind == 1 else bytes([kind, size]) + (pack("!H", OPEN) * 20)[: size - 2]
        made += [write(port, ip_options=option) for port in (OPEN, CLOSED) for write in (attack.udp, attack.tcp)]
    came = attack.judged(*made)
    assert len(came) == (0 if kind in (LOOSE, STRICT) else 20)


def test_t_att_7_every_fragment_with_a_source_route_is_dropped(attack: Siege) -> None:
    hidden = bytes([1, LOOSE, 7, 4, 10, 99, 0, 2])
    fields = {"fragment_id": 801}
    made = [
        attack.udp(OPEN, ip_options=hidden, fields={**fields, "fragment": Fragment.FIRST}),
        attack.udp(OPEN, ip_options=hidden, fields={**fields, "fragment": Fragment.LATER}),
    ]
    assert [dissect(bytes(12) + one) for one in made] == [Reason.SOURCE_ROUTE] * 2
    assert attack.judged(*made) == []


# ---- T-ATT-3 again: it leaves Linux's own memory of fragments full


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_what_is_never_completed_takes_bounded_memory_and_stops_nobody(attack: Siege, version: int) -> None:
    """More first fragments than are remembered: what follows the oldest is dropped, what follows the newest passes."""
    (oldest, after_oldest), (newest, after_newest) = (
        pieces(attack, OPEN, version, ident, 24) for ident in (10_000, 10_001)
    )
    attack.send(oldest)
    place = slice(46, 50) if version == 6 else slice(6, 8)
    for number in range(sized(REMEMBERED + 4_000, 100_000)):
        ident = 11_000 + number
        attack.send(
            newest[: place.start] + ident.to_bytes(4, "big")[-(place.stop - place.start) :] + newest[place.stop :]
        )
        if number % 1000 == 0:
            attack.reached()  # before the socket that listens is full
    attack.send(newest)
    attack.reached()
    attack.counted()
    attack.send(after_oldest, after_newest, *pieces(attack, CLOSED, version, 10_002, 24))
    assert attack.reached() == [after_newest]
    assert attack.dropped().pop("fragment") == 1
