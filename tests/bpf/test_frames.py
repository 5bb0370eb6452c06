"""Frames that want to be read wrongly: verdict and reason from a table of their own, through both doors."""

from collections.abc import Iterator
from struct import pack

import pytest

from bpf.policies import case_of
from bpf.untracked import Loaded, load
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, SCTP, TCP, UDP, UDPLITE, Side
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Verdict

pytestmark = pytest.mark.root

GRE, ESP, NO_NEXT, UNKNOWN = 47, 50, 59, 253
HOP, ROUTING, FRAGMENT, AH, OPTIONS = 0, 43, 44, 51, 60
DENIED_PORT, ALLOWED_PORT = 22, 6379
ETHERNET = bytes.fromhex("020000000001020000000002")
TAG, SERVICE_TAG = 0x8100, 0x88A8


def on_port(protocol: int, port: int) -> tuple[Match, ...]:
    return ProtocolMatch(protocol), PortMatch(Side.DESTINATION, (PortRange(port, port),))


RULES = (
    *(Rule(Action.DENY, on_port(protocol, DENIED_PORT)) for protocol in PORTED),
    *(Rule(Action.ALLOW, on_port(protocol, ALLOWED_PORT)) for protocol in PORTED),
    Rule(Action.DENY, (ProtocolMatch(ICMP),)),
    Rule(Action.DENY, (ProtocolMatch(ICMPV6),)),
    Rule(Action.DENY, (ProtocolMatch(GRE),)),
)
Outcome = tuple[Verdict, int | Reason]
"""Verdict, and the rule's index or the reason it was counted under."""
MALFORMED: Outcome = (Verdict.DENY, Reason.MALFORMED)
SOURCE_ROUTE: Outcome = (Verdict.DENY, Reason.SOURCE_ROUTE)
OVER_LIMIT: Outcome = (Verdict.DENY, Reason.IPV6_EXT)
UNKNOWN_FRAGMENT: Outcome = (Verdict.DENY, Reason.FRAGMENT)
NOT_IP: Outcome = (Verdict.CONTINUE, Reason.NOT_IP)
NO_MATCH: Outcome = (Verdict.CONTINUE, Reason.NO_MATCH)
TAKEN: Outcome = (Verdict.CONTINUE, Reason.VLAN)
ESSENTIAL: Outcome = (Verdict.CONTINUE, Reason.ESSENTIAL_ICMPV6)
DENY_TCP, DENY_UDP, DENY_SCTP, ALLOW_TCP, ALLOW_UDP, ALLOW_SCTP, DENY_ICMP, DENY_ICMPV6, DENY_GRE = (
    (Verdict.ALLOW if rule.action is Action.ALLOW else Verdict.DENY, index) for index, rule in enumerate(RULES)
)


class Door:
    """A loaded program that says what it did to a frame, by its counters."""

    def __init__(self, door: str, vlans: frozenset[int] = frozenset()) -> None:
        self.loaded: Loaded = load(case_of(RULES, vlans=vlans), door=door)
        self._before = self.loaded.counts()

    def __call__(self, frame: bytes) -> Outcome:
        verdict = self.loaded.run(frame)
        after = self.loaded.counts()
        ((what, count),) = (after - self._before).items()
        self._before = after
        assert count == 1
        return verdict, what.index if isinstance(what, RuleRef) else what


