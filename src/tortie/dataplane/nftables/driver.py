"""The nftables driver: all four classes in one table, `inet tortie`, and the kernel's connection tracking.

    take(delta) ─▶ sets, intent ─▶ apply ─▶ refusals: the last good state stays
                                    └─▶ render ─▶ one transaction with what differs (`installed`)

Nothing but that table is touched. What connection tracking does by itself (its timeouts, what it takes for a
connection) is the host's configuration and stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tortie.dataplane.driver import (
    ApplyReport,
    ConnectionStatus,
    Established,
    InstalledVerdict,
    InterfaceStatus,
    LogEvent,
    ReasonCount,
    RuleCount,
    Unsupported,
)
from tortie.dataplane.intent import Intent
from tortie.dataplane.nftables.installed import InstalledTable, State
from tortie.dataplane.nftables.names import INTERFACE_NAME
from tortie.dataplane.nftables.render import Renderer
from tortie.dataplane.reconsider import reconsidered
from tortie.dataplane.refusals import refused_policies
from tortie.dataplane.sets import Sets
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import connection_status, counts, statuses
from tortie.kernel.ctnetlink import read_entries
from tortie.kernel.errors import KernelError
from tortie.model.desired import Delta, DesiredState, EndpointState, HostAddresses
from tortie.model.packet import Direction, Packet

TABLE = "table inet tortie"


class NftablesDriver:
    """See the module, and the protocol `Driver`."""

    name = "nftables"

    def __init__(self) -> None:
        self._sets = Sets()
        self._intent = Intent(refusals)
        self._around = Surroundings()
        self._addresses = HostAddresses()
        self._renderer = Renderer()
        self._table = InstalledTable()
        self._failed: dict[str, str] = {}
        self._keeps_table = False
        """The table of an earlier agent has to stay: it holds policy of an interface whose newest one is refused."""

    # ---- desired state

    def take(self, delta: Delta) -> None:
        """Note a change."""
        for set_id, change in delta.sets.items():
            self._sets.change(set_id, change)
        self._intent.take(delta.endpoints)
        self._addresses = delta.addresses if delta.addresses is not None else self._addresses
        around = self._around.after(delta)
        if around != self._around:
            self._around = around
            self._intent.touch_all()

    # ---- making it so

    def apply(self) -> ApplyReport:
        """Make the kernel so; what failed stays dirty, and what is enforced stays."""
        return self._apply(())

    def resync(self) -> ApplyReport:
        """Check the table, repair, then apply."""
        repaired: tuple[str, ...] = ()
        try:
            found = self._table.check()
            if found is not State.INTACT:
                self._table.distrust()
            if found is State.CHANGED:
                repaired = (TABLE,)
        except KernelError as error:
            return self._report((), (), {TABLE: str(error)})
        return self._apply(repaired)

    def _apply(self, repaired: tuple[str, ...]) -> ApplyReport:
        intent = self._intent
        intent.judge()
        try:
            self._keeps_table = any(map(intent.is_unknown, intent.newest)) and self._table.is_from_before()
            if self._keeps_table:
                return self._report((), (), {})
            wanted = {name: state for name in intent.newest if (state := intent.wanted(name)) is not None}
            known, elements = self._table.members_after(self._sets.changes, self._sets)
            before = self._renderer.pieces()
            table = self._renderer.render(wanted.values(), self._sets, self._around, known)
            is_changed = self._table.make(table, elements, self._sets)
        except KernelError as error:
            return self._report((), repaired, {TABLE: str(error)})
        after = self._renderer.pieces()
        touched = {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)}
        touched |= {name for name, piece in after.items() if elements.keys() & piece.named.keys()}
        for name in intent.dirty | touched:
            intent.done(name, wanted.get(name))
        intent.dirty.clear()
        self._sets.forget_dropped(kept=intent.last_good_sets() if self._sets.dropped() else ())
        self._sets.changes.clear()
        return self._report(tuple(sorted(touched)) if is_changed else (), repaired, {})

    def _report(self, changed: tuple[str, ...], repaired: tuple[str, ...], failed: dict[str, str]) -> ApplyReport:
        self._failed = failed
        return ApplyReport(changed=changed, repaired=repaired, refused=self._refused(), failed=dict(failed))

    def _refused(self) -> dict[str, tuple[str, ...]]:
        """What is refused; where an earlier agent's table stays, everybody waits and is told for whom."""
        refused = dict(self._intent.refused)
        if self._keeps_table:
            others = ", ".join(sorted(refused))
            waits = f"the earlier agent's table stays until the policy of {others} can be enforced"
            refused |= dict.fromkeys(self._intent.newest.keys() - refused.keys(), (waits,))
        return refused

    # ---- telling

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        return statuses(self._intent, self._table.interfaces(), self._refused(), self._failed, backend=self.name)

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals of interfaces that have an endpoint."""
        return counts(self._table.counts(), self._table.interfaces())

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
        raise Unsupported("nftables offers no test run")

    def log_events(self) -> Sequence[LogEvent]:
        """None: packets that met Log rules are in the kernel's log."""
        return ()

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here."""
        return [TABLE] if self._table.is_from_before() else []

    def cleanup(self) -> Sequence[str]:
        """Remove the table of this network namespace; names of what was removed."""
        return [TABLE] if self._table.remove() else []


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce; empty if nothing."""
    found = list(dict.fromkeys(refused_policies(state)))
    name = state.interface.name
    if not INTERFACE_NAME.fullmatch(name):
        found.append(f"interface {name!r}: nftables cannot name it; rename the interface")
    return tuple(found)
