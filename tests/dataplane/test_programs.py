"""One verified program for every policy: a change of policy loads nothing, and interfaces share what is loaded."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from driver_lab import ALLOW_BOTH, DENY, PORT, connects, driven, endpoint, is_silent, listening, policy, rule

from netns import veth_pair
from tortie.dataplane.ebpf import programs, shared
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.hooks import Hooks
from tortie.dataplane.ebpf.lanes import LaneReader
from tortie.dataplane.ebpf.pages import PAGE, SIZES, SPARE_SIZES, Pages
from tortie.dataplane.ebpf.shared import LANES
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.desired import Delta, EndpointState
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.matches import Match, NetMatch, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import TCP, Direction, Packet, Side
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Verdict

pytestmark = pytest.mark.root


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Programs that the verifier went through, by name."""
    seen: list[str] = []
    load = bpf.ObjectFile.load

    def noted(obj: bpf.ObjectFile) -> None:
        load(obj)
        seen.extend(name for name in obj.program_names if name.endswith("_policy"))

    monkeypatch.setattr(bpf.ObjectFile, "load", noted)
    yield seen


def some_rules(rng: Random, count: int, *, with_nets: bool = False) -> tuple[Rule, ...]:
    """Rules about ports, and perhaps nets, that leave the tests' own port alone."""
    actions = (Action.ALLOW, Action.DENY, Action.LOG) if count <= 60 else (Action.ALLOW, Action.DENY)
    found = []
    for _ in range(count):
        first = 10_000 + rng.randrange(40_000)
        matches: list[Match] = [
            ProtocolMatch(TCP),
            PortMatch(Side.DESTINATION, (PortRange(first, first + rng.randrange(3)),)),
        ]
        if with_nets:
            matches.append(NetMatch(Side.SOURCE, (Net(4, rng.getrandbits(24) << 8, 24),)))
        found.append(Rule(rng.choice(actions), tuple(matches)))
    return tuple(found)


def test_policy_changes_never_run_the_verifier(bpffs, loads: list[str]) -> None:  # type: ignore[no-untyped-def]
    rng = Random(5)
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        assert sorted(loads) == ["egress_policy", "xdp_policy"]
        driver.resync()
        while len(loads) < 2 * len(SPARE_SIZES):  # what policy that grows needs is loaded beside what else is done
            time.sleep(0.01)
        loads.clear()
        for number in range(40):
            rules = some_rules(rng, rng.choice((0, 1, 5, 60, 2_000)), with_nets=bool(number % 3))
            last = ALLOW_BOTH if number % 2 else DENY
            state = endpoint(host, policy(rules, rules, name="more"), last)
            state = replace(state, rejects=number % 3 == 0)
            driver.take(Delta(endpoints={host.interface: state}))
            assert driver.apply().changed == (host.interface,)
            if number % 10 < 2:
                assert connects(peer, host) if number % 2 else is_silent(peer, host)
        assert loads == []


def test_jumps_that_others_took_out_are_put_back(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        (pin,) = bpffs.glob("netns-*/host/xdp_*_jumps")
        with bpf.borrowed(bpf.open_pin(pin)) as jumps:
            before = [bpf.lookup(jumps, place.to_bytes(4, "little"), 4) for place in (0, 1)]
            assert all(before) and before[0] != before[1]
            bpf.delete(jumps, (1).to_bytes(4, "little"))
            pin.unlink()
            assert driver.resync().repaired == ("pins of the host's programs",)
            assert [bpf.lookup(jumps, place.to_bytes(4, "little"), 4) for place in (0, 1)] == before
        assert pin.exists() and driver.resync().repaired == ()


def test_the_next_agent_loads_nothing_either(bpffs, loads: list[str]) -> None:  # type: ignore[no-untyped-def]
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as first:
        first.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        first.apply()
        loads.clear()
        with driven(host, bpffs) as second:
            second.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
            assert second.apply().changed == ()
            second.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
            assert second.apply().changed == (host.interface,)
            assert connects(peer, host)
            assert loads == []


def test_interfaces_share_programs_and_each_has_its_own_policy(bpffs, loads: list[str]) -> None:  # type: ignore[no-untyped-def]
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        host.run("ip", "link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1")
        index = json.loads(host.run("ip", "-json", "link", "show", "dummy0"))[0]["ifindex"]
        other = replace(endpoint(host, DENY), interface=Interface(name="dummy0", index=index), endpoint="other")
        states: dict[str, EndpointState | None] = {host.interface: endpoint(host, ALLOW_BOTH), "dummy0": other}
        driver.take(Delta(endpoints=states, failsafes=Failsafes()))
        assert set(driver.apply().changed) == {host.interface, "dummy0"}
        assert sorted(loads) == ["egress_policy", "xdp_policy"]
        assert connects(peer, host)
        driver.take(Delta(endpoints={"dummy0": None}))
        driver.apply()
        assert connects(peer, host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}))
        driver.apply()
        assert is_silent(peer, host)


