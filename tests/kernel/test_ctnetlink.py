import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import Namespace, namespace
from tortie.kernel import ctnetlink, dump, nft
from tortie.kernel.ctnetlink import ConntrackEntry, ConntrackTuple, EntryParser, TcpState
from tortie.kernel.errors import KernelError

V4, V6 = socket.AF_INET, socket.AF_INET6
NESTED = 0x8000


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def told_tuple(way: int, source: str, destination: str, protocol: int, *fields: tuple[int, bytes]) -> bytes:
    first = 3 if ":" in source else 1
    ip = attribute(first, ip_address(source).packed) + attribute(first + 1, ip_address(destination).packed)
    proto = attribute(1, bytes([protocol])) + b"".join(attribute(*field) for field in fields)
    return attribute(NESTED | way, attribute(NESTED | 1, ip) + attribute(NESTED | 2, proto))


def ports(source: int, destination: int) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    return (2, struct.pack(">H", source)), (3, struct.pack(">H", destination))


def told(*parts: bytes, family: int = V4) -> bytes:
    return bytes([family, 0, 0, 0]) + b"".join(parts)


ORIGINAL = told_tuple(1, "10.0.0.1", "10.0.0.2", 6, *ports(40000, 80))
REPLY = told_tuple(2, "10.0.0.9", "10.0.0.1", 6, *ports(8080, 40000))
STATUS, TIMEOUT = attribute(3, struct.pack(">I", 0xE)), attribute(7, struct.pack(">I", 432000))
STATE = attribute(NESTED | 4, attribute(NESTED | 1, attribute(1, b"\3") + attribute(2, b"\7")))
IPV6 = told(
    told_tuple(1, "fd99::1", "fd99::2", 17, *ports(1, 2)),
    told_tuple(2, "fd99::2", "fd99::1", 17, *ports(2, 1)),
    STATUS,
    family=V6,
)
WHOLE = told(ORIGINAL, REPLY, STATUS, attribute(8, bytes(4)), TIMEOUT, STATE, attribute(24, bytes(16)))


def parsed(body: bytes) -> ConntrackEntry:
    found = EntryParser().parse(memoryview(body))
    assert found is not None
    return found


def address(text: str) -> int:
    return int(ip_address(text))


def test_all_fields_of_an_entry_are_read() -> None:
    entry = parsed(WHOLE)
    assert entry.original == ConntrackTuple(4, 6, address("10.0.0.1"), address("10.0.0.2"), 40000, 80)
    assert entry.reply == ConntrackTuple(4, 6, address("10.0.0.9"), address("10.0.0.1"), 8080, 40000)
    assert (entry.status, entry.tcp_state, entry.timeout_s, entry.zone) == (0xE, TcpState.ESTABLISHED, 432000, 0)


def test_what_an_entry_does_not_tell_is_none_or_zero() -> None:
    entry = parsed(told(ORIGINAL, REPLY))
    assert (entry.status, entry.tcp_state, entry.timeout_s, entry.zone) == (0, None, 0, 0)


@pytest.mark.parametrize(
    ("status", "facts"),
    [(0, (False, False)), (2, (True, False)), (4, (False, True)), (8, (False, False))],
)
def test_each_bit_of_the_status_is_a_fact(status: int, facts: tuple[bool, bool, bool]) -> None:
    entry = parsed(told(ORIGINAL, REPLY, attribute(3, struct.pack(">I", status))))
    assert facts == (entry.is_answered, entry.is_assured)


def test_the_zone_is_read_wherever_it_is_told() -> None:
    zone = attribute(18, struct.pack(">H", 7))
    assert parsed(told(ORIGINAL, REPLY, zone)).zone == 7
    of_one_way = attribute(NESTED | 1, ORIGINAL[4:] + attribute(3, struct.pack(">H", 9)))
    assert parsed(told(of_one_way, REPLY)).zone == 9


def test_an_unknown_tcp_state_is_none() -> None:
    state = attribute(NESTED | 4, attribute(NESTED | 1, attribute(1, b"\x63")))
    assert parsed(told(ORIGINAL, REPLY, state)).tcp_state is None


