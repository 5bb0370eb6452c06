"""The agent: opens the doors, starts the pump, answers on the socket, and leaves everything enforced when it goes.

datastore ─▶ pump ─▶ driver            (enforcing: aiohttp is not even imported yet)
              │
              └─▶ status ─▶ api on the unix socket, beacon beside the datastore, READY to the service manager
"""

import asyncio
import importlib
import logging
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

from tortie.apps.agent.aging import expire_flows
from tortie.apps.agent.claims import beacon, claim_namespace
from tortie.apps.agent.interfaces import InterfaceSource
from tortie.apps.agent.kerneltimeouts import TimeoutSource
from tortie.apps.agent.listener import unix_listener
from tortie.apps.agent.logs import start_logging
from tortie.apps.agent.notify import notify
from tortie.apps.agent.packetlog import log_packets
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.settings import AgentSettings
from tortie.apps.agent.status import Status
from tortie.apps.failure import Code, Failure
from tortie.apps.told import remarks, settings_told
from tortie.apps.verbs.initial import initialise
from tortie.calc import Engine
from tortie.calc.settings import merge
from tortie.dataplane.chosen import CannotBeHad, ChosenDriver, Finding, Offer, choose, findings
from tortie.dataplane.driver import Driver
from tortie.kernel.features import may_administer
from tortie.kernel.netns import inode
from tortie.model.dataplane import WHATEVER, DataplaneWish
from tortie.model.desired import Delta
from tortie.resources.felix.levels import Level
from tortie.store.protocol import Store, StoreError
from tortie.store.sqlite import SqliteStore

log = logging.getLogger("tortie.agent")

FIRST_VIEW_S = 5.0
"""Without a first complete view the API starts after this time, so that `status` can say what is missing."""


def run(
    settings: AgentSettings,
    levels: Sequence[Level],
    offers: Sequence[Offer],
    interfaces: InterfaceSource,
    timeouts: TimeoutSource,
) -> None:
    """Enforce until SIGTERM or SIGINT; `levels` are what was told beside documents, `offers` what can enforce.

    Raises: Failure, StoreError, KernelError.
    """
    start_logging()
    for remark in remarks(levels):
        log.warning("%s", remark)
    told = settings_told(levels)
    found = _require_dataplane(settings.wish if settings.wish.names else merge(told, {}).dataplane, offers)
    if not settings.datastore.exists():
        log.warning("%s does not exist: starting with an empty datastore", settings.datastore)
    _allow_many_files()
    with ExitStack() as claims:
        claims.enter_context(claim_namespace(inode()))
        _require_readable(offers)
        store = SqliteStore.open(settings.datastore)
        # Only now: a driver may touch what another agent of this namespace uses.
        engine = Engine(settings.node, told)
        driver = ChosenDriver(offers, settings.wish, lambda: engine.desired().as_delta(), found)
        pump = Pump(store, engine, driver, interfaces, timeouts)
        asyncio.run(_until_told(Status(settings, pump, levels, lambda: driver.choice), store, pump))
    log.info("stopped; what is enforced stays enforced")


def _require_dataplane(wish: DataplaneWish, offers: Sequence[Offer]) -> Sequence[Finding]:
    """What this host can have. Raises: Failure where nothing of it is wanted: nobody starts an agent that cannot
    enforce."""
    found = findings(offers)
    try:
        choose(wish, found)
    except CannotBeHad as error:
        raise Failure(Code.FAILED, f"this host cannot enforce policy: {error}") from None
    return found


def _require_readable(offers: Sequence[Offer]) -> None:
    """Raises: Failure where an earlier agent left what this version cannot go on from: that stays, and so does who
    enforces it, whatever dataplane is wanted."""
    for offer in offers:
        for why in offer.unreadable():
            raise Failure(Code.FAILED, why)


def _allow_many_files() -> None:
    """Raise the soft limit of descriptors: an interface holds about 54, for the maps of its generation."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_told(status: Status, store: Store, pump: Pump) -> None:
    """Serve until a signal asks to stop; then let go of everything but the enforcement."""
    try:
        await _refuse_empty_store(status.settings, store, pump.driver)
    except BaseException:
        await store.close()
        raise
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(_serve(status, store, pump), name="serve")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        notify("STOPPING=1")
    finally:
        await store.close()


async def _refuse_empty_store(settings: AgentSettings, store: Store, driver: Driver) -> None:
    """Raises: Failure where a datastore that nobody ever wrote to would take off what an earlier agent enforces.

    Because: a path that is mistyped, or a disk that is not mounted, looks exactly like a datastore without policy.
    """
    _, revision = await store.list("")  # of no kind: only the revision is wanted
    left = driver.leftovers()
    if revision == 0 and left:
        raise Failure(
            Code.FAILED,
            f"{settings.datastore} is empty, and an earlier agent enforces here ({', '.join(left)}): nothing was "
            "changed; give that agent's datastore with --datastore, or remove what it enforces with "
            "`tortie agent cleanup`",
        )


async def _serve(status: Status, store: Store, pump: Pump) -> None:
    settings = status.settings
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump.run(), name="pump")
        tasks.create_task(log_packets(pump.driver), name="packet log")
        tasks.create_task(expire_flows(pump.driver), name="expire flows")
        outcome = await pump.outcomes.reached(0, FIRST_VIEW_S)
        if outcome is None:
            log.warning("no complete view after %.0f s: nothing is changed until there is one", FIRST_VIEW_S)
        else:
            log.info(
                "node %s: revision %d after %.0f ms",
                settings.node,
                outcome.revision,
                (time.monotonic() - started) * 1e3,
            )
        async with _answering(status, store, pump):
            await _initialise(store)
            notify("READY=1", f"STATUS=enforcing for node {settings.node}")
            await asyncio.Event().wait()


async def _initialise(store: Store) -> None:
    try:
        await initialise(store)
    except StoreError as error:
        log.warning("built-in tiers: %s", error)


@asynccontextmanager
async def _answering(status: Status, store: Store, pump: Pump) -> AsyncIterator[None]:
    """While this lasts, the API answers on the socket and direct writers can find it."""
    # In a thread, so that changes of policy do not wait for the import.
    web = await asyncio.to_thread(importlib.import_module, "tortie.apps.agent.web")
    settings = status.settings
    with (
        unix_listener(settings.socket) as listener,
        beacon(settings.datastore, socket=settings.socket, node=settings.node),
    ):
        async with web.answering(store, pump, status, listener):
            yield


def clean_up(offers: Sequence[Offer]) -> Sequence[str]:
    """Remove what any agent of this network namespace left; names of what was removed. Raises: Failure, KernelError."""
    if not may_administer():
        raise Failure(
            Code.FAILED, "this process lacks CAP_NET_ADMIN, and cannot remove anything: run as root, or give it that"
        )
    with claim_namespace(inode()):
        return ChosenDriver(offers, WHATEVER, Delta).cleanup()
