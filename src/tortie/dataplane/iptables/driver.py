"""The iptables driver: all four classes in the tables raw, mangle and filter of IPv4 and IPv6, and the kernel's
connection tracking.

    take(delta) ─▶ sets, intent ─▶ apply ─▶ refusals: the last good state stays
                                    └─▶ render ─▶ IP sets that rules will name ─▶ tables ─▶ IP sets that none names go

Only chains and sets whose names begin with `tortie-`, and the jumps to them, are touched. Each table changes in one
transaction; several tables do not change together, as nftables' one table does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

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
from tortie.dataplane.iptables.backend import Backend, Chosen, Evidence, choose
from tortie.dataplane.iptables.installed import InstalledTables
from tortie.dataplane.iptables.listing import read_tables
from tortie.dataplane.iptables.marks import DEFAULT_MASK, marks_of
from tortie.dataplane.iptables.members import InstalledSets
from tortie.dataplane.iptables.names import INTERFACE_NAME
from tortie.dataplane.iptables.render import Renderer
from tortie.dataplane.iptables.sets import KernelSet
from tortie.dataplane.reconsider import reconsidered
from tortie.dataplane.refusals import refused_policies
from tortie.dataplane.sets import Sets
from tortie.dataplane.surroundings import Surroundings
from tortie.dataplane.telling import connection_status, counts, statuses
from tortie.kernel import iptables
from tortie.kernel.ctnetlink import read_entries
from tortie.kernel.errors import KernelError
from tortie.model.desired import Delta, DesiredState, EndpointState, HostAddresses
from tortie.model.packet import Direction, Packet

_TABLES = "iptables"


def survey() -> list[Evidence]:
    """Both variants on this host and in this network namespace. Raises: KernelError."""
    default = iptables.default_variant()
    return [_evidence(variant, is_default=variant == default) for variant in iptables.VARIANTS]


def _evidence(variant: str, *, is_default: bool) -> Evidence:
    missing = iptables.missing(variant)
    is_in_kernel = variant == iptables.NFT or iptables.legacy_tables(4) is not None
    rules = 0
    if not missing:
        for version in iptables.versions():
            tables = read_tables(iptables.save(variant, version))
            rules += sum(sum(table.others.values()) for table in tables.values())
    return Evidence(variant, missing, rules, is_in_kernel, is_default)


class IptablesDriver:
    """See the module, and the protocol `Driver`.

    `mark_mask`: bits of the mark that may be used. `appends`: our rules come behind those of others, not before.
    Raises: KernelError where no variant can be used, ValueError for a mask with too few bits.
    """

    def __init__(
        self, backend: Backend = Backend.AUTO, *, mark_mask: int = DEFAULT_MASK, appends: bool = False
    ) -> None:
        self._chosen = _choose(backend)
        self.name = self._chosen.variant
        self._versions = iptables.versions()
        self._sets = Sets()
        self._intent = Intent(refusals)
        self._around = Surroundings()
        self._addresses = HostAddresses()
        self._renderer = Renderer(marks_of(mark_mask), appends=appends)
        self._tables = InstalledTables(self._chosen.variant, self._versions, is_first=not appends)
        self._others = [
            InstalledTables(variant, self._versions, is_first=True)
            for variant in iptables.VARIANTS
            if variant != self.name and not iptables.missing(variant)
        ]
        """Tables of the variant that is not used, where an agent that used it may have left something."""
        self._members = InstalledSets()
        self._wanted_sets: Mapping[str, KernelSet] = {}
        self._interfaces: frozenset[str] = frozenset()
        self._failed: dict[str, str] = {}
        self._keeps_tables = False
        """Tables of an earlier agent have to stay: they hold policy of an interface whose newest one is refused."""

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
        """Check tables and sets, repair, then apply."""
        try:
            repaired = self._tables.check() + self._members.check(self._wanted_sets, self._sets)
        except KernelError as error:
            return self._report((), (), {_TABLES: str(error)})
        if repaired:
            self._intent.touch_all()
        return self._apply(tuple(repaired))

    def _apply(self, repaired: tuple[str, ...]) -> ApplyReport:
        intent = self._intent
        intent.judge()
        try:
            self._keeps_tables = any(map(intent.is_unknown, intent.newest)) and self._tables.is_from_before()
            if self._keeps_tables:
                return self._report((), (), {})
            wanted = {name: state for name in intent.newest if (state := intent.wanted(name)) is not None}
            before = self._renderer.pieces()
            rendering = self._renderer.render(wanted.values(), self._versions, self._sets, self._around)
            touched_sets = self._members.make(rendering.sets, self._sets.changes, self._sets)
            self._wanted_sets = rendering.sets
            is_changed = self._tables.make(rendering.tables) or bool(touched_sets)
            self._interfaces = rendering.interfaces
            while self._others:  # now that the rules are here
                self._others[-1].make({})
                self._others.pop()
            self._members.keep(rendering.sets)
        except KernelError as error:
            return self._report((), repaired, {_TABLES: str(error)})
        after = self._renderer.pieces()
        touched = {key[0] for key in before.keys() | after.keys() if before.get(key) is not after.get(key)}
        touched |= {name for (name, _), piece in after.items() if touched_sets & piece.sets.keys()}
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
        """What is refused; where an earlier agent's tables stay, everybody waits and is told for whom."""
        refused = dict(self._intent.refused)
        if self._keeps_tables:
            others = ", ".join(sorted(refused))
            waits = f"the earlier agent's rules stay until the policy of {others} can be enforced"
            refused |= dict.fromkeys(self._intent.newest.keys() - refused.keys(), (waits,))
        return refused

    # ---- telling

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        return statuses(
            self._intent,
            self._interfaces,
            self._refused(),
            self._failed,
            backend=self._chosen.variant,
            remark=f"; {self._chosen.reason}",
        )

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals of interfaces that have an endpoint."""
        return counts(self._tables.counts(), self._interfaces)

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
        raise Unsupported("iptables offers no test run")

    def log_events(self) -> Sequence[LogEvent]:
        """None: packets that met Log rules are in the kernel's log."""
        return ()

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here."""
        found = self._tables.found() if self._tables.is_from_before() else []
        return [*found, *(name for other in self._others for name in other.found())]

    def cleanup(self) -> Sequence[str]:
        """Remove what is ours in this network namespace; names of what was removed."""
        removed: list[str] = []
        for tables in (self._tables, *self._others):
            removed += tables.found()
            tables.make({})
        self._interfaces = frozenset()
        return [*removed, *self._members.remove()]


def _choose(backend: Backend) -> Chosen:
    evidence = survey()
    chosen = choose(backend, evidence)
    if chosen is None:
        told = "; ".join(map(str, evidence))
        raise KernelError(iptables.DOOR, f"backend {backend.value}", 0, f"{told}: install the package iptables")
    return chosen


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce; empty if nothing."""
    found = list(dict.fromkeys(refused_policies(state)))
    name = state.interface.name
    if not INTERFACE_NAME.fullmatch(name):
        found.append(f"interface {name!r}: iptables cannot name it; rename the interface")
    return tuple(found)