def test_an_ip_version_that_nobody_knows_is_passed_over() -> None:
    assert EntryParser().parse(memoryview(told(ORIGINAL, REPLY, family=77))) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes([V4]),
        told(),
        told(ORIGINAL),
        told(REPLY, STATUS),
        told(ORIGINAL, REPLY, attribute(3, b"\0")),
        told(ORIGINAL, REPLY, attribute(7, bytes(8))),
        told(ORIGINAL, REPLY, family=V6),
        told(told_tuple(1, "fd99::1", "fd99::2", 6), REPLY),
        told(told_tuple(1, "10.0.0.1", "10.0.0.2", 6, (2, b"\0")), REPLY),
        told(ORIGINAL, REPLY, struct.pack("=HH", 3, 3)),
        told(ORIGINAL, REPLY, struct.pack("=HH", 0, 3)),
        told(ORIGINAL, REPLY, struct.pack("=HHI", 9, 3, 0)),
        told(ORIGINAL, REPLY, attribute(NESTED | 4, struct.pack("=HHI", 60, 1, 0))),
        told(ORIGINAL, REPLY) + b"\0",
    ],
)
def test_a_malformed_entry_is_an_error_of_parsing_that_the_list_makes_a_kernel_error(body: bytes) -> None:
    with pytest.raises((struct.error, ValueError, LookupError)):
        EntryParser().parse(memoryview(body))
    message = struct.pack("=IHHII", 16 + len(body), 0x100, 2, 1, 0) + body + bytes(-len(body) % 4)
    request = dump.Request(door="ctnetlink", thing="list", family=12, kind=0x101, answer=0x100, body=b"")
    with pytest.raises(KernelError, match=r"^ctnetlink: list: EBADMSG .*malformed answer"):
        dump.complete(request, lambda: [memoryview(message)], EntryParser().parse)


@pytest.mark.parametrize("size", range(len(told(ORIGINAL, REPLY))))
def test_no_part_of_an_entry_is_an_entry(size: int) -> None:
    with pytest.raises((struct.error, ValueError, LookupError)):
        EntryParser().parse(memoryview(told(ORIGINAL, REPLY)[:size]))


def outcome(parse: Callable[[memoryview], ConntrackEntry | None], body: bytes) -> ConntrackEntry | str | None:
    try:
        return parse(memoryview(body))
    except (struct.error, ValueError, LookupError) as error:
        return type(error).__name__


@given(
    st.lists(
        st.tuples(
            st.sampled_from([WHOLE, IPV6, told(ORIGINAL, REPLY, TIMEOUT)]),
            st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3),
            st.integers(0, 300),
        ),
        max_size=8,
    )
)
def test_layouts_met_before_change_nothing_whatever_the_bytes(
    changed: list[tuple[bytes, list[tuple[int, int]], int]],
) -> None:
    parser = EntryParser()
    for body, changes, size in changed:
        bytes_now = bytearray(body)
        for at, value in changes:
            bytes_now[at % len(body)] = value
        # Every other body is cut; what is longer than the body leaves it whole.
        cut = bytes(bytes_now[:size]) if size % 2 else bytes(bytes_now)
        assert outcome(EntryParser().parse, cut) == outcome(parser.parse, cut)


@pytest.mark.root
def test_a_subsystem_of_nfnetlink_that_nobody_serves_is_told_by_einval() -> None:
    missing = dump.Request(door="ctnetlink", thing="list", family=12, kind=0x7F01, answer=0x7F00, body=bytes(4))
    with pytest.raises(KernelError, match="EINVAL"):
        dump.read(missing, bytes)


@pytest.mark.root
def test_a_kernel_without_connection_tracking_has_no_entries_and_is_not_asked(tmp_path: Path) -> None:
    """In a mount namespace in which the kernel's settings of connection tracking are hidden."""
    asked = "from tortie.kernel import ctnetlink, dump; dump.read = None; print(ctnetlink.read_entries())"
    script = 'mount --bind "$0" /proc/sys/net/netfilter && exec "$1" -c "$2"'
    with namespace() as one:
        said = one.run("unshare", "--mount", "sh", "-c", script, tmp_path, sys.executable, asked)
    assert said == "()\n"


