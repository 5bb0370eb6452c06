"""T-REL-1, T-REL-2, T-REL-5: the agent dies, restarts or hears nothing, and no packet is judged otherwise for it."""

import asyncio
import hashlib
import os
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from streams import Stream, conversing, streaming

from lockdown import (
    ENVIRONMENT,
    NODE,
    TORTIE,
    AgentHost,
    Document,
    agent_host,
    allow,
    connects,
    deny,
    endpoint,
    entry,
    lane_of,
    network_set,
    pages_of,
    policy,
    sized,
    tcp_server,
)
from tortie.kernel import bpf
from tortie.store.protocol import Put
from tortie.store.sqlite import SqliteStore

pytestmark = pytest.mark.root

ALLOWED, DENIED, TALK, CONNECT = 7001, 7002, 7100, 7200
LISTED = {"selector": 'list == "listed"'}


def moving(number: int) -> list[Document]:
    """Documents that change with the number and mean nothing to the traffic of the tests: rules, members, both."""
    found = []
    if number % 3 != 1:
        found.append(
            policy("moving", [deny("TCP", 20_000 + number % 1000)], [deny("UDP", 21_000 + number % 1000)], order=5)
        )
    if number % 3 != 0:
        found.append(network_set("listed", [f"192.0.2.{1 + n}" for n in range(number % 7, number % 7 + 20)]))
    if number % 10 == 0:
        found.append(policy("untracked", [deny("UDP", 22_000 + number % 1000)], order=4, untracked=True))
    return found


@contextmanager
def changing(site: AgentHost, pause_s: float) -> Iterator[list[int]]:
    """Changes of policy beside the block; how many there were."""
    count, over = [0], threading.Event()

    def change() -> None:
        store = SqliteStore.open(site.store.path)  # a connection belongs to its thread
        while not over.wait(pause_s):
            count[0] += 1
            asyncio.run(store.commit([Put(*entry(given)) for given in moving(count[0])]))
        asyncio.run(store.close())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join(10)


def test_t_rel_1_killing_the_agent_opens_nothing_and_cuts_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    streams = [Stream(ALLOWED), Stream(DENIED), Stream(ALLOWED, is_inward=False), Stream(DENIED, is_inward=False)]
    rules = [deny("UDP", 1, source=LISTED), allow("UDP", ALLOWED), allow("TCP", TALK)]
    with agent_host(tmp_path / "site") as site:
        site.commit(endpoint(), policy("fixed", rules, rules[1:]), *moving(0), *moving(1), *moving(2))
        site.start()
        site.settle()
        recovered = []
        with (
            conversing(site.host, site.peer, inward=sized(30, 150), outward=sized(10, 50), port=TALK) as talks,
            streaming(site.host, site.peer, streams, pause_s=0.0003) as sent,
            changing(site, 0.02) as changes,
        ):
            first, exchanges = sent.settled(), talks.exchanges
            for _ in range(sized(12, 100)):
                time.sleep(chance.uniform(0.02, 0.3))
                site.kill()
                time.sleep(chance.uniform(0, 0.1))
                recovered.append(site.start())
            site.settle()
            last = sent.settled()
            arrived = {stream: sent.arrived(stream, first, last).count(1) for stream in streams}
            said = talks.exchanges - exchanges
            failures = talks.failures
        recovered.sort()
        late = recovered[int(len(recovered) * 0.95)]
        print(
            f"{len(recovered)} kills, {changes[0]} changes, {last - first} packets on each of {len(streams)} streams, "
            f"{said} exchanges, recovered p95 {late:.2f} s"
        )
        wanted = {stream: last - first if stream.port == ALLOWED else 0 for stream in streams}
        assert arrived == wanted
        assert failures == 0 and said > 100
        assert late <= 3.0


