"""A whole agent in a large fleet: from its start to the first packet denied, its memory, and what changes take.

The prober's stream meets an untracked policy of three rules in front of the fleet's own: the feeds' set of networks
denies, a set of one endpoint's address denies, and the last rule decides. So each kind of change opens and closes it.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from bench.figures import Figure, Unmeasured
from bench.lab import Document, Lab, commit, document, lab
from bench.prober import HOST_PORT, Way
from fleet import Fleet
from fleet_changes import NODE
from tortie.store.sqlite import SqliteStore

START_S = 120.0
CHANGE_S = 30.0
PAUSE_S = (0.1, 0.25)
SETTLE_S = 1.0
PROBED = "probed-endpoint"


def measure(fleet: Fleet, starts: int, changes: int) -> Sequence[Figure]:
    """Every figure of the agent. Raises: Unmeasured."""
    started: list[float] = []
    resident: list[float] = []
    most: list[float] = []
    with lab(node=f"node-{NODE}") as host:
        store = SqliteStore.open(host.datastore)
        try:
            _commit(store, [*fleet.documents(), _endpoint(host, is_probed=False), _policy(is_open=False)])
            for _ in range(starts):
                host.clean_up()
                host.require(is_open=True, ways=(Way.INWARD,))
                started.append(_start(host))
                host.until_answering(START_S)
                time.sleep(SETTLE_S)
                resident.append(host.memory_mb("VmRSS"))
                most.append(host.memory_mb("VmHWM"))
            figures = _changes(host, store, fleet, changes)
            resident_later = host.memory_mb("VmRSS")
        finally:
            asyncio.run(store.close())
    return [
        Figure("fleet.agent.start", "ms", tuple(started), note="of the process, to the first packet denied"),
        Figure(
            "fleet.agent.rss",
            "MB",
            tuple(resident),
            note=f"VmRSS; after {changes} changes of each kind {resident_later:.0f}",
        ),
        Figure("fleet.agent.hwm", "MB", tuple(most), note="VmHWM, the most it ever had"),
        *figures,
    ]


def _start(host: Lab) -> float:
    """Milliseconds from the process's start until the stream is closed."""
    first = host.probe.sent
    began = host.start_agent()
    seen = host.probe.until(Way.INWARD, is_open=False, start=first, timeout_s=START_S)
    return (seen.time_ns - began) / 1e6


def _changes(host: Lab, store: SqliteStore, fleet: Fleet, count: int) -> Sequence[Figure]:
    """From the commit of one document to the first packet that shows it."""
    _until(host, is_open=True, write=lambda: _commit(store, [_policy(is_open=True)]))
    feed, address = 0, host.peer.address
    kinds: dict[str, tuple[Callable[[bool], Document], str]] = {
        "policy": (lambda is_open: _policy(is_open=is_open), "a rule of a policy"),
        "label": (lambda is_open: _endpoint(host, is_probed=not is_open), "the label of another node's endpoint"),
        "address": (
            lambda is_open: fleet.network_set(feed, more=() if is_open else (f"{address}/32",)),
            f"an address more in a feed of {fleet.size_of(feed):,}",
        ),
        "net": (
            lambda is_open: fleet.network_set(feed, more=() if is_open else (f"{address}/31",)),
            f"a network more in a feed of {fleet.size_of(feed):,}",
        ),
    }
    return [
        Figure(f"fleet.agent.{name}", "ms", tuple(_timed(host, store, made, count)), note=f"commit to enforced: {what}")
        for name, (made, what) in kinds.items()
    ]


def _timed(host: Lab, store: SqliteStore, made: Callable[[bool], Document], count: int) -> Sequence[float]:
    chance = random.Random(1)
    taken = []
    for number in range(count + count % 2):
        time.sleep(chance.uniform(*PAUSE_S))
        changed = made(bool(number % 2))
        taken.append(_until(host, is_open=bool(number % 2), write=lambda one=changed: _commit(store, [one])))  # type: ignore[misc]
    return taken


def _until(host: Lab, *, is_open: bool, write: Callable[[], int]) -> float:
    """Milliseconds from the end of the commit until packets show the change."""
    start = host.probe.sent
    committed = write()
    try:
        seen = host.probe.until(Way.INWARD, is_open=is_open, start=start, timeout_s=CHANGE_S)
    except Unmeasured as error:
        raise Unmeasured(f"{error}; the agent's log ends:\n{host.log()}") from None
    return (seen.time_ns - committed) / 1e6


def _commit(store: SqliteStore, documents: Sequence[Document]) -> int:
    return asyncio.run(commit(store, documents))


def _endpoint(host: Lab, *, is_probed: bool) -> Document:
    """The prober's peer, as an endpoint of another node."""
    spec = {"node": "node-1", "interfaceName": "probe0", "expectedIPs": [host.peer.address]}
    return document("HostEndpoint", PROBED, spec, labels={"probed": "yes" if is_probed else "no"})


def _policy(*, is_open: bool) -> Document:
    """What the stream meets first."""
    to_port = {"protocol": "UDP", "destination": {"ports": [HOST_PORT]}}
    sources = ('feed == "reputation"', 'probed == "yes"')
    denied = [{"action": "Deny", **to_port, "source": {"selector": source}} for source in sources]
    spec = {
        "tier": "security",
        "order": -1,
        "selector": f'host == "node-{NODE}"',
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress"],
        "ingress": [*denied, {"action": "Allow" if is_open else "Deny", **to_port}],
    }
    return document("GlobalNetworkPolicy", "security.probe", spec)
