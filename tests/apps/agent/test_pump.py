"""The pump: from the datastore's changes to the driver, with a driver that evaluates and interfaces that are told."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest

from apps.documents import ENDPOINT, KUBERNETES, PAIR, REFUSED, network_set, staged
from apps.reference_driver import ReferenceDriver
from tortie.apps.absorb import absorb
from tortie.apps.agent import pump as module
from tortie.apps.agent.outcome import Outcome
from tortie.apps.agent.pump import Pump
from tortie.apps.failure import Failure
from tortie.apps.packets import parse_packet
from tortie.apps.requests import Verb
from tortie.apps.verbs import service
from tortie.calc import Engine
from tortie.dataplane.driver import ApplyReport
from tortie.kernel.errors import KernelError
from tortie.model.address import parse_net
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.verdict import Verdict
from tortie.resources.kinds import KINDS
from tortie.store.memory import MemoryStore
from tortie.store.protocol import Batch, Delete, Entry, Gone, Key, Put, Unavailable

ETH0 = Interface(name="eth0", index=2, addresses=frozenset({parse_net("10.0.0.5", strict=True)}))
ETH1 = Interface(name="eth1", index=3)


class ToldInterfaces:
    """Interfaces that the test sets; `fail` makes the next readings fail."""

    def __init__(self, *interfaces: Interface) -> None:
        self.now: Sequence[Interface] = interfaces
        self.fail = 0
        self._changed = asyncio.Event()

    def tell(self, *interfaces: Interface) -> None:
        self.now = interfaces
        self._changed.set()

    def read(self) -> Sequence[Interface]:
        if self.fail:
            self.fail -= 1
            raise KernelError("netlink", "list interfaces", 0, "on purpose")
        return self.now

    def toward(self, version: int, address: int) -> str | None:
        return "eth0"

    def changes(self) -> AsyncGenerator[None, None]:
        return self._changes()

    async def _changes(self) -> AsyncGenerator[None, None]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield


class ToldTimeouts:
    """Timeouts that the test sets; `fail` makes the next readings fail."""

    def __init__(self) -> None:
        self.now: Mapping[str, float] = {}
        self.fail = 0

    def read(self) -> Mapping[str, float]:
        if self.fail:
            self.fail -= 1
            raise KernelError("sysctl", "read", 0, "on purpose")
        return self.now


class World:
    """A pump that runs, and everything around it."""

    def __init__(self, store: MemoryStore, interfaces: ToldInterfaces, driver: ReferenceDriver) -> None:
        self.store, self.interfaces, self.driver = store, interfaces, driver
        self.timeouts = ToldTimeouts()
        self.pump = Pump(store, Engine("node2"), driver, interfaces, self.timeouts, wall=lambda: 1_700_000_000.0)

    async def apply(self, text: str) -> Outcome:
        answer = await service.write(self.store, Verb.APPLY, [{"source": "t.yaml", "text": text}])
        outcome = await self.pump.outcomes.reached(answer["revision"], 2.0)
        assert outcome is not None, "not programmed in time"
        return outcome


def in_world(
    test: Callable[[World], Awaitable[None]],
    *,
    store: MemoryStore | None = None,
    documents: str = "",
    driver: ReferenceDriver | None = None,
) -> None:
    """Run the test beside a pump over these documents; what the pump raises fails the test."""

    async def run() -> None:
        world = World(store or MemoryStore(), ToldInterfaces(ETH0), driver or ReferenceDriver())
        if documents:
            await service.write(world.store, Verb.APPLY, [{"source": "t.yaml", "text": documents}])
        pumping = asyncio.create_task(world.pump.run())
        testing = asyncio.ensure_future(test(world))
        await asyncio.wait({pumping, testing}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        for task in (pumping, testing):
            task.cancel()
        results = await asyncio.gather(pumping, testing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        assert not isinstance(results[1], asyncio.CancelledError), "the test did not end in time"

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most 2 s."""
    async with asyncio.timeout(2.0):
        while not condition():
            await asyncio.sleep(0.002)


def test_what_is_stored_before_the_start_is_programmed_in_one_go() -> None:
    async def test(world: World) -> None:
        outcome = await world.pump.outcomes.reached(1, 2.0)
        assert outcome is not None
        assert world.driver.log == ["take", "apply"]
        assert {"eth0"} == set(world.driver.enforced)

    in_world(test, documents=PAIR)


def test_a_change_is_programmed_and_its_waiter_told() -> None:
    async def test(world: World) -> None:
        outcome = await world.apply(PAIR)
        assert outcome.failed == {}
        assert {"eth0"} == set(world.driver.enforced)
        revision = (await service.delete_named(world.store, "hep", ["node2-eth0"]))["revision"]
        assert await world.pump.outcomes.reached(revision, 2.0)
        assert set() == set(world.driver.enforced)

    in_world(test)