def test_t_rel_2_a_restart_denies_nobody_whom_a_set_of_sixty_thousand_allows(tmp_path: Path) -> None:
    chance = random.Random(2)
    members = [f"{11 + n % 60}.{chance.randrange(256)}.{n // 256 % 256}.{n % 256}/32" for n in range(60_000)]
    outcomes: list[bool] = []
    over = threading.Event()
    with agent_host(tmp_path / "site") as site, tcp_server(site.host, CONNECT, DENIED) as (server, _):
        server.settimeout(0.2)

        def connect() -> None:
            while not over.is_set():
                outcomes.append(connects(site.peer, site.host.address, CONNECT, patience_s=2))
                if outcomes[-1]:
                    server.accept()[0].close()
                time.sleep(0.005)

        site.commit(
            endpoint(),
            network_set("listed", [*members, f"{site.peer.address}/32"]),
            policy("friends", [allow("TCP", CONNECT, source=LISTED)]),
        )
        site.start()
        site.settle()
        assert not connects(site.peer, site.host.address, DENIED, patience_s=0.2)
        before = lane_of(site)
        thread = threading.Thread(target=connect)
        thread.start()
        starts = []
        try:
            for number in range(sized(4, 30)):
                if number % 2:
                    site.stop()
                else:
                    site.kill()
                starts.append(site.start())
                site.settle()
        finally:
            over.set()
            thread.join(10)
        print(f"{len(starts)} restarts, slowest {max(starts):.2f} s, {len(outcomes)} connections")
        assert before == lane_of(site)  # taken over, not made anew
        assert outcomes.count(False) == 0
        assert len(outcomes) > 20 * len(starts)


def kernel_state(site: AgentHost) -> dict[str, object]:
    """What of tortie's in the kernel an agent could change: attached, pinned, stored, and the nft ruleset."""
    found: dict[str, object] = {"ruleset": site.host.run("nft", "-s", "list", "ruleset")}
    found["link"] = site.host.link()["xdp"]["prog"]["id"]
    with site.host.entered():
        for path in sorted(site.pins.glob("*/*")):
            fd = bpf.open_pin(path)
            try:
                if path.name in ("xdp", "tc", "out"):
                    found[str(path)] = bpf.link_info(fd)
                    continue
                if path.name.startswith(("xdp_", "egress_")):
                    found[str(path)] = bpf.program_info(fd)
                    continue
                if path.name.startswith(("scratch", "events")):
                    continue
                info = bpf.map_info(fd)
                held = {key.hex(): (bpf.lookup(fd, key, info.value_size) or b"").hex() for key in bpf.keys(fd)}
                is_of_flows = path.name.startswith(("flows", "opening", "layout"))
                found[str(path)] = info, "" if is_of_flows else {key: value for key, value in held.items() if value}
            finally:
                os.close(fd)
    for leaving in (False, True):
        pages = pages_of(site, leaving=leaving)
        found[f"pages, {leaving=}"] = hashlib.sha256(pages.read(0, pages.number("end"))).hexdigest()
        pages.close()
    return found


def test_t_rel_5_an_agent_whose_datastore_is_stalled_changes_nothing(tmp_path: Path) -> None:
    with agent_host(tmp_path / "site") as site, tcp_server(site.host, CONNECT, DENIED):
        site.commit(
            endpoint(),
            network_set("listed", [f"{site.peer.address}/32"]),
            policy("friends", [allow("TCP", CONNECT, source=LISTED)]),
            policy("untracked", [deny("UDP", 9)], [deny("UDP", 9)], order=1, untracked=True),
        )
        site.start()
        site.settle()
        site.kill()
        before = kernel_state(site)
        asyncio.run(site.store.close())
        with closing(sqlite3.connect(site.store.path, isolation_level=None)) as stalled:
            stalled.execute("PRAGMA locking_mode=EXCLUSIVE")
            stalled.execute("BEGIN EXCLUSIVE")
            stalled.execute("UPDATE datastore SET revision = revision")
            deadline = time.monotonic() + sized(8, 60)
            while time.monotonic() < deadline:
                words = (
                    TORTIE,
                    "--datastore",
                    site.store.path,
                    "--socket",
                    site.socket,
                    "agent",
                    "run",
                    "--node",
                    NODE,
                )
                agent = site.host.popen(*words, stderr=subprocess.PIPE, env=ENVIRONMENT)
                try:
                    agent.wait(max(0.1, deadline - time.monotonic()))
                    said = agent.stderr.read().decode() if agent.stderr else ""
                    print(agent.returncode, said)
                    assert agent.returncode != 0 and "Traceback" not in said
                except subprocess.TimeoutExpired:
                    agent.kill()
                    agent.wait(5)
            assert before == kernel_state(site)
            assert connects(site.peer, site.host.address, CONNECT)
            assert not connects(site.peer, site.host.address, DENIED, patience_s=0.2)
            stalled.execute("ROLLBACK")
        site.store = SqliteStore.open(site.store.path)
        site.start()
        site.settle()
        assert before == kernel_state(site)
