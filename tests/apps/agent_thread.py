"""An agent's API on a real socket, in a thread of this process: an evaluating driver, invented interfaces."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.fake_agent import StillInterfaces, StillTimeouts
from apps.reference_driver import ReferenceDriver
from tortie.apps.agent.listener import unix_listener
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.settings import AgentSettings
from tortie.apps.agent.status import Status
from tortie.apps.agent.web import answering
from tortie.calc import Engine
from tortie.store.memory import MemoryStore


@contextmanager
def agent_at(path: Path) -> Iterator[None]:
    """While this lasts, an agent with an empty datastore of its own answers at that path."""
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), threading.Event()

    async def serve() -> None:
        store = MemoryStore()
        pump = Pump(store, Engine("node2"), ReferenceDriver(), StillInterfaces(), StillTimeouts())
        status = Status(AgentSettings(node="node2", socket=path), pump)
        pumping = asyncio.create_task(pump.run())
        with unix_listener(path) as listener:
            async with answering(store, pump, status, listener):
                started.set()
                await stop.wait()
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