@pytest.fixture(scope="module", params=["xdp", "tc"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    made = Door(request.param)
    yield made
    made.loaded.close()


@pytest.fixture(scope="module", params=["xdp", "tc"])
def door_with_vlans(request: pytest.FixtureRequest) -> Iterator[Door]:
    made = Door(request.param, frozenset({5, 300, 4095}))
    yield made
    made.loaded.close()


def ethernet(ethertype: int, inner: bytes, *tags: tuple[int, int]) -> bytes:
    return ETHERNET + b"".join(pack("!HH", kind, tci) for kind, tci in tags) + pack("!H", ethertype) + inner


def ethertype_of(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def ip4(
    protocol: int,
    body: bytes,
    *,
    options: bytes = b"",
    words: int | None = None,
    version: int = 4,
    place: int = 0x4000,
    ident: int = 1,
    source: int = 1,
) -> bytes:
    """`words`: the header length to claim; `place`: flags and offset."""
    words = 5 + len(options) // 4 if words is None else words
    head = pack("!BBHHHBBH", version << 4 | words, 0, 20 + len(options) + len(body), ident, place, 64, protocol, 0)
    return head + bytes([10, 0, 0, source, 10, 0, 0, 2]) + options + body


def ip6(following: int, body: bytes, *, hop_limit: int = 64, version: int = 6, source: int = 1) -> bytes:
    addresses = bytes([0xFD, *bytes(14), source, 0xFD, *bytes(14), 2])
    return pack("!IHBB", version << 28, len(body), following, hop_limit) + addresses + body


def segment(port: int, length: int = 20) -> bytes:
    """The start of a TCP, UDP or SCTP packet from port 40000."""
    return pack("!HH", 40000, port) + bytes(length - 4)


def extension(kind: int, following: int, units: int = 0) -> bytes:
    """A header whose length field is `units`, filled with what would be the allowed port."""
    size = (units + 2) * 4 if kind == AH else (units + 1) * 8
    return pack("!BB", following, units) + (pack("!H", ALLOWED_PORT) * size)[: size - 2]


def fragment(following: int, *, offset: int = 0, more: bool = False, ident: int = 1) -> bytes:
    """`offset` in units of 8 bytes. The reserved byte is not zero: it is no length."""
    return pack("!BBHI", following, 0xFF, offset << 3 | more, ident)


def chain(*kinds: int, last: int = TCP, body: bytes = b"") -> bytes:
    """IPv6 with those extension headers in front of a segment to the denied port."""
    following = [*kinds, last][1:]
    headers = b"".join(
        fragment(after) if kind == FRAGMENT else extension(kind, after, 4 if kind == AH else kind & 1)
        for kind, after in zip(kinds, following, strict=True)
    )
    return ip6([*kinds, last][0], headers + (body or segment(DENIED_PORT)))


# ---- T-ATT-6


WHOLE: dict[str, tuple[bytes, int, Outcome]] = {
    # name: frame, bytes of it that must be there, outcome when they are
    "tcp4": (ethernet(0x800, ip4(TCP, segment(DENIED_PORT))), 42, DENY_TCP),
    "tcp4 allowed": (ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT))), 42, ALLOW_TCP),
    "udp4": (ethernet(0x800, ip4(UDP, segment(DENIED_PORT, 8))), 42, DENY_UDP),
    "sctp4": (ethernet(0x800, ip4(SCTP, segment(DENIED_PORT, 12))), 42, DENY_SCTP),
    "icmp4": (ethernet(0x800, ip4(ICMP, bytes([8, 0, 0, 0]))), 38, DENY_ICMP),
    "gre4": (ethernet(0x800, ip4(GRE, bytes(16))), 34, DENY_GRE),
    "esp4": (ethernet(0x800, ip4(ESP, bytes(16))), 34, NO_MATCH),
    "options4": (ethernet(0x800, ip4(TCP, segment(DENIED_PORT), options=bytes([1] * 40))), 82, DENY_TCP),
    "gre4 with options": (ethernet(0x800, ip4(GRE, bytes(16), options=bytes([1] * 40))), 74, DENY_GRE),
    "later4": (ethernet(0x800, ip4(GRE, bytes(16), place=0x2001)), 34, DENY_GRE),
    "tag4": (ethernet(0x800, ip4(TCP, segment(DENIED_PORT)), (TAG, 7)), 46, DENY_TCP),
    "tags4": (ethernet(0x800, ip4(TCP, segment(DENIED_PORT)), (SERVICE_TAG, 7), (TAG, 8)), 50, DENY_TCP),
    "tcp6": (ethernet(0x86DD, ip6(TCP, segment(DENIED_PORT))), 62, DENY_TCP),
    "udp6 allowed": (ethernet(0x86DD, ip6(UDP, segment(ALLOWED_PORT, 8))), 62, ALLOW_UDP),
    "sctp6": (ethernet(0x86DD, ip6(SCTP, segment(DENIED_PORT, 12))), 62, DENY_SCTP),
    "icmp6": (ethernet(0x86DD, ip6(ICMPV6, bytes([128, 0, 0, 0]))), 58, DENY_ICMPV6),
    "gre6": (ethernet(0x86DD, ip6(GRE, bytes(16))), 54, DENY_GRE),
    "chain6": (ethernet(0x86DD, chain(HOP, AH, OPTIONS)), 54 + 8 + 24 + 8 + 8, DENY_TCP),
    "gre behind options6": (ethernet(0x86DD, chain(OPTIONS, ROUTING, last=GRE)), 54 + 8 + 16, DENY_GRE),
    "later6": (ethernet(0x86DD, ip6(FRAGMENT, fragment(GRE, offset=1) + bytes(16))), 62, DENY_GRE),
    "tag6": (ethernet(0x86DD, ip6(TCP, segment(DENIED_PORT)), (TAG, 0)), 66, DENY_TCP),
    "arp": (ethernet(0x806, bytes(28)), 14, NOT_IP),
    "tagged arp": (ethernet(0x806, bytes(28), (TAG, 7)), 18, NOT_IP),
}


