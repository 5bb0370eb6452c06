"""The driver that enforces: chosen by what is wanted and what this host can have, and changed while packets pass.

    wish, what the host can have ─▶ choice ─▶ before.hand_over ─▶ after.join, apply ─▶ all enforced?
                                                                                        ├─▶ settle ─▶ before goes
                                                                                        └─▶ both go on, tried again

What an earlier agent left with another driver is treated like a driver of our own that enforced until now: a restart
with another setting, a crash within a change and a change on a running host take the same path. Until the new driver
enforces everything, the old one stays, so that what passes is what both allow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tortie.dataplane.driver import (
    ApplyReport,
    ConnectionStatus,
    Established,
    InstalledVerdict,
    InterfaceStatus,
    LogEvent,
    ReasonCount,
    ReplaceableDriver,
    RuleCount,
)
from tortie.kernel.errors import KernelError
from tortie.model.dataplane import WHATEVER, DataplaneWish
from tortie.model.desired import Delta
from tortie.model.packet import Direction, Packet

log = logging.getLogger("tortie.dataplane")

DATAPLANE = "dataplane"
"""What a failed choice is reported under."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a host lacks for a dataplane, each with a remedy; none where it can be had, and `evidence` is why."""

    lacks: tuple[str, ...]
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A dataplane that can be chosen.

    `look`: whether it can be had. `left`: what an earlier agent left of it. `has_traces`: whether anything of it is
    there, even if it enforces nothing, as after an agent that died while it opened it. Asking changes nothing.
    `unreadable`: why this version cannot go on from what is left, with a remedy.
    """

    name: str
    open: Callable[[], ReplaceableDriver]
    look: Callable[[], Look]
    left: Callable[[], Sequence[str]]
    has_traces: Callable[[], bool]
    unreadable: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a dataplane can be had here, and why."""

    name: str
    can_be_had: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What enforces and why. `leaving`: dataplanes that still enforce beside it. `problem`: why it is not what is
    wanted, or not alone."""

    name: str
    because: str
    findings: tuple[Finding, ...] = ()
    leaving: tuple[str, ...] = ()
    problem: str = ""


class CannotBeHad(Exception):
    """No dataplane that is wanted can be had; the message says of each what is missing and what to do."""


def findings(offers: Sequence[Offer]) -> tuple[Finding, ...]:
    """What the host can have, in order of preference; nothing is changed by asking."""
    found = []
    for offer in offers:
        look = offer.look()
        found.append(Finding(offer.name, not look.lacks, "; ".join(look.lacks) or look.evidence))
    return tuple(found)


def choose(wish: DataplaneWish, found: Sequence[Finding]) -> tuple[str, str]:
    """Name and reason of the first dataplane that is wanted and can be had. Raises: CannotBeHad."""
    by_name = {one.name: one for one in found}
    wanted = [by_name.get(name, Finding(name, False, "it is not offered")) for name in wish.names or by_name]
    chosen = next((one for one in wanted if one.can_be_had), None)
    if chosen is None:
        missing = "; ".join(f"{one.name}: {one.why}" for one in wanted)
        if not wish.names:
            raise CannotBeHad(f"no dataplane can be had here: {missing}")
        raise CannotBeHad(f"the dataplane {' or '.join(wish.names)} cannot be had here ({wish.because}): {missing}")
    return chosen.name, wish.because or f"it is the first of {', '.join(by_name)} that this host can have"


class ChosenDriver:
    """See the module, and the protocol `Driver`. Nothing is opened before the first `apply`.

    `told`: what the agent was told where it runs, which is stronger than documents. `whole`: all of the desired state.
    `found`: what the host was just found to have, so that the first choice does not ask again.
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        told: DataplaneWish,
        whole: Callable[[], Delta],
        found: Sequence[Finding] = (),
    ) -> None:
        self._offers = {offer.name: offer for offer in offers}
        self._told, self._whole, self._just_found = told, whole, tuple(found)
        self._wish = WHATEVER
        self._is_due = True
        self._current: ReplaceableDriver | None = None
        self._leaving: dict[str, ReplaceableDriver] = {}
        """Drivers that enforced until now, by name, until the current one enforces everything."""
        self._live: set[str] = set()
        """Those of them that know the desired state: ours, not an earlier agent's."""
        self._choice = Choice(name="none", because="nothing was chosen yet")

    @property
    def name(self) -> str:
        """The name of the driver that enforces; `none` before the first choice."""
        return self._choice.name

    @property
    def resync_s(self) -> float:
        """As often as the driver that enforces wants it."""
        return self._current.resync_s if self._current is not None else float("inf")

    @property
    def choice(self) -> Choice:
        """What was chosen and why."""
        return replace(self._choice, leaving=tuple(self._leaving))

    # ---- desired state

    def take(self, delta: Delta) -> None:
        """Note a change."""
        if delta.dataplane is not None and delta.dataplane != self._wish:
            self._wish, self._is_due = delta.dataplane, True
        for driver in self._knowing():
            driver.take(delta)

    def _knowing(self) -> Iterator[ReplaceableDriver]:
        if self._current is not None:
            yield self._current
        yield from (driver for name, driver in self._leaving.items() if name in self._live)

    # ---- making it so

    def apply(self) -> ApplyReport:
        """Choose, where that is due, and make the kernel so."""
        return self._enforce(lambda driver: driver.apply())

    def resync(self, *, is_thorough: bool = True) -> ApplyReport:
        """The same, with the kernel checked first."""
        return self._enforce(lambda driver: driver.resync(is_thorough=is_thorough))

    def _enforce(self, enforce: Callable[[ReplaceableDriver], ApplyReport]) -> ApplyReport:
        if self._is_due:
            self._choose()
        if self._current is None:
            return ApplyReport(refused={}, failed={DATAPLANE: self._choice.problem})
        report = enforce(self._current)
        waits = self._finish(report) if self._leaving else ""
        problem = "; ".join(one for one in (self._choice.problem, waits) if one)
        return replace(report, failed={**report.failed, DATAPLANE: problem}) if problem else report

    def _choose(self) -> None:
        """Have the driver that is wanted, beside those that enforce until now."""
        found, self._just_found = self._just_found or findings(tuple(self._offers.values())), ()
        try:
            name, because = choose(self._told if self._told.names else self._wish, found)
            if self._current is None:
                self._change_to(name)
                self._remove_traces({name, *self._leaving})
            elif name != self._current.name:
                self._change_to(name)
        except (CannotBeHad, KernelError) as error:
            # What enforces goes on, and so does what an earlier agent left.
            self._choice = replace(self._choice, findings=found, problem=str(error))
            return
        self._is_due = False
        self._choice = Choice(name=name, because=because, findings=found)

    def _change_to(self, name: str) -> None:
        """Begin to enforce with that driver. Raises: KernelError; all is as before then."""
        leaving, live = dict(self._leaving), set(self._live)
        if self._current is not None:
            leaving[self._current.name] = self._current
            live.add(self._current.name)
        else:
            leaving |= {other: self._offers[other].open() for other in self._left_by_others(name)}
        is_known = name in live
        known = leaving.pop(name, None)
        to_newcomer = known is None and not self._offers[name].left()
        after = known or self._offers[name].open()
        for driver in leaving.values():
            driver.hand_over(to_newcomer=to_newcomer)
        if leaving:
            after.join()
        if not is_known:
            after.take(self._whole())
        self._current, self._leaving, self._live = after, leaving, live - {name}
        if leaving:
            log.info("changing the dataplane from %s to %s: both enforce for a moment", ", ".join(leaving), name)

    def _left_by_others(self, name: str) -> Iterator[str]:
        return (other for other, offer in self._offers.items() if other != name and offer.left())

    def _remove_traces(self, kept: Collection[str]) -> None:
        """Remove what an earlier agent left of dataplanes but these: it enforces nothing. What resists stays."""
        for name, offer in self._offers.items():
            try:
                if name not in kept and offer.has_traces():
                    offer.open().cleanup()
                    log.info("removed what an earlier agent left of %s, which enforced nothing", name)
            except (KernelError, OSError) as error:
                log.warning("what an earlier agent left of %s, which enforces nothing, stays: %s", name, error)

    def _finish(self, report: ApplyReport) -> str:
        """Let those go that enforced until now, if the current driver enforces everything; else why that has to wait.

        Raises: KernelError.
        """
        assert self._current is not None
        if report.failed or report.refused:
            for name, driver in self._leaving.items():
                if name in self._live:
                    driver.apply()
            what = ", ".join(sorted({**report.failed, **report.refused}))
            return f"{', '.join(self._leaving)} goes on beside {self._current.name}, which does not enforce {what} yet"
        self._current.settle()
        for name, driver in tuple(self._leaving.items()):
            driver.cleanup()
            del self._leaving[name]
            self._live.discard(name)
            log.info("%s enforces alone, nothing of %s is left", self._current.name, name)
        failed = self._current.apply().failed  # what waited for the others to go: XDP, which two drivers cannot have
        return "; ".join(f"{thing}: {why}" for thing, why in failed.items())

    # ---- telling

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        return self._current.status() if self._current is not None else ()

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals of the driver that enforces now."""
        return self._current.counters() if self._current is not None else ((), ())

    def connections(self) -> ConnectionStatus:
        """The connection table and how full it is."""
        return self._current.connections() if self._current is not None else ConnectionStatus()

    def expire(self) -> Iterator[int]:
        """Take out expired flows."""
        return self._current.expire() if self._current is not None else iter(())

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        """Apply newly enforced policy to flows that exist, in each driver that enforces."""
        for driver in self._knowing():
            yield from driver.reconsider(choice, interfaces)

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """What is installed says of a packet."""
        return self._current.probe(interface, direction, packet) if self._current is not None else None

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        return self._current.log_events() if self._current is not None else ()

    def leftovers(self) -> Sequence[str]:
        """What earlier agents enforce here, with whatever driver."""
        return [thing for offer in self._offers.values() for thing in offer.left()] if self._current is None else ()

    def cleanup(self) -> Sequence[str]:
        """Remove exactly what is ours, of every dataplane; names of what was removed."""
        known: Mapping[str, ReplaceableDriver] = self._leaving
        if self._current is not None:
            known = {**known, self._current.name: self._current}
        removed: list[str] = []
        for name, offer in self._offers.items():
            if name in known:
                removed += known[name].cleanup()
            elif offer.left() or not offer.look().lacks:
                removed += offer.open().cleanup()
        return removed