def test_what_a_datastore_has_of_kubernetes_is_programmed_as_it_changes() -> None:
    to_web = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: to-web}
spec: {types: [Egress], egress: [{action: Allow, destination: {services: {name: web, namespace: shop}}}]}
"""
    part = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.65.0.2"]}],
        "ports": [{"port": 80}],
    }
    key = Key("EndpointSlice", "shop", "web-1")

    async def test(world: World) -> None:
        packet = parse_packet("10.0.0.5", "10.65.0.2", "tcp/80", None)

        def verdict() -> Verdict | None:
            answer = world.driver.probe("eth0", Direction.EGRESS, packet)
            return answer.verdict if answer is not None else None

        await world.apply(f"{ENDPOINT}---\n{to_web}")
        assert verdict() is Verdict.DENY
        (status,) = world.pump.engine.policy_statuses()
        assert "no endpoint of service shop/web is known" in status.problem
        revision = await world.store.commit([Put(key, json.dumps(part).encode(), 0)])
        assert await world.pump.outcomes.reached(revision, 2.0)
        assert (verdict(), world.pump.engine.policy_statuses(), world.pump.invalid) == (Verdict.ALLOW, (), {})
        assert await world.pump.outcomes.reached(await world.store.commit([Delete(key)]), 2.0)
        assert verdict() is Verdict.DENY

    in_world(test)


def test_a_revision_that_changes_nothing_here_is_reached_without_an_apply() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        before = len(world.driver.log)
        await world.apply(ENDPOINT.replace("node2", "node3"))
        assert before == len(world.driver.log)

    in_world(test)


def test_nothing_reaches_the_driver_before_the_interfaces_are_known() -> None:
    async def test(world: World) -> None:
        await until(lambda: world.pump.revision == 1)
        await asyncio.sleep(0.05)
        assert world.driver.log == []
        await until(lambda: "apply" in world.driver.log)

    async def run() -> None:
        store = MemoryStore()
        await service.write(store, Verb.APPLY, [{"source": "t.yaml", "text": PAIR}])
        world = World(store, ToldInterfaces(ETH0), ReferenceDriver())
        world.interfaces.fail = 1
        pumping = asyncio.create_task(world.pump.run())
        await test(world)
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)

    asyncio.run(run())


class Broken(MemoryStore):
    """A datastore that can be made to fail: `error` for as long as it is set, `errors` one each as the watch wakes."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.errors: list[Exception] = []

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        if self.error is not None:
            raise self.error
        return await super().list(kind, namespace, holding=holding)

    async def watch(self, revision: int) -> AsyncIterator[Batch]:  # type: ignore[override]
        async for batch in super().watch(revision):
            if self.error is not None:
                raise self.error
            if self.errors:
                raise self.errors.pop()
            yield batch


def test_a_datastore_that_is_lost_takes_nothing_with_it() -> None:
    async def test(world: World) -> None:
        assert isinstance(world.store, Broken)
        await world.apply(PAIR)
        world.store.error = Unavailable("the disk is gone")
        await world.store.commit([Delete(Key("HostEndpoint", "", "node2-eth0"))])
        await until(lambda: world.pump.datastore_problem is not None)
        assert {"eth0"} == set(world.driver.enforced)
        world.store.error = None
        await until(lambda: not world.driver.enforced)
        assert world.pump.datastore_problem is None

    in_world(test, store=Broken())


def test_a_compacted_log_makes_the_pump_read_everything_again() -> None:
    async def test(world: World) -> None:
        assert isinstance(world.store, Broken)
        await world.apply(PAIR)
        world.store.errors = [Gone("compacted")]
        await world.store.commit([Delete(Key("GlobalNetworkPolicy", "", "redis"))])
        await until(lambda: not world.driver.enforced["eth0"].tiers)

    in_world(test, store=Broken())


def test_a_failing_driver_is_tried_again_and_the_waiter_told_at_once() -> None:
    async def test(world: World) -> None:
        await until(lambda: "apply" in world.driver.log)
        world.driver.failures = ["out of memory", "out of memory"]
        outcome = await world.apply(PAIR)
        assert outcome.failed == {"dataplane": "bpf: reference: out of memory"}
        await until(lambda: "eth0" in world.driver.enforced)
        assert world.pump.outcomes.latest.failed == {}

    in_world(test)