@pytest.mark.parametrize("name", WHOLE)
def test_t_att_6_every_truncation_is_dropped_until_what_policy_reads_is_there(door: Door, name: str) -> None:
    frame, needed, outcome = WHOLE[name]
    # the kernel runs no program on less; a tc program not even without a whole IP header (Linux 6.18)
    shortest = 14 if door.loaded.door == "xdp" else {0x800: 34, 0x86DD: 54}.get(ethertype_of(frame), 15)
    for length in range(shortest, 129):
        cut = frame[:length].ljust(length, b"\0")
        assert (name, length, door(cut)) == (name, length, MALFORMED if length < needed else outcome)


@pytest.mark.parametrize("version", [v for v in range(16) if v != 4])
def test_t_att_6_an_ipv4_frame_of_another_version_is_dropped(door: Door, version: int) -> None:
    assert door(ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT), version=version) + bytes(40))) == MALFORMED


@pytest.mark.parametrize("version", [v for v in range(16) if v != 6])
def test_t_att_6_an_ipv6_frame_of_another_version_is_dropped(door: Door, version: int) -> None:
    assert door(ethernet(0x86DD, ip6(TCP, segment(ALLOWED_PORT), version=version))) == MALFORMED


@pytest.mark.parametrize("words", range(16))
@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP, ICMP, GRE, ESP])
def test_t_att_6_a_header_length_that_the_packet_does_not_have_is_dropped(
    door: Door, words: int, protocol: int
) -> None:
    body = b"\1\1" + segment(DENIED_PORT, 8)[2:]  # as options, these are none
    whole = {TCP: DENY_TCP, UDP: DENY_UDP, SCTP: DENY_SCTP, ICMP: DENY_ICMP, GRE: DENY_GRE, ESP: NO_MATCH}[protocol]
    # 28 bytes are there: 5 words leave 8 bytes of payload, 6 leave 4, 7 leave none
    room = 28 - 4 * words
    needed = {ICMP: 4, GRE: 0, ESP: 0}.get(protocol, 8)
    fits = words >= 5 and room >= needed
    assert door(ethernet(0x800, ip4(protocol, body, words=words))) == (whole if fits else MALFORMED)
    later = ethernet(0x800, ip4(protocol, body, words=words, place=0x0001))
    fits = words >= 5 and room >= 0
    assert door(later) == ((UNKNOWN_FRAGMENT if protocol in PORTED else whole) if fits else MALFORMED)


# ---- T-ATT-7


LOOSE, STRICT = 131, 137
"""Source routes (RFC 791 section 3.1)."""


def option(kind: int, length: int) -> bytes:
    """An option full of allowed ports."""
    return bytes([kind, length]) + (pack("!H", ALLOWED_PORT) * 20)[: length - 2]


