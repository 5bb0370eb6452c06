"""The calculation of one node alone, in a process of its own: asked by an argument, it answers on standard output.

    datastore ─▶ list ─▶ decode, lower ─▶ Engine ─▶ first delta ─▶ changes, each with its delta

Every change begins with the bytes of a document and ends with the delta, as in the agent; no driver takes it.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.lab import memory_mb, put
from fleet import Document, Fleet
from fleet_changes import CHANGES, NODE
from tortie.apps.absorb import absorb
from tortie.calc import Engine
from tortie.model.address import Net
from tortie.model.endpoint import Interface
from tortie.resources.codec import decode_stored, lower
from tortie.store.protocol import Entry
from tortie.store.sqlite import SqliteStore


def main() -> None:
    """Measure what the first argument asks, as JSON, and print the answer, as JSON."""
    asked = json.loads(sys.argv[1])
    fleet, count = Fleet(**asked["fleet"]), int(asked["changes"])
    before = memory_mb("VmRSS")
    engine = Engine(f"node-{NODE}")
    answer: dict[str, Any] = _first(engine, fleet, Path(asked["datastore"]))
    answer["memory_mb"] = memory_mb("VmRSS") - before
    gc.freeze()  # as the agent does
    answer["members"] = sum(len(found.members) for found in engine.desired().sets.values())
    answer["changes"] = {name: [*_timed(engine, changes(fleet, count))] for name, changes in CHANGES.items()}
    print(json.dumps(answer))


def _first(engine: Engine, fleet: Fleet, datastore: Path) -> dict[str, float]:
    """Seconds of the first view, and of decoding and lowering alone."""
    entries = asyncio.run(_list(datastore))
    return {"lower_s": _seconds(lambda: _lower(entries)), "view_s": _seconds(lambda: _view(engine, fleet, entries))}


async def _list(path: Path) -> list[Entry]:
    store = SqliteStore.open(path, create=False)
    try:
        return [*(await store.list())[0]]
    finally:
        await store.close()


def _lower(entries: list[Entry]) -> None:
    for entry in entries:
        lower(decode_stored(entry.value))


def _view(engine: Engine, fleet: Fleet, entries: list[Entry]) -> None:
    """From the documents to the first delta."""
    for entry in entries:
        problem = absorb(engine, entry.key, entry.value)
        assert problem is None, problem
    address = frozenset({Net(4, 0xC0000201, 24)})
    engine.set_interface(fleet.uplink, Interface(name=fleet.uplink, index=2, addresses=address))
    engine.in_sync()
    delta = engine.flush()
    assert delta.endpoints[fleet.uplink]
    assert delta.sets


def _timed(engine: Engine, changes: Iterator[Document]) -> Iterator[float]:
    """Milliseconds of each change, from bytes to delta."""
    for document in changes:
        write = put(document)
        started = time.perf_counter()
        problem = absorb(engine, write.key, write.value)
        engine.flush()
        yield (time.perf_counter() - started) * 1e3
        assert problem is None, problem


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