def test_an_unforeseen_error_of_the_driver_does_not_end_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(ReferenceDriver):
        bug = True

        def apply(self):  # type: ignore[no-untyped-def]
            if self.bug:
                self.bug = False
                raise ZeroDivisionError("a bug")
            return super().apply()

    async def test(world: World) -> None:
        await until(lambda: "eth0" in world.driver.enforced)

    with caplog.at_level(logging.ERROR):
        in_world(test, documents=PAIR, driver=Buggy())
    assert "nobody foresaw" in caplog.text


def test_a_refused_policy_leaves_the_last_good_state() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        good = world.driver.enforced["eth0"]
        outcome = await world.apply(REFUSED)
        assert "GlobalNetworkPolicy(by-method) (normal): http matches" in outcome.refused["eth0"][0]
        assert world.driver.enforced["eth0"] is good
        revision = (await service.delete_named(world.store, "gnp", ["by-method"]))["revision"]
        healed = await world.pump.outcomes.reached(revision, 2.0)
        assert healed is not None
        assert healed.refused == {}

    in_world(test)


def test_a_stored_document_that_is_damaged_counts_as_absent_and_shows() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        key = Key("HostEndpoint", "", "node2-eth0")
        good = (await world.store.get(key)).value
        for damaged in (b"{", b'{"kind":"HostEndpoint"}', b"\xff", b"[]", b'{"a":' * 2000):
            await world.store.commit([Put(key, damaged)])
            await until(lambda: key in world.pump.invalid and not world.driver.enforced)
            await world.store.commit([Put(key, good)])
            await until(lambda: not world.pump.invalid and bool(world.driver.enforced))

    in_world(test)


def test_a_kind_that_the_agent_does_not_know_is_told_of() -> None:
    async def test(world: World) -> None:
        await world.store.commit([Put(Key("Gadget", "", "g"), b'{"kind":"Gadget"}')])
        await until(lambda: Key("Gadget", "", "g") in world.pump.invalid)

    in_world(test)


@pytest.mark.parametrize("kind", KINDS)
def test_the_agent_knows_every_kind(kind: str) -> None:
    assert absorb(Engine("node2"), Key(kind, "ns" if KINDS[kind].is_namespaced else "", "x"), None) is None


def test_what_is_staged_or_about_pods_changes_nothing_of_what_is_enforced_and_is_told_of() -> None:
    kinds = [name for name, kind in KINDS.items() if kind.is_staged]

    async def test(world: World) -> None:
        await world.apply(PAIR)
        before = dict(world.driver.enforced)
        outcome = await world.apply("\n---\n".join([KUBERNETES, *map(staged, kinds)]))
        assert (outcome.failed, outcome.refused, world.pump.invalid) == ({}, {}, {})
        assert world.driver.enforced == before
        assert [key.kind for key in world.pump.staged()] == sorted(kinds)
        (told,) = world.pump.engine.policy_statuses()
        assert str(told.policy) == "KubernetesClusterNetworkPolicy(guard)"
        assert told.problem.startswith("egress[0] cannot be converted and denies everything")

    in_world(test)
    assert len(kinds) == 3


def test_interfaces_that_come_and_go_are_followed() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR.replace("interfaceName: eth0", "interfaceName: eth1"))
        assert set() == set(world.driver.enforced)
        world.interfaces.tell(ETH0, ETH1)
        await until(lambda: "eth1" in world.driver.enforced)
        world.interfaces.tell(ETH0)
        await until(lambda: not world.driver.enforced)

    in_world(test)