@pytest.mark.parametrize("kind", [1, 7, 68, 130, 136, 148, 222])
def test_t_att_7_ports_are_read_behind_all_options(door: Door, kind: int) -> None:
    """No operation, record route, time stamp, security, stream, router alert, and one that nobody knows."""
    for words in range(6, 16):
        size = 4 * (words - 5)
        options = bytes([1] * size) if kind == 1 else option(kind, size)
        assert door(ethernet(0x800, ip4(TCP, segment(DENIED_PORT), options=options))) == DENY_TCP
        assert door(ethernet(0x800, ip4(UDP, segment(ALLOWED_PORT), options=options))) == ALLOW_UDP


@pytest.mark.parametrize("kind", [LOOSE, STRICT])
@pytest.mark.parametrize("place", [0, 0x2000, 0x2005, 0x0005])
def test_t_att_7_a_source_route_is_dropped_wherever_it_stands(door: Door, kind: int, place: int) -> None:
    """In fragments, too: every one of them has it. The addresses in it are behind the one that policy reads."""
    for before in (b"", b"\1", b"\1" * 3, option(7, 7), option(68, 12) + b"\1", option(148, 4) + option(94, 2)):
        for length in (3, 7, 11):
            options = (before + option(kind, length) + b"\1\1").ljust(40, b"\0")
            frame = ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT), options=options[:40], place=place))
            assert door(frame) == SOURCE_ROUTE


def test_t_att_7_a_source_route_that_is_none_passes(door: Door) -> None:
    """Behind the end of the options, and inside another one."""
    for options in (bytes([0, LOOSE, 3, 4]), bytes([7, 8, LOOSE, 3, 4, STRICT, 3, 4]), bytes([1, 1, 0, STRICT])):
        assert door(ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT), options=options))) == ALLOW_TCP


def test_t_att_7_options_that_contradict_their_header_are_dropped(door: Door) -> None:
    """As Linux drops them: longer than what is left, or shorter than themselves."""
    for options in (
        bytes([7, 5, 0, 0]),
        bytes([7, 0, 1, 1]),
        bytes([7, 1, 1, 1]),
        bytes([1, 1, 1, 7]),
        bytes([68, 255]),
    ):
        frame = ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT), options=options.ljust(4, b"\1")))
        assert door(frame) == MALFORMED


# ---- T-ATT-5


ALONE, ODD = (TAG, 7), (SERVICE_TAG, 0xE000 | 7)
INNER: tuple[tuple[int, bytes, Outcome], ...] = (
    (0x800, ip4(TCP, segment(DENIED_PORT)), DENY_TCP),
    (0x800, ip4(TCP, segment(ALLOWED_PORT)), ALLOW_TCP),
    (0x800, ip4(ESP, bytes(20)), NO_MATCH),
    (0x86DD, ip6(UDP, segment(DENIED_PORT)), DENY_UDP),
    (0x86DD, chain(HOP, OPTIONS), DENY_TCP),
    (0x806, bytes(28), NOT_IP),
)


@pytest.mark.parametrize(
    "tags",
    [
        *([tag] for tag in (ALONE, ODD, (TAG, 0), (TAG, 0xF000), (SERVICE_TAG, 0), (TAG, 4094))),
        *([a, b] for a in (ALONE, ODD, (TAG, 0), (SERVICE_TAG, 0)) for b in (ALONE, ODD, (TAG, 0))),
    ],
)
def test_t_att_5_one_or_two_tags_change_no_verdict(door: Door, tags: list[tuple[int, int]]) -> None:
    for ethertype, inner, outcome in INNER:
        assert door(ethernet(ethertype, inner, *tags)) == outcome == door(ethernet(ethertype, inner))


@pytest.mark.parametrize("tag", [ALONE, ODD, (TAG, 0)])
def test_t_att_5_three_tags_are_dropped(door: Door, tag: tuple[int, int]) -> None:
    for ethertype, inner, _ in INNER:
        for count in (3, 4, 7):
            assert door(ethernet(ethertype, inner, *[tag] * count)) == MALFORMED


