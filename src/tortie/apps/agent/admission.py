"""Who may hold a connection to the agent's socket, and for how long before asking.

The file's mode lets only root connect; the peer's credentials are checked besides, because a mode can be changed. A
client that connects and says nothing, or says it a byte at a time, loses its connection; there are never more than
`MOST` of them.
"""

import asyncio
import logging
import os
import socket
import struct
from typing import cast

from aiohttp import web

log = logging.getLogger("tortie.agent.api")

MOST = 512
ASK_S = 10.0
_CREDENTIALS = struct.Struct("iII")


class Admission:
    """Admits connections and remembers those that have not asked yet."""

    def __init__(self) -> None:
        self._open: set[asyncio.BaseTransport] = set()
        self._silent: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def admit(self, transport: asyncio.Transport) -> bool:
        """Whether this client may stay."""
        uid = peer_uid(transport.get_extra_info("socket"))
        if uid not in (0, os.geteuid()):
            log.warning("refused a connection of user %d: only root may speak to the agent", uid)
            return False
        if len(self._open) >= MOST:
            log.warning("refused a connection: %d are open already", MOST)
            return False
        self._open.add(transport)
        self._silent[transport] = asyncio.get_running_loop().call_later(ASK_S, transport.abort)
        return True

    def has_asked(self, transport: asyncio.BaseTransport | None) -> None:
        """The client's request has arrived, at least its head."""
        if transport is not None and (timer := self._silent.pop(transport, None)):
            timer.cancel()

    def has_left(self, transport: asyncio.BaseTransport) -> None:
        """The connection is gone."""
        self._open.discard(transport)
        self.has_asked(transport)


def peer_uid(peer: socket.socket) -> int:
    """User id of the process at the other end. Source: unix(7), SO_PEERCRED."""
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return cast(int, uid)


class Door(asyncio.Protocol):
    """Stands in front of the web server's own protocol and passes everything on for those who are admitted."""

    def __init__(self, server: web.Server, admission: Admission) -> None:
        self._server, self._admission = server, admission
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or hang up."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._admission.admit(self._transport):
            self._transport.abort()
            return
        self._inner = self._server()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Pass on and forget."""
        if self._transport is not None:
            self._admission.has_left(self._transport)
        if self._inner is not None:
            self._inner.connection_lost(error)
