import errno
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import Namespace, namespace
from tortie.kernel import nft, sockets
from tortie.kernel.sockets import Connection, Listener, State

TCP, UDP, UDPLITE = 6, 17, 136
V4, V6 = socket.AF_INET, socket.AF_INET6
NOBODY: frozenset[Listener] = frozenset()


def address(text: str) -> int:
    return int(ip_address(text))


def told(number: int, local: tuple[str, int], remote: tuple[str, int], *, family: int = V4) -> memoryview:
    """The kernel's message about a socket in state `number`."""
    addresses = b"".join(ip_address(text).packed.ljust(16, b"\0") for text, _ in (local, remote))
    ends = struct.pack(">HH", local[1], remote[1]) + addresses
    return memoryview(struct.pack("=BBBB", family, number, 0, 0) + ends + bytes(32))


HERE, THERE = ("10.0.0.1", 40000), ("10.0.0.2", 80)


@pytest.mark.parametrize(
    ("number", "state"),
    [
        *((number, State.OPENING) for number in (2, 3, 12)),
        (1, State.ESTABLISHED),
        *((number, State.CLOSING) for number in (4, 5, 8, 9, 11)),
        (6, State.TIME_WAIT),
    ],
)
def test_each_state_of_a_connection_is_known(number: int, state: State) -> None:
    found = sockets.parse_connection(TCP, NOBODY, told(number, HERE, THERE))
    assert found is not None
    assert found[:6] == (4, TCP, address("10.0.0.1"), 40000, address("10.0.0.2"), 80)
    assert found.state is state


@pytest.mark.parametrize("number", [0, 7, 10, 13, 255])
def test_a_socket_without_a_peer_or_of_an_unknown_state_is_no_connection(number: int) -> None:
    assert sockets.parse_connection(TCP, NOBODY, told(number, HERE, THERE)) is None


def test_ipv6_addresses_are_whole_and_mapped_ones_are_ipv4() -> None:
    plain = sockets.parse_connection(TCP, NOBODY, told(1, ("fd99::1:2", 1), ("2001:db8::9", 2), family=V6))
    mapped = sockets.parse_connection(TCP, NOBODY, told(1, ("::ffff:10.0.0.1", 1), ("::ffff:192.0.2.9", 2), family=V6))
    assert (plain or ())[:6] == (6, TCP, address("fd99::1:2"), 1, address("2001:db8::9"), 2)
    assert (mapped or ())[:6] == (4, TCP, address("10.0.0.1"), 1, address("192.0.2.9"), 2)


def test_a_handshake_tells_who_began_whoever_listens() -> None:
    listening = frozenset({Listener(4, TCP, 0, 40000)})
    assert [
        (sockets.parse_connection(TCP, listening, told(number, HERE, THERE)) or (None,))[-1] for number in (2, 3, 12)
    ] == [True, False, False]


@pytest.mark.parametrize(
    ("listener", "is_outbound"),
    [
        (Listener(4, TCP, 0, 40000), False),
        (Listener(4, TCP, address("10.0.0.1"), 40000), False),
        (Listener(6, TCP, 0, 40000), False),
        (Listener(4, TCP, address("10.0.0.3"), 40000), True),
        (Listener(4, TCP, 0, 40001), True),
        (Listener(4, UDP, 0, 40000), True),
        (Listener(6, TCP, address("10.0.0.1"), 40000), True),
    ],
)
def test_who_listens_on_the_local_end_did_not_open_the_connection(listener: Listener, is_outbound: bool) -> None:
    listening = sockets.reachable([listener])
    assert is_outbound == sockets.opened_here(
        listening, version=4, protocol=TCP, address=address("10.0.0.1"), port=40000
    )
    found = sockets.parse_connection(TCP, listening, told(1, HERE, THERE))
    assert found is not None
    assert found.is_outbound == is_outbound


