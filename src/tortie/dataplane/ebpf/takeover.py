"""Connections that existed before the first endpoint was protected, as flows of the connection table. Pure.

Of the kernel's two sources the socket table knows the host's own connections, nf_conntrack those of others, and what
has no connected socket (a UDP server's clients).
"""

from collections.abc import Collection, Iterable, Iterator

from tortie.kernel.ctnetlink import ConntrackEntry, ConntrackTuple, TcpState
from tortie.kernel.sockets import Connection, State
from tortie.model.conntrack import Flow, FlowKey, FlowState, key_between, key_of
from tortie.model.desired import HostAddresses
from tortie.model.packet import ICMP, ICMPV6, PORTED, Packet

_STATES = {
    State.OPENING: FlowState.OPENING,
    State.ESTABLISHED: FlowState.ESTABLISHED,
    State.CLOSING: FlowState.ESTABLISHED,
    State.TIME_WAIT: FlowState.CLOSED,
}


def of_sockets(connections: Iterable[Connection]) -> Iterator[Flow]:
    """The flows of the host's own connections."""
    for one in connections:
        has_ports = one.protocol in PORTED
        outgoing = Packet(
            version=one.version,
            protocol=one.protocol,
            source=one.local,
            destination=one.remote,
            source_port=one.local_port if has_ports else None,
            destination_port=one.remote_port if has_ports else None,
        )
        where = key_of(outgoing)
        if where is not None:
            key, end = where
            opener = end if one.is_outbound else 1 - end
            yield Flow(key, opener, one.is_outbound, "", 0.0, _STATES[one.state], is_answered=True)


_TCP_STATES = {TcpState.SYN_SENT: FlowState.OPENING, TcpState.SYN_RECV: FlowState.OPENING}
_OVER = (TcpState.TIME_WAIT, TcpState.CLOSE)
"""Connections that nobody needs any more: after a busy minute there are thousands of them."""


def of_conntrack(entries: Iterable[ConntrackEntry], addresses: HostAddresses) -> Iterator[Flow]:
    """The flows that the kernel tracks and that go to or come from an address of this host.

    Addresses are those on the wire outside: what was opened here leaves with the address that the reply goes to, which
    differs from the original one where it was translated.
    """
    for one in entries:
        if one.zone or one.tcp_state in _OVER:  # a zone is a network of its own
            continue
        if (one.original.version, one.original.destination) in addresses.unicast:
            side, is_outbound, sent_by_opener = one.original, False, True
        elif (one.reply.version, one.reply.destination) in addresses.unicast:
            side, is_outbound, sent_by_opener = one.reply, True, False
        else:
            continue
        where = place_of(side)
        if where is not None:
            key, end = where
            yield Flow(
                key, end if sent_by_opener else 1 - end, is_outbound, "", 0.0, _state(one), is_answered=one.is_answered
            )


def of_forwarded(entries: Iterable[ConntrackEntry], addresses: HostAddresses) -> Iterator[Flow]:
    """The flows that the kernel tracks and passes on, as they are on each side of this host.

    Where it translates them, the two sides differ, and only one of them may have no address of this host.
    """
    for one in entries:
        if one.zone or one.tcp_state in _OVER:
            continue
        found: dict[FlowKey, int] = {}
        for side, sent_by_opener in ((one.original, True), (one.reply, False)):
            if any((side.version, end) in addresses.unicast for end in (side.source, side.destination)):
                continue
            if (where := place_of(side)) is not None:
                key, end = where
                found.setdefault(key, end if sent_by_opener else 1 - end)
        for key, opener in found.items():
            yield Flow(key, opener, False, "", 0.0, _state(one), is_answered=one.is_answered)


def _state(one: ConntrackEntry) -> FlowState:
    if one.tcp_state is not None:
        return _TCP_STATES.get(one.tcp_state, FlowState.ESTABLISHED)
    return FlowState.ESTABLISHED if one.is_answered else FlowState.OPENING


def of_others(flows: Iterable[Flow], policed: Collection[tuple[int, int]]) -> Iterator[Flow]:
    """The flows whose end on this host has none of the policed addresses, given as (version, address).

    Because: a flow over an interface that is protected already met policy there, and is known if it was allowed. One
    that was denied leaves a socket behind all the same, and must not pass because another interface is protected.
    """
    for flow in flows:
        version, _, low, _, high, _ = flow.key
        here = flow.opener if flow.is_outbound else 1 - flow.opener
        if (version, (low, high)[here]) not in policed:
            yield flow


def place_of(one: ConntrackTuple) -> tuple[FlowKey, int] | None:
    """The flow key of packets that go the way of the tuple, and the end that sends them; None where there is none."""
    version, protocol = one.version, one.protocol
    if protocol in PORTED:
        return key_between(
            version, protocol, one.source, one.source_port or 0, one.destination, one.destination_port or 0
        )
    if protocol not in (ICMP, ICMPV6):
        return key_between(version, protocol, one.source, 0, one.destination, 0)
    return key_of(
        Packet(
            version=version,
            protocol=protocol,
            source=one.source,
            destination=one.destination,
            icmp_type=one.icmp_type,
            icmp_code=one.icmp_code,
            icmp_id=one.icmp_id or 0,
        )
    )
