"""A large fleet, and one ten times smaller: the first view of a node, its memory, and what one change costs.

The documents come from a seed (tests/fleet.py) and are stored in a datastore; processes of their own work on it.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench import fleethost
from bench.figures import Figure, Unmeasured
from bench.lab import environment, folder, put
from fleet import Fleet
from fleet_changes import TOUCHES_MORE
from tortie.store.sqlite import SqliteStore

LARGE = Fleet()
TENTH = Fleet(nodes=50, endpoints=1_000, policies=100, sets=500, nets=100_000)
QUICK = Fleet(nodes=50, endpoints=1_000, policies=200, sets=500, nets=100_000)
QUICK_TENTH = Fleet(nodes=5, endpoints=100, policies=100, sets=50, nets=50_000)


def measure(large: Fleet, small: Fleet, changes: int, starts: int, seen: int) -> Sequence[Figure]:
    """Every figure of the fleet: of the calculation, and of agents that start so often, and of whose changes so many of
    each kind are seen. Raises: Unmeasured."""
    with folder() as place:
        little, much = (_calculate(place / f"{fleet.nodes}.db", fleet, changes) for fleet in (small, large))
    return [*_calculation(large, much, little), *fleethost.measure(large, starts, seen)]


def _calculate(datastore: Path, fleet: Fleet, changes: int) -> dict[str, Any]:
    """What the calculation alone takes, in a process that does nothing else. Raises: Unmeasured."""
    asyncio.run(store(datastore, fleet))
    asked = json.dumps({"datastore": str(datastore), "fleet": asdict(fleet), "changes": changes})
    words = [sys.executable, "-m", "bench.calculation", asked]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise Unmeasured(f"the calculation of a fleet: exit {done.returncode}: {done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def store(path: Path, fleet: Fleet) -> None:
    """All documents of the fleet into a new datastore."""
    made = SqliteStore.open(path)
    try:
        await made.commit([put(document) for document in fleet.documents()])
    finally:
        await made.close()


def _calculation(fleet: Fleet, large: dict[str, Any], small: dict[str, Any]) -> list[Figure]:
    size = f"{fleet.endpoints:,} endpoints, {fleet.policies:,} policies, {fleet.nets:,} CIDRs"
    figures = [
        Figure("fleet.lower", "s", (large["lower_s"],), note=f"decode and lower all documents: {size}"),
        Figure("fleet.view", "s", (large["view_s"],), note="from all documents to the first delta"),
        Figure(
            "fleet.memory", "MB", (large["memory_mb"],), note=f"for the calculation; {large['members']:,} members here"
        ),
    ]
    for name, taken in large["changes"].items():
        figures += [
            Figure(f"fleet.change.{name}", "ms", tuple(taken), note="one document to the delta"),
            Figure(f"fleet.change.{name}.p99", "ms", (percentile(taken, 99),)),
        ]
        if name not in TOUCHES_MORE:
            ratio = median(taken) / median(small["changes"][name])
            figures.append(Figure(f"fleet.change.{name}.ratio", "x", (ratio,), note="to a fleet ten times smaller"))
    return figures


def percentile(samples: Sequence[float], percent: int) -> float:
    """The sample that so many percent are not above."""
    ordered = sorted(samples)
    return ordered[-(-len(ordered) * percent // 100) - 1]
