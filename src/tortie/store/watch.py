"""Following a store: the loop that every embedded watch is, and the bell that wakes it.

The store is the only truth: a bell says "look again", never what happened, so a ring too many costs one small read and
a ring that got lost costs at most the poll interval.

    commit ──▶ bell.ring ──▶ event of each watcher ──▶ read(after my revision) ──▶ batches
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager

from tortie.store.protocol import Batch


class Bell:
    """Wakes every watcher of one store; to be rung on the thread of their event loop."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Let every watcher look again."""
        for listener in self._listeners:
            listener.set()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """The event that is set by every ring from now on."""
        listener = asyncio.Event()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


async def follow(
    bell: Bell, read: Callable[[int], Sequence[Batch]], revision: int, poll_s: float | None = None
) -> AsyncGenerator[Batch, None]:
    """Every batch after `revision`, for ever; looks at each ring, and every `poll_s` without one.

    `read` gives some of the batches after a revision, all of them in the end; what it raises ends the watch.
    """
    loop = asyncio.get_running_loop()
    with bell.listen() as rung:
        while True:
            # Cleared before the read: a commit between the read and the wait must not go unnoticed.
            rung.clear()
            batches = read(revision)
            for batch in batches:
                yield batch
                revision = batch.revision
            if batches:
                continue
            timer = loop.call_later(poll_s, rung.set) if poll_s is not None else None
            try:
                await rung.wait()
            finally:
                if timer:
                    timer.cancel()