@pytest.mark.parametrize(
    ("tags", "is_taken"),
    [
        ([(TAG, 5)], True),
        ([(SERVICE_TAG, 0xE000 | 300)], True),
        ([(TAG, 4095)], True),
        ([(TAG, 5), (TAG, 9)], True),
        ([(TAG, 5), (TAG, 9), (TAG, 9)], True),
        ([(TAG, 0), (TAG, 5)], True),
        ([(SERVICE_TAG, 0xE000), (TAG, 300)], True),
        ([(TAG, 7), (TAG, 5)], False),
        ([(TAG, 4)], False),
        ([(TAG, 6)], False),
        ([(TAG, 0)], False),
        ([(TAG, 300 & 255)], False),
        ([], False),
    ],
)
def test_t_att_5_what_a_vlan_device_of_the_host_takes_is_left_to_it(
    door_with_vlans: Door, tags: list[tuple[int, int]], is_taken: bool
) -> None:
    for ethertype, inner, outcome in INNER:
        assert door_with_vlans(ethernet(ethertype, inner, *tags)) == (TAKEN if is_taken else outcome)


# ---- T-ATT-4


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        ([HOP], DENY_TCP),
        ([ROUTING], DENY_TCP),
        ([OPTIONS], DENY_TCP),
        ([AH], DENY_TCP),
        ([AH, AH], DENY_TCP),
        ([HOP, AH, OPTIONS], DENY_TCP),
        ([FRAGMENT], DENY_TCP),
        ([HOP, ROUTING, FRAGMENT, AH, OPTIONS], DENY_TCP),
        ([FRAGMENT, HOP], DENY_TCP),
        ([OPTIONS] * 6, DENY_TCP),
        ([OPTIONS] * 7, OVER_LIMIT),
        ([OPTIONS] * 9, OVER_LIMIT),
        ([HOP, ROUTING, OPTIONS, AH, FRAGMENT, OPTIONS, OPTIONS], OVER_LIMIT),
        ([FRAGMENT] * 7, OVER_LIMIT),
    ],
)
def test_t_att_4_ports_are_found_behind_extension_headers(door: Door, kinds: list[int], outcome: Outcome) -> None:
    assert door(ethernet(0x86DD, chain(*kinds))) == outcome


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 253])
@pytest.mark.parametrize("left", [0, 1, 2, 255])
def test_t_att_4_a_routing_header_of_type_0_is_dropped_on_its_way(door: Door, kind: int, left: int) -> None:
    """RFC 5095. With no address to come it says nothing; other types are of networks that use them."""
    routing = bytes([TCP, 2, kind, left]) + bytes(20)
    for headers, first in ((routing, ROUTING), (extension(HOP, ROUTING) + routing, HOP)):
        outcome = SOURCE_ROUTE if kind == 0 and left else ALLOW_TCP
        assert door(ethernet(0x86DD, ip6(first, headers + segment(ALLOWED_PORT)))) == outcome


@pytest.mark.parametrize("last", [ESP, NO_NEXT, UNKNOWN, 4, 41, 135, 139, 140])
def test_t_att_4_what_is_no_extension_header_is_the_protocol(door: Door, last: int) -> None:
    assert door(ethernet(0x86DD, chain(last=last))) == NO_MATCH
    assert door(ethernet(0x86DD, chain(HOP, OPTIONS, last=last))) == NO_MATCH


@pytest.mark.parametrize("kind", [HOP, ROUTING, AH, OPTIONS])
@pytest.mark.parametrize("last", [TCP, GRE, NO_NEXT])
def test_t_att_4_an_extension_header_longer_than_the_packet_is_dropped(door: Door, kind: int, last: int) -> None:
    for units in (20, 64, 255):
        cut = extension(kind, last, units)[:60]
        assert door(ethernet(0x86DD, ip6(kind, cut))) == MALFORMED


@pytest.mark.parametrize("kind", [HOP, OPTIONS, AH])
def test_t_att_4_long_extension_headers_are_skipped_whole(door: Door, kind: int) -> None:
    for units in range(12):
        frame = ethernet(0x86DD, ip6(kind, extension(kind, TCP, units) + segment(DENIED_PORT)))
        assert (units, door(frame)) == (units, DENY_TCP)


def test_t_att_4_a_fragment_header_is_eight_bytes_whatever_its_second_byte_says(door: Door) -> None:
    for more, outcome in ((False, ALLOW_TCP), (True, ALLOW_TCP)):
        body = fragment(TCP, more=more, ident=77) + segment(ALLOWED_PORT)
        assert door(ethernet(0x86DD, ip6(FRAGMENT, body))) == outcome


