"""Connections that existed before the first endpoint was protected, as flows of the connection table. Pure.

Of the kernel's two sources the socket table knows the host's own connections, nf_conntrack those of others, and what
has no connected socket (a UDP server's clients).
"""

from collections.abc import Iterable, Iterator

from tortie.kernel.sockets import Connection, State
from tortie.model.conntrack import Flow, FlowState, key_of
from tortie.model.packet import PORTED, Packet

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