def test_an_interface_event_makes_the_driver_look_for_what_others_removed(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        world.driver.sabotaged = ["program on eth0"]
        world.interfaces.tell(ETH0)
        await until(lambda: not world.driver.sabotaged)

    with caplog.at_level(logging.WARNING):
        in_world(test)
    assert "repaired what others removed: program on eth0" in caplog.text


def test_without_any_event_the_driver_looks_again_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        world.driver.sabotaged = ["table"]
        await until(lambda: not world.driver.sabotaged)

    assert module.RESYNC_S < 5.0
    monkeypatch.setattr(module, "RESYNC_S", 0.05)
    in_world(test)


def test_a_driver_that_wants_to_look_sooner_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        world.driver.sabotaged = ["table"]
        await until(lambda: not world.driver.sabotaged)

    monkeypatch.setattr(ReferenceDriver, "resync_s", 0.05)
    in_world(test)


SLOW: Mapping[str, tuple[Callable[[int, bool], bool], bool]] = {
    "the first one": (lambda number, _: number == 0, True),
    "one": (lambda number, _: number == 2, True),
    "thorough ones": (lambda _, is_thorough: is_thorough, True),
    "all": (lambda *_: True, False),
}
"""Which looks take long, by their number and whether they are thorough; and whether there are many all the same."""


@pytest.mark.parametrize(("is_slow", "is_often"), SLOW.values(), ids=SLOW)
def test_looks_that_take_long_come_less_often_but_one_alone_and_thorough_ones_delay_none(
    monkeypatch: pytest.MonkeyPatch, is_slow: Callable[[int, bool], bool], is_often: bool
) -> None:
    resync, looks = ReferenceDriver.resync, []

    def slowly(driver: ReferenceDriver, *, is_thorough: bool = True) -> ApplyReport:
        if is_slow(len(looks), is_thorough):
            time.sleep(0.15)
        looks.append(is_thorough)
        return resync(driver, is_thorough=is_thorough)

    async def test(world: World) -> None:
        await world.apply(PAIR)
        await asyncio.sleep(1.5)

    monkeypatch.setattr(ReferenceDriver, "resync_s", 0.05)
    monkeypatch.setattr(ReferenceDriver, "resync", slowly)
    in_world(test)
    assert (len(looks) > 6) is is_often
    assert True in looks


def test_changes_that_come_while_the_driver_works_merge() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        before = world.driver.log.count("apply")
        for number in range(50):
            await service.write(
                world.store, Verb.APPLY, [{"source": "t", "text": network_set("s", f"10.{number}.0.0/16")}]
            )
        outcome = await world.apply(ENDPOINT.replace("redis-host", "other"))
        assert outcome.revision == world.pump.revision
        assert world.driver.log.count("apply") - before <= 2

    in_world(test)


def test_nobody_waits_for_a_revision_longer_than_he_said() -> None:
    async def test(world: World) -> None:
        assert await world.pump.outcomes.reached(99, 0.02) is None

    in_world(test)


def test_a_wrong_document_never_reaches_the_driver() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        before = list(world.driver.log)
        with pytest.raises(Failure):
            await world.apply(PAIR.replace("6379", "637900"))
        assert before == world.driver.log

    in_world(test)


def test_the_last_change_and_its_causes_are_remembered() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        await world.apply(ENDPOINT.replace("redis-host", "other"))
        await world.apply(ENDPOINT.replace("node2", "node3").replace("name: node3-eth0", "name: elsewhere"))
        change = world.pump.history.last_change
        assert change is not None
        assert (change.revision, change.causes) == (2, ("HostEndpoint(node2-eth0)",))
        assert (change.interfaces, change.is_complete) == (("eth0",), True)
        assert change.at.wall_s == 1_700_000_000.0
        world.interfaces.tell()
        await until(lambda: world.pump.history.last_change is not change)
        assert world.pump.history.last_change is not None
        assert world.pump.history.last_change.causes == ("interface eth0 gone",)

    in_world(test)


def test_the_first_change_comes_from_everything() -> None:
    async def test(world: World) -> None:
        await world.pump.outcomes.reached(1, 2.0)
        change = world.pump.history.last_change
        assert change is not None
        assert set(change.causes) == {"all documents", "all interfaces"}

    in_world(test, documents=PAIR)


def test_a_change_that_failed_is_not_complete_until_an_attempt_succeeds() -> None:
    async def test(world: World) -> None:
        world.driver.failures = ["on purpose"]
        await service.write(world.store, Verb.APPLY, [{"source": "t", "text": PAIR}])
        await until(lambda: bool(world.driver.enforced))
        change = world.pump.history.last_change
        assert change is not None
        assert change.is_complete
        assert "HostEndpoint(node2-eth0)" in change.causes or "all documents" in change.causes

    in_world(test)


def test_repairs_are_remembered_and_are_no_change() -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        change = world.pump.history.last_change
        world.driver.sabotaged = ["program on eth0"]
        world.interfaces.tell(ETH0)
        await until(lambda: world.pump.history.repaired_times == 1)
        assert world.pump.history.repairs[0].what == ("program on eth0",)
        assert world.pump.history.last_change is change

    in_world(test)


def test_the_kernels_timeouts_are_followed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fins_seen(world: World) -> float:
        return world.pump.engine.desired().tracking.timeouts.tcp_fins_seen_s

    async def test(world: World) -> None:
        await world.apply(PAIR)
        before = len(world.driver.log)
        world.timeouts.fail = 1
        world.timeouts.now = {"nf_conntrack_tcp_timeout_time_wait": 77.0}
        await until(lambda: fins_seen(world) == 77.0)
        await until(lambda: len(world.driver.log) > before)
        change = world.pump.history.last_change
        assert change is not None
        assert change.causes == ("timeouts of connection tracking",)

    monkeypatch.setattr(module, "TIMEOUTS_S", 0.01)
    with caplog.at_level(logging.WARNING):
        in_world(test)
    assert "timeouts of connection tracking: " in caplog.text