def test_a_listener_of_ipv4_takes_no_ipv6() -> None:
    assert sockets.opened_here(
        sockets.reachable([Listener(4, TCP, 0, 80)]), version=6, protocol=TCP, address=address("fd99::1"), port=80
    )


def test_a_datagram_socket_without_a_port_is_no_listener() -> None:
    assert sockets.parse_listener(UDP, told(7, ("0.0.0.0", 0), ("0.0.0.0", 0))) is None
    assert sockets.parse_listener(UDP, told(7, ("::", 53), ("::", 0), family=V6)) == Listener(6, UDP, 0, 53)


@given(st.binary(max_size=100), st.sampled_from([V4, V6, 0, 77]))
def test_a_body_of_any_bytes_is_a_value_or_one_of_the_errors_of_parsing(body: bytes, family: int) -> None:
    for parse in (sockets.parse_listener, lambda protocol, view: sockets.parse_connection(protocol, NOBODY, view)):
        with suppress(struct.error, ValueError, LookupError):
            parse(TCP, memoryview(bytes([family]) + body))


@pytest.mark.parametrize("size", range(72))
@pytest.mark.parametrize("family", [V4, V6])
def test_a_truncated_body_is_none(size: int, family: int) -> None:
    end = ("::1" if family == V6 else "127.0.0.1", 1)
    for parse in (sockets.parse_listener, lambda protocol, view: sockets.parse_connection(protocol, NOBODY, view)):
        with pytest.raises((struct.error, LookupError)):
            parse(TCP, told(1, end, end, family=family)[:size])


@pytest.fixture
def one() -> Iterator[Namespace]:
    """A namespace that the test is in."""
    with namespace() as made, made.entered():
        yield made


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what the test opened."""
    with ExitStack() as stack:
        yield stack


def ends(found: socket.socket) -> tuple[int, int, int, int]:
    """Local address and port, remote address and port."""
    local, remote = found.getsockname(), found.getpeername()
    return mapped(local[0]), local[1], mapped(remote[0]), remote[1]


def mapped(text: str) -> int:
    return address(text.removeprefix("::ffff:"))


def connected(opened: ExitStack, listening: str, to: str) -> tuple[socket.socket, socket.socket, socket.socket]:
    """A TCP client, its server's end, and the listener."""
    family = V6 if ":" in listening else V4
    both = family == V6 and ":" not in to
    listener = opened.enter_context(socket.create_server((listening, 700), family=family, dualstack_ipv6=both))
    client = opened.enter_context(socket.create_connection((to, 700), 5))
    return client, opened.enter_context(listener.accept()[0]), listener


@pytest.mark.root
@pytest.mark.parametrize(
    ("listening", "to", "version"),
    [("127.0.0.1", "127.0.0.1", 4), ("0.0.0.0", "127.0.0.9", 4), ("::", "::1", 6), ("::", "127.0.0.1", 4)],
)
def test_both_ends_of_a_connection_are_read(
    one: Namespace, opened: ExitStack, listening: str, to: str, version: int
) -> None:
    client, server, _ = connected(opened, listening, to)
    assert set(sockets.read_connections()) == {
        Connection(version, TCP, *ends(client), State.ESTABLISHED, True),
        Connection(version, TCP, *ends(server), State.ESTABLISHED, False),
    }


@pytest.mark.root
def test_a_connection_that_ends_is_closing_and_then_in_time_wait(one: Namespace, opened: ExitStack) -> None:
    client, server, _ = connected(opened, "127.0.0.1", "127.0.0.1")
    first, second = ends(client), ends(server)
    client.shutdown(socket.SHUT_WR)
    assert set(sockets.read_connections()) == {
        Connection(4, TCP, *first, State.CLOSING, True),
        Connection(4, TCP, *second, State.CLOSING, False),
    }
    server.close()
    client.close()
    assert sockets.read_connections() == [Connection(4, TCP, *first, State.TIME_WAIT, True)]


