"""What the agent takes to start and in memory, and what commands take.

    agent.start    its process is started ─▶ first packets that ingress and egress policy deny, the later of the two
    agent.restart  the same with programs, tables and counts taken over, and a change to make that happened meanwhile

Both are seen by the prober, not told by the agent.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence

from bench.figures import Figure, Unmeasured
from bench.lab import ENFORCED_S, Lab, article, commit, lab, probe_policy
from bench.prober import Way
from tortie.store.sqlite import SqliteStore

SETTLE_S = 1.0
"""After its start the agent still loads what answers commands; its memory is read then."""


def measure(starts: int, commands: int) -> Sequence[Figure]:
    """Every figure of agent and commands. Raises: Unmeasured."""
    fresh: list[float] = []
    again: list[float] = []
    memory: list[float] = []
    with lab() as host:
        store = SqliteStore.open(host.datastore)
        try:
            asyncio.run(commit(store, [*article(host.host.address), probe_policy(is_open=False, is_egress_open=False)]))
            for _ in range(starts):
                fresh.append(_start(host, is_open=False))
                host.until_answering()
                time.sleep(SETTLE_S)
                memory.append(host.memory_mb("VmRSS"))
                again.append(_restart(host, store))
                host.clean_up()
                host.require(is_open=True)
            host.start_agent()
            host.until_answering()
            get, version, apply = _commands(host, commands)
        finally:
            asyncio.run(store.close())
    return [
        Figure("agent.start", "ms", tuple(fresh), note="nothing there before; ingress and egress enforced"),
        Figure("agent.restart", "ms", tuple(again), note="taken over; a change of both made meanwhile is enforced"),
        Figure("agent.rss", "MB", tuple(memory), note="VmRSS with the article's policy; 1 MB = 10^6 bytes"),
        Figure("cli.get", "ms", tuple(get), note="get gnp from the agent"),
        Figure("cli.version", "ms", tuple(version), note="asks the agent for its version too"),
        Figure("cli.apply", "ms", tuple(apply), note="a changed policy to the agent, stored and not waited for"),
    ]


def _start(host: Lab, *, is_open: bool) -> float:
    """Milliseconds from the process's start until both streams are so."""
    first = host.probe.sent
    started = host.start_agent()
    try:
        seen = [host.probe.until(way, is_open=is_open, start=first, timeout_s=ENFORCED_S) for way in Way]
    except Unmeasured as error:
        raise Unmeasured(f"{error}; the agent's log ends:\n{host.log()}") from None
    return (max(moment.time_ns for moment in seen) - started) / 1e6


def _restart(host: Lab, store: SqliteStore) -> float:
    """The agent goes, policy changes, the agent comes: what was enforced stays until the change is."""
    host.stop_agent()
    asyncio.run(commit(store, [probe_policy(is_open=True)]))
    host.require(is_open=False)
    taken = _start(host, is_open=True)
    host.until_answering()
    asyncio.run(commit(store, [probe_policy(is_open=False, is_egress_open=False)]))
    return taken


def _commands(host: Lab, count: int) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    files = [host.folder / f"apply-{number}.json" for number in range(2)]
    for number, path in enumerate(files):
        path.write_text(json.dumps(probe_policy(is_open=bool(number))))
    get: list[float] = []
    version: list[float] = []
    apply: list[float] = []
    for number in range(count):
        change = ("apply", "--no-wait", "-f", str(files[number % 2]))
        for words, taken in ((("get", "gnp"), get), (("version",), version), (change, apply)):
            line = host.words(*words)
            started = time.monotonic_ns()
            done = subprocess.run(line, env=host.environment, capture_output=True, text=True, timeout=60, check=False)
            taken.append((time.monotonic_ns() - started) / 1e6)
            if done.returncode or "Traceback" in done.stderr:
                raise Unmeasured(f"tortie {' '.join(words)}: exit {done.returncode}: {done.stderr}")
    return get, version, apply