@pytest.fixture
def tracked() -> Iterator[Namespace]:
    """A namespace that the test is in, and in which what it sends is tracked."""
    with namespace() as one, one.entered():
        nft.run("table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }")
        yield one


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what the test opened."""
    with ExitStack() as stack:
        yield stack


def turned(one: ConntrackTuple) -> ConntrackTuple:
    return one._replace(
        source=one.destination,
        destination=one.source,
        source_port=one.destination_port,
        destination_port=one.source_port,
    )


@pytest.mark.root
@pytest.mark.parametrize(("family", "text"), [(V4, "127.0.0.1"), (V6, "::1")])
def test_a_tcp_connection_is_read_from_its_beginning_to_its_end(
    tracked: Namespace, opened: ExitStack, family: int, text: str
) -> None:
    server = opened.enter_context(socket.create_server((text, 700), family=family))
    client = opened.enter_context(socket.create_connection((text, 700), 5))
    accepted = opened.enter_context(server.accept()[0])
    (entry,) = ctnetlink.read_entries()
    here = address(text)
    expected = ConntrackTuple(4 if family == V4 else 6, 6, here, here, client.getsockname()[1], 700)
    assert (entry.original, entry.reply) == (expected, turned(expected))
    assert entry.tcp_state is TcpState.ESTABLISHED
    assert (entry.is_answered, entry.is_assured, entry.zone) == (True, True, 0)
    assert entry.timeout_s > 1000
    client.close()
    accepted.close()
    deadline = time.monotonic() + 5
    while (state := ctnetlink.read_entries()[0].tcp_state) is not TcpState.TIME_WAIT and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state is TcpState.TIME_WAIT


@pytest.mark.root
def test_a_datagram_without_an_answer_is_neither_answered_nor_assured(tracked: Namespace, opened: ExitStack) -> None:
    silent, client = (opened.enter_context(socket.socket(V4, socket.SOCK_DGRAM)) for _ in range(2))
    silent.bind(("127.0.0.1", 53))
    client.sendto(b"?", ("127.0.0.1", 53))
    (entry,) = ctnetlink.read_entries()
    assert (entry.original.protocol, entry.original.destination_port, entry.tcp_state) == (17, 53, None)
    assert (entry.is_answered, entry.is_assured) == (False, False)
    assert 0 < entry.timeout_s <= 30


@pytest.mark.root
@pytest.mark.parametrize(
    ("family", "text", "protocol", "kinds"), [(V4, "127.0.0.1", 1, (8, 0)), (V6, "::1", 58, (128, 129))]
)
def test_an_echo_has_type_code_and_identity_and_no_ports(
    tracked: Namespace, opened: ExitStack, family: int, text: str, protocol: int, kinds: tuple[int, int]
) -> None:
    raw = opened.enter_context(socket.socket(family, socket.SOCK_RAW, protocol))
    body = struct.pack(">BBHHH", kinds[0], 0, 0, 0x1234, 1)
    # The kernel fills in ICMPv6's checksum; ICMP's is the one's complement of the sum of the words.
    total = kinds[0] << 8
    total += 0x1235
    checked = body[:2] + struct.pack(">H", ~total & 0xFFFF) + body[4:] if protocol == 1 else body
    raw.sendto(checked, (text, 0))
    found = [entry for entry in ctnetlink.read_entries() if entry.original.icmp_type == kinds[0]]
    assert [(entry.original[4:], entry.reply[4:]) for entry in found] == [
        ((None, None, kinds[0], 0, 0x1234), (None, None, kinds[1], 0, 0x1234))
    ]
    assert found[0].original.protocol == protocol


@pytest.mark.root
def test_a_protocol_without_ports_has_none(tracked: Namespace, opened: ExitStack) -> None:
    raw = opened.enter_context(socket.socket(V4, socket.SOCK_RAW, 253))
    raw.sendto(b"x", ("127.0.0.1", 0))
    found = [entry.original for entry in ctnetlink.read_entries() if entry.original.protocol == 253]
    assert found == [ConntrackTuple(4, 253, address("127.0.0.1"), address("127.0.0.1"))]


@pytest.mark.root
def test_a_translated_connection_has_a_reply_of_its_own(tracked: Namespace) -> None:
    tracked.run(
        *("conntrack", "-I", "-p", "tcp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--sport", "40000", "--dport", "80"),
        *("-r", "10.0.0.9", "-q", "10.0.0.1", "--reply-port-src", "8080", "--reply-port-dst", "40000"),
        *("--state", "CLOSE_WAIT", "-u", "ASSURED", "-t", "77"),
    )
    (entry,) = ctnetlink.read_entries()
    assert entry.original == ConntrackTuple(4, 6, address("10.0.0.1"), address("10.0.0.2"), 40000, 80)
    assert entry.reply == ConntrackTuple(4, 6, address("10.0.0.9"), address("10.0.0.1"), 8080, 40000)
    assert (entry.tcp_state, entry.is_assured) == (TcpState.CLOSE_WAIT, True)
    assert 70 <= entry.timeout_s <= 77


@pytest.mark.root
def test_a_connection_in_a_zone_names_it(tracked: Namespace, opened: ExitStack) -> None:
    nft.run("table inet z { chain c { type filter hook output priority raw; ct zone set 7; }; }")
    opened.enter_context(socket.socket(V4, socket.SOCK_DGRAM)).sendto(b"?", ("127.0.0.1", 53))
    assert {entry.zone for entry in ctnetlink.read_entries() if entry.original.protocol == 17} == {7}


@pytest.mark.root
def test_a_list_of_many_chunks_is_complete_and_other_namespaces_have_none(
    tracked: Namespace, opened: ExitStack
) -> None:
    client = opened.enter_context(socket.socket(V4, socket.SOCK_DGRAM))
    for number in range(1000):
        client.sendto(b"?", (f"127.1.{number >> 8}.{number & 255}", 53))
    found = [entry.original.destination for entry in ctnetlink.read_entries() if entry.original.protocol == 17]
    assert sorted(found) == [address("127.1.0.0") + number for number in range(1000)]
    with namespace() as two, two.entered():
        assert ctnetlink.read_entries() == []