def test_t_att_4_a_first_fragment_without_its_ports_is_dropped(door: Door) -> None:
    for length in range(8):
        body = fragment(TCP, more=True, ident=78) + segment(ALLOWED_PORT)[:length]
        assert door(ethernet(0x86DD, ip6(FRAGMENT, body))) == MALFORMED
    body = fragment(OPTIONS, more=True, ident=79) + extension(OPTIONS, TCP, 3)
    assert door(ethernet(0x86DD, ip6(FRAGMENT, body))) == MALFORMED


@pytest.mark.parametrize("following", [TCP, UDP, SCTP])
def test_t_att_4_a_later_fragment_of_unknown_ports_is_dropped(door: Door, following: int) -> None:
    for number, offset in enumerate((1, 185, 0x1000, 0x1FFF, 0x100)):
        body = fragment(following, offset=offset, more=bool(number & 1), ident=1000 + number) + segment(ALLOWED_PORT)
        assert door(ethernet(0x86DD, ip6(FRAGMENT, body))) == UNKNOWN_FRAGMENT
        assert door(ethernet(0x86DD, ip6(OPTIONS, extension(OPTIONS, FRAGMENT) + body))) == UNKNOWN_FRAGMENT


@pytest.mark.parametrize("kind", [*range(130, 138), 143, 128, 1])
def test_essential_icmpv6_passes_and_discovery_only_from_a_direct_neighbour(door: Door, kind: int) -> None:
    for hop_limit in (255, 254, 64, 1, 0):
        is_essential = kind in (130, 131, 132, 143) or (133 <= kind <= 136 and hop_limit == 255)
        outcome = ESSENTIAL if is_essential else DENY_ICMPV6
        body = bytes([kind, 0, 0, 0, 0, 0, 0, 0])
        assert door(ethernet(0x86DD, ip6(ICMPV6, body, hop_limit=hop_limit))) == outcome
        behind = extension(HOP, ICMPV6) + body
        assert door(ethernet(0x86DD, ip6(HOP, behind, hop_limit=hop_limit), ALONE)) == outcome
    assert door(ethernet(0x800, ip4(ICMPV6, bytes([kind, 0, 0, 0])))) == DENY_ICMPV6


# ---- T-ATT-3


@pytest.mark.parametrize(
    ("place", "outcome"),
    [
        (0x0000, DENY_TCP),
        (0x4000, DENY_TCP),
        (0x8000, DENY_TCP),
        (0x2000, DENY_TCP),
        (0x0001, UNKNOWN_FRAGMENT),
        (0x2001, UNKNOWN_FRAGMENT),
        (0x0100, UNKNOWN_FRAGMENT),
        (0x1000, UNKNOWN_FRAGMENT),
        (0x1FFF, UNKNOWN_FRAGMENT),
        (0x3000, UNKNOWN_FRAGMENT),
        (0xE100, UNKNOWN_FRAGMENT),
    ],
)
def test_t_att_3_every_bit_of_the_offset_counts(door: Door, place: int, outcome: Outcome) -> None:
    assert door(ethernet(0x800, ip4(TCP, segment(DENIED_PORT), place=place, ident=place ^ 0x5A5A))) == outcome


def test_t_att_3_a_first_fragment_without_its_ports_is_dropped(door: Door) -> None:
    for length in range(8):
        assert door(ethernet(0x800, ip4(TCP, segment(ALLOWED_PORT)[:length], place=0x2000, ident=2))) == MALFORMED
    # and leaves nothing behind for the later ones
    assert door(ethernet(0x800, ip4(TCP, bytes(8), place=0x0001, ident=2))) == UNKNOWN_FRAGMENT


