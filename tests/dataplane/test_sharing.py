"""Interfaces with the same policy share its tables, each counts by itself, and nothing passes for want of memory."""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from driver_lab import (
    ALLOW_BOTH,
    DENY,
    FRIENDS,
    FRIENDS_ONLY,
    connects,
    driven,
    endpoint,
    is_silent,
    listening,
)

from netns import Namespace, veth_pair
from tortie.dataplane.ebpf import counters, pages
from tortie.dataplane.ebpf.counters import CHUNK_WORDS, Counters, Run, create_chunk, create_lane_counts, stride_of
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.address import Net, parse_address
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.packet import Direction
from tortie.model.policy import Policy

pytestmark = pytest.mark.root

OTHERS = 6


@contextmanager
def more_interfaces(host: Namespace) -> Iterator[dict[str, int]]:
    """Some that nothing arrives on, by name and index."""
    for number in range(OTHERS // 2):
        host.run("ip", "link", "add", f"more{number}a", "type", "veth", "peer", "name", f"more{number}b")
    yield {
        link["ifname"]: link["ifindex"]
        for link in json.loads(host.run("ip", "-json", "link", "show"))
        if link["ifname"].startswith("more")
    }


def everywhere(host: Namespace, others: dict[str, int], *policies: Policy) -> dict[str, EndpointState | None]:
    """The same policy on all of them."""
    state = endpoint(host, *policies)
    found: dict[str, EndpointState | None] = {host.interface: state}
    for name, index in others.items():
        found[name] = replace(state, interface=Interface(name=name, index=index), endpoint=name)
    return found


def pages_of(driver: EbpfDriver, direction: Direction) -> list[int]:
    """Ids of the pages that packets find, one for each interface."""
    return [
        lane.running.generation.pages.id
        for plane in driver._planes.values()
        if (lane := plane.lanes[direction]).running is not None
    ]


def is_gone(map_id: int) -> bool:
    """Whether the kernel has no map of that id any more."""
    try:
        os.close(bpf.map_by_id(map_id))
    except KernelError:
        return True
    return False


def denied_on(driver: EbpfDriver) -> dict[str, int]:
    """Packets that met DENY where they arrived, by interface; the host's own solicitations meet it where they leave."""
    return {
        one.interface: one.packets
        for one in driver.counters()[0]
        if one.rule.policy == DENY.key and one.direction is Direction.INGRESS and one.packets
    }


def test_the_same_policy_has_one_set_of_tables_and_counters_for_each_interface(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver, more_interfaces(host) as others:
        driver.take(Delta(endpoints=everywhere(host, others, DENY), failsafes=Failsafes()))
        assert driver.apply().failed == {}
        first = {to: pages_of(driver, to) for to in Direction}
        assert {to: (len(found), len(set(found))) for to, found in first.items()} == dict.fromkeys(
            Direction, (OTHERS + 1, 1)
        )
        assert {one.table_bytes for one in driver.status()} == {2 * pages.SIZES[0] * pages.PAGE}
        assert is_silent(peer, host)
        assert denied_on(driver).keys() == {host.interface}
        before = denied_on(driver)[host.interface]

        name = next(iter(others))  # one goes its own way, the others stay where they are
        driver.take(Delta(endpoints={name: everywhere(host, others, ALLOW_BOTH)[name]}))
        assert driver.apply().changed == (name,)
        assert len(set(pages_of(driver, Direction.INGRESS))) == 2
        assert is_silent(peer, host) and denied_on(driver)[host.interface] > before

        driver.take(Delta(endpoints=everywhere(host, others, ALLOW_BOTH)))
        assert set(driver.apply().changed) == {host.interface, *others} - {name}
        assert connects(peer, host)
        assert len(set(pages_of(driver, Direction.INGRESS))) <= 2  # the one that went ahead is odd, the others are even
        end = time.monotonic() + 3  # the kernel frees it when no program can be in it
        while not is_gone(first[Direction.INGRESS][0]):  # nothing keeps what nobody finds
            assert time.monotonic() < end
            time.sleep(0.01)
        assert denied_on(driver)[host.interface] > before  # and what it counted is not lost


def test_members_that_come_and_go_reach_all_that_share(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver, more_interfaces(host) as others:
        friend = SetChange(frozenset({Net(*parse_address(peer.address), 32)}), frozenset())
        none = SetChange(frozenset({Net(4, 1, 32)}), frozenset(), is_new=True)
        states = everywhere(host, others, FRIENDS_ONLY)
        driver.take(Delta(endpoints=states, sets={FRIENDS.set_id: none}, failsafes=Failsafes()))
        driver.apply()
        assert is_silent(peer, host)
        before = pages_of(driver, Direction.INGRESS)
        for change, allows in ((friend, True), (SetChange(frozenset(), friend.added), False)) * 2:
            driver.take(Delta(sets={FRIENDS.set_id: change}))
            assert set(driver.apply().changed) == {host.interface, *others}
            assert connects(peer, host) if allows else is_silent(peer, host)
        assert pages_of(driver, Direction.INGRESS) == before  # in place


def test_an_agent_that_takes_over_shares_too(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as first, more_interfaces(host) as others:
        states = everywhere(host, others, DENY)
        first.take(Delta(endpoints=states, failsafes=Failsafes()))
        first.apply()
        assert is_silent(peer, host)
        counted, found = denied_on(first), pages_of(first, Direction.INGRESS)
        with driven(host, bpffs) as second:
            second.take(Delta(endpoints=states, failsafes=Failsafes()))
            assert second.apply().changed == ()
            assert pages_of(second, Direction.INGRESS) == found
            assert len({id(one) for plane in second._planes.values() for one in plane.generations()}) == 2
            assert denied_on(second) == counted


@pytest.mark.parametrize("what", ["pages", "counters"])
def test_without_memory_what_is_enforced_stays_and_the_next_apply_goes_on(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def without(*_: object, **__: object) -> int:
        raise KernelError("bpf", "create map", errno.ENOMEM)

    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver, more_interfaces(host) as others:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        with monkeypatch.context() as patch:
            if what == "pages":
                patch.setattr(pages, "create_array", without)
            else:
                patch.setattr(counters, "create_chunk", without)
                patch.setattr(driver._programs.lanes.counters, "_free", {1 << n: [] for n in range(6, 30)})
                patch.setattr(driver._programs.lanes.counters, "_end", CHUNK_WORDS)
            driver.take(Delta(endpoints=everywhere(host, others, ALLOW_BOTH)))
            report = driver.apply()
            assert report.failed.keys() == {host.interface, *others}
            assert all("ENOMEM" in why for why in report.failed.values())
            assert is_silent(peer, host)
        assert set(driver.apply().changed) == {host.interface, *others}
        assert connects(peer, host)
        assert driver.resync().repaired == ()


def test_one_interface_that_cannot_be_changed_keeps_none_from_it(bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver, more_interfaces(host) as others:
        name = next(iter(others))
        put, lanes = driver._programs.lanes.put, set[int]()

        def refusing(changes: dict[int, pages.Pages]) -> None:
            if lanes & changes.keys():
                raise KernelError("bpf", "update lanes", errno.ENOMEM)
            put(changes)

        driver.take(Delta(endpoints=everywhere(host, others, DENY), failsafes=Failsafes()))
        driver.apply()
        hooks = driver._planes[name].hooks
        assert hooks is not None
        lanes.update(hooks.lanes.values())
        with monkeypatch.context() as patch:
            patch.setattr(driver._programs.lanes, "put", refusing)
            driver.take(Delta(endpoints=everywhere(host, others, ALLOW_BOTH)))
            report = driver.apply()
        assert report.failed.keys() == {name}
        assert connects(peer, host)
        assert driver.apply().changed == (name,)


def test_runs_of_counters_never_overlap_and_keep_what_was_counted(bpffs: Path) -> None:
    where, chunks = create_lane_counts(64), create_chunk()
    counts = bpf.create_map_of_maps("counts", max_entries=1_024, like=chunks)
    made, rng = Counters(where, counts), Random(8)
    expected: dict[tuple[int, int], tuple[Run, int, list[int]]] = {}
    try:
        for step in range(400):
            key = rng.randrange(64), rng.randrange(2)
            if rng.random() < 0.3:
                made.end(*key)
                expected.pop(key, None)
            elif rng.random() < 0.2:
                made.release(made.take(stride_of(rng.randrange(1, 500))))
            else:
                count = rng.choice((1, 40, 100, 700, 20_000))
                run, stride = made.take(stride_of(count)), stride_of(count)
                assert run.fits(stride) and made.read(run, stride, count) == [0] * count
                for _ in range(rng.randrange(1, 3)):  # said again, nothing changes
                    made.tell(*key, run)
                numbers = [rng.randrange(1 << 40) for _ in range(count)]
                write(made, run, numbers)
                expected[key] = run, stride, numbers
            if step % 50 == 0:  # another agent finds all of it
                made.publish()
                made.close()
                made = Counters(where, counts)
            spans = sorted((run.begin, sum(run)) for run, *_ in expected.values())
            assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        for key, (run, stride, numbers) in expected.items():
            assert made.of(*key) == run and made.read(run, stride, len(numbers)) == numbers
    finally:
        made.close()
        for fd in (where, chunks, counts):
            os.close(fd)


def write(made: Counters, run: Run, numbers: list[int]) -> None:
    """Count that on the first CPU."""
    data = b"".join(number.to_bytes(8, "little") for number in numbers)
    for part in made._parts(run):
        part[: len(data)] = data[: len(part)]
        data = data[len(part) :]
