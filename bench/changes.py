"""How soon a change of one rule is enforced: from the datastore's commit, and from the start of the command.

    commit, in another process than the agent's ─▶ inotify ─▶ agent ─▶ program, nft ─▶ first packet that shows it

The changed rule opens or closes the prober's port, in turn; each change waits for the one before, and then a random
while, so that it meets the agent's periodic work at any phase.
"""

import asyncio
import json
import random
import subprocess
import time
from collections.abc import Sequence

from bench.figures import Figure, Unmeasured
from bench.lab import BALLAST_FROM, ENFORCED_S, Document, Lab, article, ballast, commit, lab, probe_policy
from bench.prober import Way
from tortie.store.sqlite import SqliteStore

PAUSE_S = (0.1, 0.25)
COMMIT = "apply.commit_to_enforced"


def measure(changes: int, changes_with_most: int) -> Sequence[Figure]:
    """Every figure of changes; the fewer of them where 10,000 rules are loaded. Raises: Unmeasured."""
    chance = random.Random(1)
    figures: list[Figure] = []
    with lab() as host:
        store = SqliteStore.open(host.datastore)
        try:
            _write(store, [*article(host.host.address), probe_policy(is_open=True)])
            host.start_agent()
            host.until_answering()
            figures += _commits(host, store, COMMIT, changes, chance, "1 rule, and redis")
            figures.append(_commits_both_ways(host, store, changes, chance))
            figures.append(_commands(host, changes, chance))
            for rules, count in ((1_000, changes), (10_000, changes_with_most)):
                _write(store, ballast(rules))
                _until_current(host, store, rules)
                figures += _commits(host, store, f"{COMMIT}.{rules}", count, chance, f"{rules:,} other rules")
        finally:
            asyncio.run(store.close())
    return figures


def _commits(
    host: Lab, store: SqliteStore, name: str, count: int, chance: random.Random, note: str
) -> Sequence[Figure]:
    """One rule of ingress changes: all changes, and those that open and that close apart."""
    host.require(is_open=True)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(count + count % 2):
        time.sleep(chance.uniform(*PAUSE_S))
        is_open = bool(number % 2)
        start = host.probe.sent
        committed = _write(store, [probe_policy(is_open=is_open)])
        seen = host.probe.until(Way.INWARD, is_open=is_open, start=start, timeout_s=ENFORCED_S)
        taken[is_open].append((seen.time_ns - committed) / 1e6)
    return [
        Figure(name, "ms", (*taken[True], *taken[False]), note=note),
        Figure(f"{name}.open", "ms", tuple(taken[True])),
        Figure(f"{name}.close", "ms", tuple(taken[False])),
    ]


def _commits_both_ways(host: Lab, store: SqliteStore, count: int, chance: random.Random) -> Figure:
    """The policy's ingress rule and its egress rule change together; both streams must show it."""
    host.require(is_open=True)
    taken = []
    for number in range(count + count % 2):
        time.sleep(chance.uniform(*PAUSE_S))
        is_open = bool(number % 2)
        start = host.probe.sent
        committed = _write(store, [probe_policy(is_open=is_open, is_egress_open=is_open)])
        seen = [host.probe.until(way, is_open=is_open, start=start, timeout_s=ENFORCED_S) for way in Way]
        taken.append((max(moment.time_ns for moment in seen) - committed) / 1e6)
    return Figure(f"{COMMIT}.egress", "ms", tuple(taken), note="ingress and egress rule change; the later one counts")


def _commands(host: Lab, count: int, chance: random.Random) -> Figure:
    """`tortie apply` of the one document; its process is started by posix_spawn or fork and exec, which counts too."""
    files = {is_open: host.folder / f"open-{is_open}.yaml" for is_open in (False, True)}
    for is_open, path in files.items():
        # JSON is YAML; the reader of documents is the same.
        path.write_text(json.dumps(probe_policy(is_open=is_open), indent=2))
    host.require(is_open=True)
    taken = []
    for number in range(count + count % 2):
        time.sleep(chance.uniform(*PAUSE_S))
        is_open = bool(number % 2)
        start = host.probe.sent
        words = host.words("apply", "-f", str(files[is_open]))
        started = time.monotonic_ns()
        with subprocess.Popen(
            words, env=host.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as command:
            seen = host.probe.until(Way.INWARD, is_open=is_open, start=start, timeout_s=ENFORCED_S)
            _, said = command.communicate(timeout=60)
        if command.returncode:
            raise Unmeasured(f"tortie apply: exit {command.returncode}: {said}")
        taken.append((seen.time_ns - started) / 1e6)
    return Figure("apply.command_to_enforced", "ms", tuple(taken), note="1 rule, and redis")


def _write(store: SqliteStore, documents: Sequence[Document]) -> int:
    return asyncio.run(commit(store, documents))


def _until_current(host: Lab, store: SqliteStore, rules: int) -> None:
    """Until the agent has programmed what is loaded, and the installed program knows the last of these rules."""
    for is_open in (False, True):
        start = host.probe.sent
        _write(store, [probe_policy(is_open=is_open)])
        host.probe.until(Way.INWARD, is_open=is_open, start=start, timeout_s=60)
    port = BALLAST_FROM + rules - 1
    asked = host.command("trace", host.peer.address, host.host.address, f"tcp/{port}", "--in", "ens4", "-o", "json")
    installed = json.loads(asked.stdout)["installed"]
    if installed is None or installed["verdict"] != "deny":
        raise Unmeasured(f"the installed program does not deny tcp/{port}, the last of {rules} rules: {asked.stdout}")
