"""What every driver in netfilter's hooks does: keep the desired state, judge it, and tell what became of it.

    take(delta) ─▶ sets, intent ─▶ apply ─▶ refusals: the last good state stays
                                    └─▶ `_make`: the driver's own part, between the two steps of what is in front

Whatever rules say, the kernel's connection tracking knows the connections. What it does by itself (its timeouts, what
it takes for a connection) is the host's configuration and stays so.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tortie.dataplane.driver import (
    ApplyReport,
    ConnectionStatus,
    Established,
    InstalledVerdict,
    InterfaceStatus,
    KernelTracked,
    LogEvent,
    ReasonCount,
    RuleCount,
    Unsupported,
)
from tortie.dataplane.front import Believed, Front, FrontMarks, NoFront
from tortie.dataplane.intent import Intent
from tortie.dataplane.reconsider import reconsidered
from tortie.dataplane.sets import Sets
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import CountKey, connection_status, counts, statuses
from tortie.kernel import ipvs
from tortie.kernel.ctnetlink import read_entries
from tortie.kernel.errors import KernelError
from tortie.model.desired import Delta, DesiredState, EndpointState, HostAddresses
from tortie.model.packet import Direction, Packet


class Made(NamedTuple):
    """What came of making the kernel so: interfaces whose rules or sets differ from before, whether anything was
    written, and what turned out to be broken and was made anew."""

    touched: Collection[str]
    is_changed: bool
    repaired: tuple[str, ...] = ()


class NetfilterDriver(KernelTracked, ABC):
    """See the module, and the protocol `Driver`. `thing`: what of the kernel is named where something fails.

    `front`: what decides untracked ingress before its rules do, where it can.
    """

    resync_s = 0.5
    """What others flush is back within a second: anybody's `iptables -F` opens the host until then."""

    def __init__(
        self, name: str, thing: str, refusals: Callable[[EndpointState], tuple[str, ...]], front: Front | None
    ) -> None:
        self.name = name
        self._front: Front = front if front is not None else NoFront()
        self._thing = thing
        self._sets = Sets()
        self._intent = Intent(refusals)
        self._around = Surroundings()
        self._addresses = HostAddresses()
        self._failed: dict[str, str] = {}
        self._has_written = False
        """Whether the last `apply` changed anything in the kernel."""
        self._held: list[str] = []
        """Interfaces whose newest policy is refused, and whose last good one only the rules of an earlier agent hold:
        they have to stay as they are."""

    @abstractmethod
    def _check(self, *, is_thorough: bool) -> tuple[str, ...]:
        """Compare the kernel with what was made; names of what differs, which `_make` replaces. Raises: KernelError."""

    @abstractmethod
    def _make(self, wanted: Mapping[str, EndpointState], believed: Believed) -> Made:
        """Make the kernel so, with rules that believe the front there. Raises: KernelError."""

    @abstractmethod
    def _front_marks(self) -> FrontMarks:
        """What the front says in marks. Raises: KernelError, where no bits can be used for it."""

    @abstractmethod
    def _policed_before(self) -> frozenset[str]:
        """Interfaces that rules of an earlier agent police, as long as they are there. Raises: KernelError."""

    @abstractmethod
    def _policed(self) -> Collection[str]:
        """Interfaces that a packet can meet policy on."""

    @abstractmethod
    def _totals(self) -> Counter[CountKey]:
        """What rules counted. Raises: KernelError."""

    @abstractmethod
    def _left(self) -> Sequence[str]:
        """Rules and sets that an earlier agent of this network namespace left. Raises: KernelError."""

    @abstractmethod
    def _remove(self) -> Sequence[str]:
        """Remove all rules and sets of ours in this network namespace; names of what was removed."""

    # ---- desired state

    def take(self, delta: Delta) -> None:
        """Note a change."""
        for set_id, change in delta.sets.items():
            self._sets.change(set_id, change)
        self._intent.take(delta.endpoints)
        self._addresses = delta.addresses if delta.addresses is not None else self._addresses
        self._look_around(self._around.after(delta))

    def _look_around(self, around: Surroundings) -> None:
        if around != self._around:
            self._around = around
            self._intent.touch_all()

    # ---- making it so

    def apply(self) -> ApplyReport:
        """Make the kernel so; what failed stays dirty, and what is enforced stays."""
        return self._apply(())

    def resync(self, *, is_thorough: bool = True) -> ApplyReport:
        """Check what is there, repair, then apply."""
        begun = time.monotonic()
        try:
            repaired = (*self._front.check(), *self._check(is_thorough=is_thorough))
            looked_s = time.monotonic() - begun
            report = self._apply(repaired)
        except KernelError as error:
            return self._report((), (), {self._thing: str(error)})
        return replace(report, looked_s=looked_s) if self._has_written else report

    def settle(self) -> None:
        """See ReplaceableDriver. What was made is looked at now, while it is known to be so: the others' going changes
        the rule set, and what nobody has looked at before would be made anew."""
        self._check(is_thorough=True)
        self._front.resume()

    def hand_over(self, *, to_newcomer: bool) -> None:
        """See ReplaceableDriver. The rules decide alone from now on, so that the place in front is free; those that
        know of no front come with the next `apply`."""
        self._front.pause()

    def join(self) -> None:
        """See ReplaceableDriver. The place in front is the other one's until `settle`."""
        self._front.pause()

    def _apply(self, repaired: tuple[str, ...]) -> ApplyReport:
        intent = self._intent
        self._has_written = False
        self._look_around(replace(self._around, has_ipvs=ipvs.is_there()))
        intent.judge()
        try:
            unknown = [name for name in intent.newest if intent.is_unknown(name)]
            self._held = sorted(self._policed_before().intersection(unknown)) if unknown else []
            if self._held:
                return self._report((), (), {})
            wanted = {name: state for name in intent.newest if (state := intent.wanted(name)) is not None}
            believed = self._front.prepare(
                wanted, self._sets, self._sets.changes, self._around.failsafes, self._front_marks()
            )
            made = self._make(wanted, believed)
        except KernelError as error:
            self._has_written = True  # perhaps
            self._front.give_up()
            return self._report((), repaired, {self._thing: str(error)})
        self._has_written = made.is_changed
        for name in intent.dirty | set(made.touched):
            intent.done(name, wanted.get(name))
        intent.dirty.clear()
        self._sets.forget_dropped(kept=intent.last_good_sets() if self._sets.dropped() else ())
        self._sets.changes.clear()
        changed = set(made.touched) if made.is_changed else set()
        failed = self._follow_front(wanted, believed, changed)
        return self._report(tuple(sorted(changed)), tuple(dict.fromkeys((*repaired, *made.repaired))), failed)

    def _follow_front(
        self, wanted: Mapping[str, EndpointState], believed: Believed, changed: set[str]
    ) -> dict[str, str]:
        """Have the front do what it prepared, and the rules believe it where it came, and not where it went."""
        now = self._front.commit()
        if now == believed:
            return {}
        try:
            self._make(wanted, now)
        except KernelError as error:
            return {self._thing: str(error)}
        changed |= {name for name in now.keys() | believed.keys() if now.get(name) != believed.get(name)}
        return {}

    def _report(self, changed: tuple[str, ...], repaired: tuple[str, ...], failed: dict[str, str]) -> ApplyReport:
        self._failed = failed
        return ApplyReport(changed=changed, repaired=repaired, refused=self._refused(), failed=dict(failed))

    def _refused(self) -> dict[str, tuple[str, ...]]:
        """What is refused; where an earlier agent's rules stay, everybody waits and is told for whom."""
        refused = dict(self._intent.refused)
        if self._held:
            waits = f"the earlier agent's rules stay until the policy of {', '.join(self._held)} can be enforced"
            refused |= dict.fromkeys(self._intent.newest.keys() - refused.keys(), (waits,))
        return refused

    # ---- telling

    @property
    def backend(self) -> str:
        """What decides: this dataplane, or the variant of it that is used."""
        return self.name

    def _remark(self) -> str:
        """What else is said of who decides."""
        return ""

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        found = statuses(
            self._intent, self._policed(), self._refused(), self._failed, backend=self.backend, remark=self._remark()
        )
        return [self._front.told(one, self._intent.newest[one.interface]) for one in found]

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals of interfaces that have an endpoint."""
        totals = self._totals()
        for name, counted in self._front.counts().items():
            for rule, packets in counted.items():
                totals[CountKey(name, Direction.INGRESS, rule)] += packets
        return counts(totals, self._policed())

    def connections(self) -> ConnectionStatus:
        """The kernel's connection table, which is one for both families."""
        return connection_status(read_entries())

    def expire(self) -> Iterator[int]:
        """Nothing: the kernel takes out what has expired."""
        return iter(())

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        """Apply newly enforced policy to flows that exist."""
        return reconsidered(
            choice,
            DesiredState(
                endpoints={name: state for name, state in self._intent.enforced.items() if name in interfaces},
                sets=self._sets,
                failsafes=self._around.failsafes,
                addresses=self._addresses,
            ),
        )

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """Raises: Unsupported."""
        raise Unsupported(f"{self.name} offers no test run")

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules in front; those that met them behind it are in the kernel's log."""
        return self._front.log_events()

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here."""
        return [*self._left(), *self._front.leftovers()]

    def cleanup(self) -> Sequence[str]:
        """Remove what is ours in this network namespace; names of what was removed."""
        return [*self._front.pause(), *self._remove()]
