"""The one task that moves changes from the datastore and the kernel's interfaces through calculation into the driver.

    store.watch ──┐
    interfaces ───┼─▶ inbox ─▶ absorb ─▶ engine.flush ─▶ driver.take, apply ─▶ outcomes ─▶ whoever waits
    timeouts ─────┘                                          ▲            └──▶ history
                                    retry, periodic resync ──┘

Idle, a change is programmed at once; what arrives while the driver works merges into the next round. Nothing reaches
the driver before the first complete view: all documents and all interfaces. When the datastore is lost, the last view
stays: an outage is never a deletion. Everything from absorb to publish is synchronous, so that whoever runs on this
event loop (the API) sees the driver between two calls, never inside one.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

from tortie.apps.absorb import absorb
from tortie.apps.agent.history import History, Moment
from tortie.apps.agent.interfaces import InterfaceSource
from tortie.apps.agent.kerneltimeouts import TimeoutSource
from tortie.apps.agent.outcome import Outcome, Outcomes
from tortie.apps.agent.retry import BackOff
from tortie.apps.agent.share import Share
from tortie.calc.engine import Engine
from tortie.dataplane.driver import ApplyReport, Driver
from tortie.kernel.errors import KernelError
from tortie.model.endpoint import Interface
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Batch, Entry, Gone, Key, Store, Unavailable

log = logging.getLogger("tortie.agent")

RESYNC_S = 3.0
"""What others removed is back within 5 s (T-REL-6), also where the kernel tells nobody of the removal; sooner where the
driver wants to look sooner."""
RESYNC_SHARE, RESYNC_CREDIT_S = 50, 10.0
"""Resyncs that take long come less often: they may use one part in fifty of the time. So may thorough ones beside them,
which compare every member of every set: without those, what others flushed would be looked for less often."""
SETTLE_S = 0.02
"""Interfaces are read at most this often, however many changes the kernel reports."""
TIMEOUTS_S = 60.0
"""The kernel tells nobody that its timeouts were set to something else, and they matter little."""


class Snapshot:
    """Every document of the datastore at one revision."""

    __slots__ = ("entries", "revision")

    def __init__(self, entries: Sequence[Entry], revision: int) -> None:
        self.entries, self.revision = entries, revision


class Pump:
    """See the module. `run` never returns of its own accord; everything else may be read at any time."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        driver: Driver,
        interfaces: InterfaceSource,
        timeouts: TimeoutSource,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.engine, self.driver = engine, driver
        self.outcomes, self.history = Outcomes(), History()
        self.invalid: dict[Key, str] = {}
        self.interfaces: dict[str, Interface] = {}
        self.datastore_problem: str | None = "not read yet"
        self.revision = 0
        """The newest revision that the calculation has seen."""
        self._store, self._source, self._timeouts, self._wall = store, interfaces, timeouts, wall
        self._inbox: list[Snapshot | Batch | Sequence[Interface] | Mapping[str, float]] = []
        self._wake = asyncio.Event()
        self._known: set[Key] = set()
        self._staged: set[Key] = set()
        self._has_documents = self._has_interfaces = False
        self._is_open = self._has_tried = False
        self._retry = BackOff(0.1, 10.0)
        self._retry_at: float | None = None
        self._resync_at = self._resync_floor = float("inf")
        self._quick, self._thorough = Share(RESYNC_SHARE, RESYNC_CREDIT_S), Share(RESYNC_SHARE, RESYNC_CREDIT_S)

    def toward(self, version: int, address: int) -> str | None:
        """The interface by which this host would send a packet to that address now. Raises: KernelError."""
        return self._source.toward(version, address)

    async def run(self) -> None:
        """Follow both sources and program what they say, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            # First, so that nothing is made twice for want of the timeouts.
            tasks.create_task(self._follow_timeouts(), name="follow timeouts")
            tasks.create_task(self._follow_store(), name="follow datastore")
            tasks.create_task(self._follow_interfaces(), name="follow interfaces")
            while True:
                await self._pause()
                self._round()

    async def _follow_store(self) -> None:
        back_off = BackOff(0.2, 5.0)
        while True:
            try:
                revision = await self._read_all()
                self.datastore_problem = None
                back_off.succeeded()
                async for batch in self._store.watch(revision):
                    self._deliver(batch)
            except Gone:
                log.info("the datastore's log was compacted: reading everything again")
            except Unavailable as error:
                self.datastore_problem = str(error)
                log.warning("datastore: %s; the last state stays enforced", error)
                await asyncio.sleep(back_off.failed())

    async def _read_all(self) -> int:
        """The revision of which all documents are on their way. Nobody keeps them: they are a copy of the datastore."""
        entries, revision = await self._store.list()
        self._deliver(Snapshot(entries, revision))
        return revision

    async def _follow_interfaces(self) -> None:
        back_off = BackOff(0.2, 5.0)
        while True:
            try:
                # The watch is opened before the first reading, so that no change falls between the two.
                async with aclosing(self._source.changes()) as changes:
                    self._deliver(self._source.read())
                    back_off.succeeded()
                    async for _ in changes:
                        self._deliver(self._source.read())
                        self._resync_at = min(self._resync_at, max(time.monotonic(), self._resync_floor))
                        await asyncio.sleep(SETTLE_S)
            except KernelError as error:
                log.warning("interfaces: %s; the last state stays enforced", error)
            await asyncio.sleep(back_off.failed())

    async def _follow_timeouts(self) -> None:
        known: Mapping[str, float] = {}
        while True:
            try:
                found = self._timeouts.read()
                if found != known:
                    self._deliver(found)
                    known = found
            except KernelError as error:
                log.warning("timeouts of connection tracking: %s; those known before go on", error)
            await asyncio.sleep(TIMEOUTS_S)

    def _deliver(self, news: Snapshot | Batch | Sequence[Interface] | Mapping[str, float]) -> None:
        self.history.hears(time.monotonic())
        self._inbox.append(news)
        self._wake.set()

    async def _pause(self) -> None:
        """Until there is news, or a retry or resync is due."""
        until = min(self._resync_at, self._retry_at if self._retry_at is not None else float("inf"))
        try:
            async with asyncio.timeout(None if until == float("inf") else max(0.0, until - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _round(self) -> None:
        self._take_in()
        if not (self._has_documents and self._has_interfaces):
            return
        if not self._is_open:
            self.engine.in_sync()
            self._is_open = True
            self._resync_at, self._resync_floor = time.monotonic() + self._pause_s(), time.monotonic()
        delta = self.engine.flush()
        if delta:
            self.driver.take(delta)
        now = time.monotonic()
        if now >= self._resync_at and (not delta or now >= self._resync_at + self._pause_s()):
            if not delta:  # else changes come without a pause, and repairs must not wait for one
                self.history.forget_causes()
            self._program(is_resync=True)
        elif delta or not self._has_tried or (self._retry_at is not None and now >= self._retry_at):
            is_first_view = not self._has_tried
            self._program(is_resync=False)
            if is_first_view:
                # The first view stays for as long as the agent runs. Looking through all of it for garbage, as the
                # collector would at times, takes a tenth of a second in a large fleet, in the middle of a change.
                gc.freeze()
        else:
            self.history.forget_causes()
            latest = self.outcomes.latest
            if latest.revision != self.revision:
                self.outcomes.publish(Outcome(revision=self.revision, refused=latest.refused, failed=latest.failed))

    def staged(self) -> list[Key]:
        """The documents that say what would be enforced, and of which nothing is."""
        return sorted(self._staged)

    def _take_in(self) -> None:
        inbox, self._inbox = self._inbox, []
        for news in inbox:
            match news:
                case Snapshot():
                    self._has_documents = True
                    self.history.cause("all documents")
                    for key in self._known - {entry.key for entry in news.entries}:
                        self._absorb(key, None)
                    for entry in news.entries:
                        self._absorb(entry.key, entry.value)
                    self.revision = news.revision
                case Batch():
                    for event in news.events:
                        self.history.cause(str(event.key) if event.value is not None else f"{event.key} deleted")
                        self._absorb(event.key, event.value)
                    self.revision = news.revision
                case Mapping():
                    self.history.cause("timeouts of connection tracking")
                    self.engine.set_kernel_timeouts(news)
                case _:
                    self._has_interfaces = True
                    self._replace_interfaces(news)

    def _absorb(self, key: Key, value: bytes | None) -> None:
        if value is None:
            self._known.discard(key)
            self._staged.discard(key)
        else:
            self._known.add(key)
            if key.kind in KINDS and KINDS[key.kind].is_staged:
                self._staged.add(key)
        problem = absorb(self.engine, key, value)
        if problem is None:
            self.invalid.pop(key, None)
        else:
            self.invalid[key] = problem
            log.warning("%s: %s", key, problem)

    def _replace_interfaces(self, found: Sequence[Interface]) -> None:
        new = {interface.name: interface for interface in found}
        if not self.interfaces:
            self.history.cause("all interfaces")
        for name in self.interfaces.keys() - new.keys():
            self.history.cause(f"interface {name} gone")
            self.engine.set_interface(name, None)
        for name, interface in new.items():
            if self.interfaces.get(name) != interface:
                if self.interfaces:
                    self.history.cause(f"interface {name}")
                self.engine.set_interface(name, interface)
        self.interfaces = new

    def _program(self, *, is_resync: bool) -> None:
        self._has_tried = True
        started = time.monotonic()
        is_thorough = started >= self._thorough.free_at
        report = self._attempt(is_resync=is_resync, is_thorough=is_thorough)
        finished = time.monotonic()
        if report.failed:
            self._retry_at = finished + self._retry.failed()
            for thing, why in report.failed.items():
                log.warning("%s: %s; will be tried again", thing, why)
        else:
            self._retry_at = None
            self._retry.succeeded()
        elapsed_ms = (finished - started) * 1e3
        moment = Moment(self._wall(), finished)
        if report.repaired:
            log.warning("repaired what others removed: %s", ", ".join(report.repaired))
            self.history.repaired(moment, report.repaired)
        if not is_resync or not self.history.is_complete:
            self.history.programmed(
                self.revision,
                moment,
                apply_ms=elapsed_ms,
                interfaces=report.changed,
                is_complete=not report.failed,
            )
        for interface, reasons in report.refused.items():
            for reason in reasons:
                log.warning("%s: %s; the last good state stays", interface, reason)
        if is_resync:
            # a repair takes longer than a look, and whoever broke one thing may break the next
            if not report.repaired:
                looked_s = report.looked_s if report.looked_s is not None else finished - started
                (self._thorough if is_thorough else self._quick).use(finished - looked_s, finished)
            self._resync_floor = max(finished, self._quick.free_at)
            self._resync_at = max(finished + self._pause_s(), self._resync_floor)
        outcome = Outcome(revision=self.revision, refused=report.refused, failed=report.failed, apply_ms=elapsed_ms)
        self.outcomes.publish(outcome)

    def _pause_s(self) -> float:
        return min(RESYNC_S, self.driver.resync_s)

    def _attempt(self, *, is_resync: bool, is_thorough: bool) -> ApplyReport:
        """The driver's report; whatever it raises becomes a failure of the whole dataplane, to be tried again.

        Because: an agent that dies of one document can enforce none of the others. A failure nobody foresaw is logged
        with its traceback.
        """
        try:
            return self.driver.resync(is_thorough=is_thorough) if is_resync else self.driver.apply()
        except KernelError as error:
            return ApplyReport(refused={}, failed={"dataplane": str(error)})
        except Exception as error:
            log.exception("the dataplane driver failed in a way nobody foresaw")
            return ApplyReport(
                refused={}, failed={"dataplane": f"internal error: {error!r}; please report it with the log"}
            )