def parts(version: int, port: int, *, ident: int, source: int = 3, protocol: int = TCP) -> tuple[bytes, bytes]:
    """A first fragment to that port, and a later one of the same packet."""
    if version == 4:
        first = ip4(protocol, segment(port), place=0x2000, ident=ident, source=source)
        return ethernet(0x800, first), ethernet(0x800, ip4(protocol, bytes(32), place=3, ident=ident, source=source))
    first = fragment(protocol, more=True, ident=ident) + segment(port)
    later = fragment(protocol, offset=3, ident=ident) + bytes(32)
    return ethernet(0x86DD, ip6(FRAGMENT, first, source=source)), ethernet(0x86DD, ip6(FRAGMENT, later, source=source))


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_later_fragments_follow_the_first_one_once_it_is_known(door: Door, version: int) -> None:
    allowed, denied = parts(version, ALLOWED_PORT, ident=10), parts(version, DENIED_PORT, ident=11)
    assert [door(allowed[1]), door(denied[1])] == [UNKNOWN_FRAGMENT, UNKNOWN_FRAGMENT]
    assert [door(allowed[0]), door(denied[0])] == [ALLOW_TCP, DENY_TCP]
    assert [door(allowed[1]), door(denied[1]), door(allowed[1])] == [ALLOW_TCP, DENY_TCP, ALLOW_TCP]


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_only_the_same_packet_is_remembered(door: Door, version: int) -> None:
    assert door(parts(version, ALLOWED_PORT, ident=20)[0]) == ALLOW_TCP
    for other in (
        parts(version, ALLOWED_PORT, ident=21),
        parts(version, ALLOWED_PORT, ident=20, source=4),
    ):
        assert door(other[1]) == UNKNOWN_FRAGMENT
    # IPv4 fragments of another protocol are another packet (RFC 791); in IPv6 only the first one's header counts
    expected = UNKNOWN_FRAGMENT if version == 4 else ALLOW_TCP
    assert door(parts(version, ALLOWED_PORT, ident=20, protocol=UDP)[1]) == expected


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_3_overlapping_first_fragments_reach_no_denied_port(door: Door, version: int) -> None:
    allowed, denied = parts(version, ALLOWED_PORT, ident=30), parts(version, DENIED_PORT, ident=30)
    assert door(allowed[0]) == ALLOW_TCP
    assert door(denied[0]) == DENY_TCP
    assert door(denied[1]) == DENY_TCP
    assert door(allowed[0]) == ALLOW_TCP
    # a short one at the start again is not read, not remembered
    short = allowed[0][: len(allowed[0]) - 16]
    assert door(short) == MALFORMED
    assert door(allowed[1]) == ALLOW_TCP


def test_t_att_3_memory_is_bounded_and_forgetting_drops(door: Door) -> None:
    for ident in range(20_000):
        door.loaded.run(parts(4, ALLOWED_PORT, ident=ident, source=9)[0])
    door._before = door.loaded.counts()
    outcomes = [door(parts(4, ALLOWED_PORT, ident=ident, source=9)[1]) for ident in range(0, 20_000, 100)]
    assert set(outcomes) == {UNKNOWN_FRAGMENT, ALLOW_TCP}
    assert outcomes[-1] == ALLOW_TCP and outcomes[0] == UNKNOWN_FRAGMENT


@pytest.mark.parametrize("headers", [1, 2, 3])
def test_t_att_4_what_stands_behind_the_packet_is_not_read_as_its_ports(door: Door, headers: int) -> None:
    """The kernel cuts it off, and takes the ports from the later fragment: Linux 6.18 delivers such a packet."""
    options = extension(OPTIONS, OPTIONS) * headers
    first = fragment(OPTIONS, more=True, ident=80) + options
    behind = extension(OPTIONS, TCP) + segment(ALLOWED_PORT)
    inside = ip6(FRAGMENT, first)
    assert door(ethernet(0x86DD, inside + behind)) == MALFORMED
    later = fragment(OPTIONS, offset=headers, ident=80) + extension(OPTIONS, TCP) + segment(DENIED_PORT)
    assert door(ethernet(0x86DD, ip6(FRAGMENT, later)))[0] is not Verdict.ALLOW