@pytest.mark.root
def test_handshakes_that_are_not_done_are_read_at_both_ends(pair: tuple[Namespace, Namespace]) -> None:
    host, peer = pair
    # The client never hears the answer, so its end stays in SYN_SENT and the server's is a request socket.
    with peer.entered():
        nft.run(
            "table inet t { chain c { type filter hook input priority 0; tcp flags & (syn|ack) == syn|ack drop; }; }"
        )
    with ExitStack() as opened:
        clients = []
        for family, text in ((V4, host.address), (V6, host.address6)):
            with host.entered():
                opened.enter_context(socket.create_server((text, 700), family=family))
            with peer.entered():
                client = opened.enter_context(socket.socket(family))
            client.setblocking(False)
            assert client.connect_ex((text, 700)) == errno.EINPROGRESS
            clients.append((4 if family == V4 else 6, client, address(text)))
        expected = {
            Connection(
                version, TCP, address(client.getsockname()[0]), client.getsockname()[1], to, 700, State.OPENING, True
            )
            for version, client, to in clients
        }
        with peer.entered():
            assert set(sockets.read_connections()) == expected
        with host.entered():
            deadline = time.monotonic() + 5
            while len(found := sockets.read_connections()) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        assert set(found) == {
            Connection(there.version, TCP, there.remote, 700, there.local, there.local_port, State.OPENING, False)
            for there in expected
        }


@pytest.mark.root
@pytest.mark.parametrize(("family", "text"), [(V4, "127.0.0.1"), (V6, "::1"), (V6, "::ffff:127.0.0.1")])
def test_connected_datagram_sockets_are_read_and_others_listen(
    one: Namespace, opened: ExitStack, family: int, text: str
) -> None:
    server, client, answering = (opened.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(3))
    for shared in (server, answering):
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind((text, 53))
    client.connect((text, 53))
    answering.connect(client.getsockname()[:2])
    version = 4 if "." in text else 6
    assert set(sockets.read_connections()) == {
        Connection(version, UDP, *ends(client), State.ESTABLISHED, True),
        Connection(version, UDP, *ends(answering), State.ESTABLISHED, False),
    }
    assert sockets.read_listeners() == [Listener(version, UDP, mapped(text), 53)]


@pytest.mark.root
def test_udp_lite_is_read_where_the_kernel_has_it(one: Namespace, opened: ExitStack) -> None:
    try:
        client = opened.enter_context(socket.socket(V4, socket.SOCK_DGRAM, UDPLITE))
    except OSError:
        assert sockets.read_connections() == []
        return
    client.connect(("127.0.0.1", 53))
    assert sockets.read_connections() == [Connection(4, UDPLITE, *ends(client), State.ESTABLISHED, True)]


@pytest.mark.root
def test_other_namespaces_have_their_own_connections(one: Namespace, opened: ExitStack) -> None:
    connected(opened, "127.0.0.1", "127.0.0.1")
    with namespace() as two, two.entered():
        assert sockets.read_connections() == []


@pytest.mark.root
def test_many_connections_are_read_once_each_and_no_descriptor_stays(one: Namespace, opened: ExitStack) -> None:
    server = opened.enter_context(socket.create_server(("127.0.0.1", 700), backlog=1000))
    for _ in range(700):
        client = socket.create_connection(("127.0.0.1", 700), 5)
        accepted, _ = server.accept()
        # The end that closes first remembers the connection for a minute, and no descriptor is needed for it.
        client.close()
        accepted.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = sockets.read_connections()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert {one.state for one in found} == {State.TIME_WAIT}
    assert len(found) == len(set(found)) == 700


def test_a_protocol_that_the_kernel_lacks_has_no_connections() -> None:
    # 253 is for experiments: no kernel lists its sockets. Source: RFC 3692.
    assert sockets._read(V4, 253, (1,), lambda body: body.nbytes) == []
