"""The connections that this host's own sockets have: what the kernel's socket table says of TCP, UDP and UDP-Lite.

A connection that another host has through this one is not here; `ctnetlink` may know it. SCTP is not read.
"""

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from typing import NamedTuple, TypeVar

from tortie.kernel import dump
from tortie.kernel.errors import KernelError

_Found = TypeVar("_Found")

DOOR = "sock_diag"
_TCP, _UDP, _UDPLITE = 6, 17, 136
_MAPPED = 0xFFFF
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
# Source: linux/inet_diag.h: inet_diag_req_v2 (family, protocol, extensions, padding, states; then a socket's identity,
# which a list does not look at); inet_diag_msg (family, state, timer, retransmissions, then the identity: two ports and
# two addresses in network order ...).
_REQUEST = struct.Struct("=BBxxI48x")
_FAMILY_AND_STATE = struct.Struct("=BB")
_ENDS_4, _ENDS_6 = struct.Struct(">4xHHI12xI12x32x"), struct.Struct(">4xHHQQQQ32x")
_VERSIONS: dict[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 6}
# Source: linux/net/tcp_states.h. A datagram socket with a peer is in state ESTABLISHED, one without in state CLOSE.
_ESTABLISHED, _SYN_SENT, _SYN_RECV, _FIN_WAIT1, _FIN_WAIT2, _TIME_WAIT = range(1, 7)
_CLOSE, _CLOSE_WAIT, _LAST_ACK, _LISTEN, _CLOSING, _NEW_SYN_RECV = range(7, 13)
# What the kernel has no module for. Source: linux/net/core/sock_diag.c, linux/net/ipv4/inet_diag.c.
_ABSENT = (errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)


class State(IntEnum):
    """How far a connection is: no end knows yet that the other agreed, both do, one wants no more, both are done."""

    OPENING = 0
    ESTABLISHED = 1
    CLOSING = 2
    TIME_WAIT = 3


# A request socket is asked for as NEW_SYN_RECV and told as SYN_RECV. Source: linux/net/ipv4/inet_diag.c.
_STATES = {
    _SYN_SENT: State.OPENING,
    _SYN_RECV: State.OPENING,
    _NEW_SYN_RECV: State.OPENING,
    _ESTABLISHED: State.ESTABLISHED,
    _FIN_WAIT1: State.CLOSING,
    _FIN_WAIT2: State.CLOSING,
    _CLOSE_WAIT: State.CLOSING,
    _LAST_ACK: State.CLOSING,
    _CLOSING: State.CLOSING,
    _TIME_WAIT: State.TIME_WAIT,
}


class Connection(NamedTuple):
    """A socket that has a peer. Addresses are integers in host order; IPv4-mapped ones are IPv4."""

    version: int
    protocol: int
    local: int
    local_port: int
    remote: int
    remote_port: int
    state: State
    is_outbound: bool
    """Whether this host opened it, as far as `opened_here` can tell."""


class Listener(NamedTuple):
    """A socket that waits for peers; address 0 stands for every address of the host."""

    version: int
    protocol: int
    address: int
    port: int


def read_connections() -> Sequence[Connection]:
    """The connections of all sockets in the calling thread's network namespace.

    They are read one after another, not as of one moment: what opens meanwhile may be missing. A protocol or IP version
    that the kernel does not know, or cannot list, has none. Because: 100,000 connections take 0.3 s, half of it in the
    kernel, so no filter is handed down.
    Raises: KernelError.
    """
    listening = reachable(read_listeners())
    found: list[Connection] = []
    for protocol, states in ((_TCP, tuple(_STATES)), (_UDP, (_ESTABLISHED,)), (_UDPLITE, (_ESTABLISHED,))):
        for family in _VERSIONS:
            found += _read(family, protocol, states, partial(parse_connection, protocol, listening))
    return found


def read_listeners() -> Sequence[Listener]:
    """The listening sockets, and the datagram sockets without a peer, of the calling thread's network namespace."""
    found: list[Listener] = []
    for protocol, state in ((_TCP, _LISTEN), (_UDP, _CLOSE), (_UDPLITE, _CLOSE)):
        for family in _VERSIONS:
            found += _read(family, protocol, (state,), partial(parse_listener, protocol))
    return found


def reachable(listeners: Iterable[Listener]) -> frozenset[Listener]:
    """The listeners, and for those on every IPv6 address what they take of IPv4.

    Because: whether a socket takes IPv6 only is not asked for; who listens so and opens connections of IPv4 from the
    very same port is yet to be seen.
    """
    found = frozenset(listeners)
    return found | {one._replace(version=4) for one in found if (one.version, one.address) == (6, 0)}


def opened_here(listening: frozenset[Listener], *, version: int, protocol: int, address: int, port: int) -> bool:
    """Whether this host opened a connection with that local end: nobody listens there.

    Shape: `listening` is what `reachable` gave.
    """
    # Because: a plain tuple equals a named one and takes a third of the time.
    return (version, protocol, address, port) not in listening and (version, protocol, 0, port) not in listening


def parse_connection(protocol: int, listening: frozenset[Listener], body: memoryview) -> Connection | None:
    """The connection of an inet_diag_msg, None for a socket without a peer. Raises: struct.error, KeyError."""
    family, number = _FAMILY_AND_STATE.unpack_from(body)
    version, local, local_port, remote, remote_port = _ends(family, body)
    state = _STATES.get(number)
    if state is None:
        return None
    if number in (_SYN_SENT, _SYN_RECV, _NEW_SYN_RECV):
        is_outbound = number == _SYN_SENT
    else:
        is_outbound = opened_here(listening, version=version, protocol=protocol, address=local, port=local_port)
    return Connection(version, protocol, local, local_port, remote, remote_port, state, is_outbound)


def parse_listener(protocol: int, body: memoryview) -> Listener | None:
    """The listener of an inet_diag_msg, None for a socket without a port. Raises: struct.error, KeyError."""
    version, address, port, _, _ = _ends(body[0], body)
    return Listener(version, protocol, address, port) if port else None


def _ends(family: int, body: memoryview) -> tuple[int, int, int, int, int]:
    """Version, local address and port, remote address and port."""
    version = _VERSIONS[family]
    if version == 4:
        local_port, remote_port, local, remote = _ENDS_4.unpack_from(body)
        return 4, local, local_port, remote, remote_port
    local_port, remote_port, high, low, remote_high, remote_low = _ENDS_6.unpack_from(body)
    if not high and low >> 32 == _MAPPED:
        return 4, low & 0xFFFFFFFF, local_port, remote_low & 0xFFFFFFFF, remote_port
    return 6, high << 64 | low, local_port, remote_high << 64 | remote_low, remote_port


def _read(
    family: int, protocol: int, states: Iterable[int], parse: Callable[[memoryview], _Found | None]
) -> list[_Found]:
    request = dump.Request(
        door=DOOR,
        thing=f"list sockets of protocol {protocol}, IPv{_VERSIONS[family]}",
        family=_NETLINK_SOCK_DIAG,
        kind=_SOCK_DIAG_BY_FAMILY,
        answer=_SOCK_DIAG_BY_FAMILY,
        body=_REQUEST.pack(family, protocol, sum(1 << state for state in states)),
    )
    try:
        return dump.read(request, parse)
    except KernelError as error:
        if error.code in _ABSENT:
            return []
        raise