@pytest.mark.parametrize(("protocol", "needed"), [(TCP, 8), (UDP, 8), (SCTP, 8), (ICMP, 4), (GRE, 0), (ESP, 0)])
@pytest.mark.parametrize("version", [4, 6])
def test_t_att_6_a_packet_is_as_long_as_it_says(door: Door, version: int, protocol: int, needed: int) -> None:
    if version == 6 and protocol == ICMP:
        protocol = ICMPV6
    for said in range(1, 21):
        made = ip4(protocol, segment(DENIED_PORT)) if version == 4 else ip6(protocol, segment(DENIED_PORT))
        place, length = (2, said + 20) if version == 4 else (4, said)
        cut = made[:place] + pack("!H", length) + made[place + 2 :]
        outcome = door(ethernet(0x800 if version == 4 else 0x86DD, cut + bytes(20)))
        assert (said, outcome == MALFORMED) == (said, said < needed)


@pytest.mark.parametrize("place", [0, 0x2000, 0x0005])
def test_t_att_6_an_ipv4_packet_shorter_than_its_header_is_dropped(door: Door, place: int) -> None:
    for said in range(1, 20):
        made = ip4(GRE, segment(DENIED_PORT), place=place)
        assert door(ethernet(0x800, made[:2] + pack("!H", said) + made[4:])) == MALFORMED


def test_t_att_6_extension_headers_behind_the_end_of_the_packet_are_not_its_own(door: Door) -> None:
    """That of a later fragment among them: it would be judged as one."""
    for last in (fragment(GRE, offset=5), fragment(GRE), extension(OPTIONS, GRE)):
        kind = OPTIONS if last[1] != 0xFF else FRAGMENT
        made = ip6(OPTIONS, extension(OPTIONS, kind))
        assert door(ethernet(0x86DD, made + last + bytes(20))) == MALFORMED


# ---- protocols by number, large frames


@pytest.mark.parametrize("protocol", [UDPLITE, GRE, ESP, AH, 4, 41, 2, 103, 112, 0, 255])
def test_protocols_without_ports_are_policed_by_their_number(protocol: int) -> None:
    """UDPLite, ESP, AH, GRE, tunnels, IGMP, PIM, VRRP, and the edges; what looks like ports in them is none."""
    rules = [Rule(Action.DENY, (ProtocolMatch(protocol),)), *RULES]
    for name in ("xdp", "tc"):
        loaded = load(case_of(rules), door=name)
        body = segment(ALLOWED_PORT)
        assert loaded.run(ethernet(0x800, ip4(protocol, body))) is Verdict.DENY
        if protocol not in (AH, 0):  # which are extension headers there
            assert loaded.run(ethernet(0x86DD, ip6(protocol, body))) is Verdict.DENY
        assert loaded.run(ethernet(0x800, ip4((protocol + 3) % 256, body))) is not Verdict.DENY
        loaded.close()


@pytest.mark.parametrize("version", [4, 6])
def test_a_jumbo_frame_is_judged_by_its_first_bytes(version: int) -> None:
    """XDP finds it in several buffers; tc cannot be asked about so much (Linux 6.18), and tests/netns does."""
    door = Door("xdp")
    for size in (1500, 3400, 3600, 4096, 9000, 65_000):
        for port, outcome in ((DENIED_PORT, DENY_UDP), (ALLOWED_PORT, ALLOW_UDP)):
            body = segment(port, size)
            frame = ethernet(0x800, ip4(UDP, body)) if version == 4 else ethernet(0x86DD, ip6(UDP, body))
            assert (size, door(frame)) == (size, outcome)
    door.loaded.close()


# ---- not IP


@pytest.mark.parametrize("ethertype", [0x0806, 0x88CC, 0x8863, 0x8864, 0x8847, 0x888E, 0x88E5, 0x9100, 0x0026, 0x05DC])
def test_what_is_not_ip_passes(door: Door, ethertype: int) -> None:
    assert door(ethernet(ethertype, ip4(TCP, segment(DENIED_PORT)))) == NOT_IP


def test_t_att_8_a_tunnel_is_judged_by_its_outer_header(door: Door) -> None:
    inner = ip4(TCP, segment(ALLOWED_PORT))
    assert door(ethernet(0x800, ip4(4, inner))) == NO_MATCH
    assert door(ethernet(0x800, ip4(GRE, bytes([0, 0, 8, 0]) + inner))) == DENY_GRE
    assert door(ethernet(0x86DD, ip6(41, ip6(TCP, segment(ALLOWED_PORT))))) == NO_MATCH
