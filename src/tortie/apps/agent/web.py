"""The running API: routes behind admission on a listening socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tortie.apps.agent.admission import Admission, Door
from tortie.apps.agent.api import Api, application
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.questions import Questions
from tortie.apps.agent.status import Status
from tortie.store.protocol import Store

SHUTDOWN_S = 0.3
"""What a request under way gets when the agent is told to stop."""

TURNS = 4
"""Of the loop, until a connection that was accepted is made: two, and some to spare."""

LINGER_S = 0.5
"""How long the rest of a body that nobody wants is read, so that the client gets to see the answer."""


@asynccontextmanager
async def answering(store: Store, pump: Pump, status: Status, listener: socket.socket) -> AsyncIterator[None]:
    """While this lasts, requests are answered."""
    admission = Admission()
    runner = web.AppRunner(
        application(Api(store, pump, status), Questions(store, pump, status), admission),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=SHUTDOWN_S,
        lingering_time=LINGER_S,
    )
    await runner.setup()
    server = runner.server
    assert server is not None, "setup makes the server"
    accepting = await asyncio.get_running_loop().create_unix_server(lambda: Door(server, admission), sock=listener)
    try:
        yield
    finally:
        await _finish_accepting(listener)
        accepting.close()
        await runner.cleanup()


async def _finish_accepting(listener: socket.socket) -> None:
    """Accept nobody else, and let the connections that were accepted be made.

    Because: asyncio (3.11) forgets to close a socket that it accepted in the turn before its server was closed.
    """
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(TURNS):
        await asyncio.sleep(0)
