"""T-REL-14: after a while of changes nothing is left over: descriptors, pins, maps, programs, memory."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from streams import Stream, streaming

from lockdown import AgentHost, agent_host, allow, deny, endpoint, network_set, policy, sized, until
from tortie.kernel import bpf

pytestmark = pytest.mark.root

SECONDS = sized(16, 600)
GUESTS = [f"guest{number}" for number in range(4)]
SLOPE_MB = sized(8, 4)
"""Memory may grow by that much between a quarter of the time and its end."""


def objects(site: AgentHost) -> tuple[set[int], set[int], int]:
    """Ids of the maps and programs that the agent has descriptors of, and all its descriptors."""
    assert site.agent is not None
    maps, programs, count = set[int](), set[int](), 0
    for path in Path(f"/proc/{site.agent.pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            text = path.read_text()
            count += 1
            maps |= {int(found) for found in re.findall(r"^map_id:\s*(\d+)", text, re.M)}
            programs |= {int(found) for found in re.findall(r"^prog_id:\s*(\d+)", text, re.M)}
    return maps, programs, count


def resident_mb(site: AgentHost) -> float:
    assert site.agent is not None
    status = Path(f"/proc/{site.agent.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s*(\d+)", status)[0]) / 1024


def pins(site: AgentHost) -> list[str]:
    return sorted(str(path) for path in site.pins.glob("*/*"))


def alive(maps: set[int], programs: set[int]) -> tuple[set[int], set[int]]:
    """Those of them that the kernel still has.

    Their ids are listed, and nothing is opened: a program array of which a descriptor is closed while the kernel has
    yet to empty it, since another one was closed before, is never freed (kernel/bpf/arraymap.c, prog_array_map_clear:
    work that is queued already is not queued again, and the reference taken for it stays; seen on Linux 6.18).
    """
    return maps & set(bpf.map_ids()), programs & set(bpf.program_ids())


def churn(site: AgentHost) -> Iterator[int]:
    """One change after another: policy, members, endpoints, interfaces that come and go; the number of each."""
    started, number = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        number += 1
        site.commit(
            policy("moving", [deny("TCP", 20_000 + number % 1000)], [deny("UDP", 21_000 + number % 1000)], order=5),
            network_set("listed", [f"192.0.2.{1 + n}" for n in range(number % 7, number % 7 + 20)]),
            policy("fast", [allow("UDP", 22_000 + number % 3)], [deny("UDP", 23)], order=4, untracked=True),
        )
        guest = GUESTS[number // 10 % len(GUESTS)]
        if number % 10 == 0:
            site.host.run("ip", "link", "add", guest, "type", "veth", "peer", "name", f"{guest}p")
            site.host.run("ip", "link", "set", guest, "up")
        elif number > 10 and number % 10 == 7:
            site.host.run("ip", "link", "delete", guest)
        time.sleep(0.02)
        yield number
    for guest in GUESTS:
        with suppress(AssertionError):
            site.host.run("ip", "link", "delete", guest)


def test_t_rel_14_churn_leaves_nothing_behind(tmp_path: Path) -> None:
    fixed = [
        endpoint(),
        *(endpoint(guest) for guest in GUESTS),
        policy("fixed", [allow("UDP", 7001, source={"selector": 'list == "listed"'}), allow("UDP", 7001)]),
    ]
    still = [
        policy("moving", [deny("TCP", 1)], [deny("UDP", 1)], order=5),
        network_set("listed", ["192.0.2.1"]),
        policy("fast", [allow("UDP", 2)], [deny("UDP", 23)], order=4, untracked=True),
    ]
    with agent_host(tmp_path / "site") as site:
        site.start()
        site.settle()
        empty = objects(site)
        site.commit(*fixed, *still)
        site.settle()
        # twice, so that what is loaded on demand is loaded, and every table has been changed once
        site.commit(policy("moving", [deny("TCP", 2)], order=5))
        site.settle()
        site.commit(*still)
        site.settle()
        time.sleep(3.5)
        before, pinned = objects(site), pins(site)
        maps, programs = set(before[0]), set(before[1])
        memory = 0.0
        started = time.monotonic()
        with streaming(site.host, site.peer, [Stream(7001), Stream(7002)], pause_s=0.002) as sent:
            for number in churn(site):
                if number % 20 == 0:
                    seen = objects(site)
                    maps |= seen[0]
                    programs |= seen[1]
                if not memory and time.monotonic() - started > SECONDS / 4:
                    memory = resident_mb(site)
            assert sent.settled() > 1000
        grown = resident_mb(site) - memory
        site.commit(*still)
        site.settle()

        def counts() -> tuple[int, int, int]:
            found = objects(site)
            return len(found[0]), len(found[1]), found[2]

        wanted = len(before[0]), len(before[1]), before[2]
        with suppress(AssertionError):  # what was replaced is let go of at the next check
            until(lambda: counts() == wanted, 12)
        assert counts() == wanted, site.log
        assert pinned == pins(site)
        print(f"{number} changes, {len(maps)} maps and {len(programs)} programs seen, memory grew by {grown:.1f} MB")
        assert grown < SLOPE_MB
        site.commit(gone=[*fixed, *still])
        site.settle()
        until(lambda: objects(site)[:2] == empty[:2] and objects(site)[2] <= empty[2], 6)
        assert pins(site) == []
        # The kernel lets go of them in a queue of work that other namespaces, which tests before left, are in too.
        with suppress(AssertionError):
            until(lambda: alive(maps - empty[0], programs - empty[1]) == (set(), set()), 20)
        assert alive(maps - empty[0], programs - empty[1]) == (set(), set())
