"""The iptables driver: all four classes in the tables raw, mangle and filter of IPv4 and IPv6, and the kernel's
connection tracking.

    the desired state (`netfilter`) ─▶ render ─▶ IP sets that rules will name ─▶ tables ─▶ IP sets that none names go

Only chains and sets whose names begin with `tortie-`, and the jumps to them, are touched. Each table changes in one
transaction; several tables do not change together, as nftables' one table does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tortie.dataplane.iptables.backend import Backend, Chosen, Evidence, choose
from tortie.dataplane.iptables.installed import InstalledTables
from tortie.dataplane.iptables.listing import read_tables
from tortie.dataplane.iptables.marks import DEFAULT_MASK, marks_of
from tortie.dataplane.iptables.members import InstalledSets
from tortie.dataplane.iptables.names import INTERFACE_NAME
from tortie.dataplane.iptables.render import Renderer
from tortie.dataplane.iptables.sets import KernelSet
from tortie.dataplane.netfilter import Made, NetfilterDriver
from tortie.dataplane.refusals import refused_by_rules
from tortie.dataplane.telling import CountKey
from tortie.kernel import iptables
from tortie.kernel.errors import KernelError
from tortie.model.desired import EndpointState

_THING = "iptables"
_PATIENCE_S = 0.5
"""How long an apply waits for sets that nf_tables still holds; what is in use then goes with the next one."""


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


class IptablesDriver(NetfilterDriver):
    """See the module, and the protocol `Driver`. Its name is that of the variant.

    `mark_mask`: bits of the mark that may be used. `appends`: our rules come behind those of others, not before.
    Raises: KernelError where no variant can be used, ValueError for a mask with too few bits.
    """

    def __init__(
        self, backend: Backend = Backend.AUTO, *, mark_mask: int = DEFAULT_MASK, appends: bool = False
    ) -> None:
        self._chosen = _choose(backend)
        super().__init__(self._chosen.variant, _THING, refusals)
        self._versions = iptables.versions()
        self._renderer = Renderer(marks_of(mark_mask), appends=appends)
        self._tables = InstalledTables(self.name, self._versions, is_first=not appends)
        self._others = [
            InstalledTables(variant, self._versions, is_first=True)
            for variant in iptables.VARIANTS
            if variant != self.name and not iptables.missing(variant)
        ]
        """Tables of the variant that is not used, where an agent that used it may have left something."""
        self._members = InstalledSets()
        self._wanted_sets: Mapping[str, KernelSet] = {}
        self._interfaces: frozenset[str] = frozenset()

    def _check(self) -> tuple[str, ...]:
        return (*self._tables.check(), *self._members.check(self._wanted_sets, self._sets))

    def _make(self, wanted: Mapping[str, EndpointState]) -> Made:
        before = self._renderer.pieces()
        rendering = self._renderer.render(wanted.values(), self._versions, self._sets, self._around)
        touched_sets = self._members.make(rendering.sets, self._sets.changes, self._sets)
        self._wanted_sets = rendering.sets
        made = self._tables.make(rendering.tables)
        self._interfaces = rendering.interfaces
        while self._others:  # now that the rules are here
            self._others[-1].make({})
            self._others.pop()
        self._members.keep(rendering.sets, patience_s=_PATIENCE_S)
        after = self._renderer.pieces()
        touched = {key[0] for key in before.keys() | after.keys() if before.get(key) is not after.get(key)}
        touched |= {name for (name, _), piece in after.items() if touched_sets & piece.sets.keys()}
        return Made(touched, made.is_changed or bool(touched_sets), made.repaired)

    def _policed_before(self) -> frozenset[str]:
        return self._tables.interfaces_from_before()

    def _policed(self) -> Collection[str]:
        return self._interfaces

    def _totals(self) -> Counter[CountKey]:
        return self._tables.counts()

    def _remark(self) -> str:
        return f"; {self._chosen.reason}"

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here, with either variant."""
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
    return refused_by_rules(state, INTERFACE_NAME, "iptables")