def test_a_policy_that_outgrows_its_size_moves_to_larger_pages_and_back(bpffs, loads: list[str]) -> None:  # type: ignore[no-untyped-def]
    rng = Random(6)
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        driver.apply()
        lane = driver._planes[host.interface].lanes[Direction.INGRESS]

        def size() -> int:
            assert lane.running is not None
            return lane.running.generation.pages.size

        assert size() == SIZES[0]
        large = policy(some_rules(rng, 3_000, with_nets=True), name="a-large-one")
        for _ in range(2):
            driver.take(Delta(endpoints={host.interface: endpoint(host, large, DENY)}))
            assert driver.apply().failed == {}
            assert size() > SIZES[0] and is_silent(peer, host)
            driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
            assert driver.apply().failed == {}
            assert size() == SIZES[0] and connects(peer, host)
        assert loads.count("xdp_policy") == 2


def leave(driver: EbpfDriver) -> None:
    """End it as a kill does: its descriptors go, what is pinned stays."""
    for plane in driver._planes.values():
        assert plane.hooks is not None
        plane.hooks.close()
        for lane in plane.lanes.values():
            lane.close()
    driver._programs.close()
    driver._flows.close()


def test_another_build_never_finds_pages_that_it_cannot_read(bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as second:
        first = EbpfDriver(bpffs)
        first.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        first.apply()
        hooks = first._planes[host.interface].hooks
        assert hooks is not None
        lanes = {to: (hooks.lanes[to], first._programs.lanes.pages_in(hooks.lanes[to], SIZES[0])) for to in Direction}
        found: dict[Direction, list[object]] = {}
        install = Hooks.install

        def noted(self: Hooks, direction: Direction, program: int) -> None:
            lane, pages = lanes[direction]
            found.setdefault(direction, []).append(first._programs.lanes.pages_in(lane, SIZES[0]) == pages)
            install(self, direction, program)

        monkeypatch.setattr(shared, "object_digest", lambda: bytes(16))
        monkeypatch.setattr(Hooks, "install", noted)
        second.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        assert second.apply().changed == (host.interface,)
        assert found == {to: [True] for to in Direction}  # what the first one's programs find is the first one's
        assert connects(peer, host)
        size = f"_{SIZES[0]}_"
        names = [path.name for path in bpffs.glob("netns-*/host/*") if "lanes" in path.name or size in path.name]
        # and nothing of it stays pinned: of each door the program, what answers for it, the way there; and the lanes
        assert len(names) == 7
        assert len({name.partition(size)[0] for name in names}) == 3
        leave(first)


def test_a_restart_with_a_policy_of_another_size_leaves_no_pages_behind(bpffs: Path) -> None:
    large = policy(some_rules(Random(6), 3_000, with_nets=True), name="a-large-one")
    with veth_pair() as (host, _), driven(host, bpffs) as second:
        first = EbpfDriver(bpffs)
        first.take(Delta(endpoints={host.interface: endpoint(host, large, DENY)}, failsafes=Failsafes()))
        first.apply()
        leave(first)
        second.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        assert second.apply().failed == {}
        hooks = second._planes[host.interface].hooks
        assert hooks is not None
        assert {to: second._programs.lanes.holding(hooks.lanes[to]) for to in Direction} == {
            to: [SIZES[0]] for to in Direction
        }


def test_lanes_whose_pins_others_took_are_given_to_nobody_and_old_names_do_not_stay(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as second:
        first = EbpfDriver(bpffs)
        first.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        first.apply()
        leave(first)
        (slot,) = bpffs.glob("netns-*/if*/slot")
        slot.unlink()
        second.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        second.apply()
        hooks = second._planes[host.interface].hooks
        assert hooks is not None
        names = {path.name for path in bpffs.glob("netns-*/if*/*lane-*")}
        assert names == {f"lane-{hooks.lanes[Direction.INGRESS]}", f"out_lane-{hooks.lanes[Direction.EGRESS]}"}
        leave(second)
        third = EbpfDriver(bpffs)
        third.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        third.apply()
        assert connects(peer, host)
        third.cleanup()


def test_more_interfaces_than_lanes_are_refused_and_told(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver._programs.lanes._in_use.update(range(LANES - 1))
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        assert "interfaces with policy" in driver.apply().refused[host.interface][0]
        driver._programs.lanes._in_use.discard(0)
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
        assert driver.apply().changed == (host.interface,)


def test_many_questions_about_a_log_rule_have_one_answer(bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "EVENTS_BYTES", 4096)
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        logged = policy((rule(Action.LOG), rule(Action.DENY)))
        driver.take(Delta(endpoints={host.interface: endpoint(host, logged)}, failsafes=Failsafes()))
        driver.apply()
        packet = Packet(version=4, protocol=TCP, source=1, destination=2, source_port=3, destination_port=PORT)
        answers = [driver.probe(host.interface, Direction.INGRESS, packet) for _ in range(60)]
        assert {(one.verdict, one.rule and one.rule.index) for one in answers if one} == {(Verdict.DENY, 1)}


def test_what_the_lanes_have_is_what_was_put_there() -> None:
    made = programs.Programs(programs.Traits(has_tcx=False, has_frags=False, mark_bit=1))
    pages = {lane: Pages.create(1) for lane in (0, 1, 63, 64, LANES - 1)}
    try:
        for each in pages.values():
            with each.writable(PAGE) as page:
                page[:4] = each.id.to_bytes(4, "little")  # struct config, generation
        made.lanes.put(pages)
        reader = LaneReader(made.maps.fd(f"lanes{SIZES[0]}"), made.maps.fd("counts"))
        expected = {lane: each.id for lane, each in pages.items()}
        assert {lane: found.pages for lane, found in enumerate(reader.read()) if any(found)} == expected
        assert {lane: made.lanes.pages_in(lane, SIZES[0]) for lane in pages} == expected
        assert reader.read(63, 2) == [(pages[63].id, 0), (pages[64].id, 0)]
        reader.close()
    finally:
        made.close()
        for each in pages.values():
            each.close()


def test_lanes_are_not_looked_up_one_by_one_because_that_waits_for_the_kernel(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.8 each such call takes a grace period: 4,096 of them kept an agent from its work for 40 s."""
    seen: list[str] = []
    lookup = bpf.lookup

    def noted(fd: int, key: bytes, value_size: int) -> bytes | None:
        seen.append(bpf.map_info(fd).name)
        return lookup(fd, key, value_size)

    monkeypatch.setattr(bpf, "lookup", noted)
    with veth_pair() as (host, _), driven(host, bpffs) as first:
        first.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        first.apply()
        assert first.resync().repaired == ()
        assert seen.count("lanes") == 0
        leave(first)
        second = EbpfDriver(bpffs)
        second.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        second.apply()
        assert seen.count("lanes") == 2  # what it takes over, in each direction
        assert "slot" in seen
        leave(second)
