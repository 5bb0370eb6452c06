"""The iptables driver: all four classes in the tables raw, mangle and filter of IPv4 and IPv6, and the kernel's
connection tracking.

    the desired state (`netfilter`) ─▶ render ─▶ IP sets that rules will name ─▶ tables ─▶ IP sets that none names go

Only chains and sets whose names begin with `tortie-`, and the jumps to them, are touched. Each table changes in one
transaction; several tables do not change together, as nftables' one table does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tortie.dataplane.front import Believed, Front, FrontMarks
from tortie.dataplane.iptables.backend import Chosen, choose
from tortie.dataplane.iptables.installed import InstalledTables
from tortie.dataplane.iptables.marks import Marks, front_marks, marks_of
from tortie.dataplane.iptables.members import InstalledSets
from tortie.dataplane.iptables.names import INTERFACE_NAME
from tortie.dataplane.iptables.render import Renderer, Rendering
from tortie.dataplane.iptables.sets import KernelSet
from tortie.dataplane.iptables.survey import survey
from tortie.dataplane.iptables.version import MadeTables
from tortie.dataplane.netfilter import Made, NetfilterDriver
from tortie.dataplane.refusals import refused_by_rules
from tortie.dataplane.telling import CountKey
from tortie.kernel import iptables
from tortie.kernel.errors import KernelError
from tortie.model.dataplane import IPTABLES
from tortie.model.desired import Delta, EndpointState
from tortie.model.tables import USUAL, Backend, TablesUse

_THING = "iptables"
_BLIND = "; what IPVS passes on meets no forward policy: give iptablesMarkMask two bits more"
_PATIENCE_S = 0.5
"""How long an apply waits for sets that nf_tables still holds; what is in use then goes with the next one."""


class IptablesDriver(NetfilterDriver):
    """See the module, and the protocol `Driver`. `use` is what holds until a change says something else.

    Raises: KernelError where no variant can be used.
    """

    def __init__(self, use: TablesUse = USUAL, front: Front | None = None) -> None:
        super().__init__(IPTABLES, _THING, refusals, front)
        self._versions = iptables.versions()
        self._use, self._used = use, use
        self._chosen = _choose(use.backend)
        self._renderer = _renderer(use, self._chosen)
        self._variants = {
            variant: InstalledTables(variant, self._versions)
            for variant in iptables.VARIANTS
            if not iptables.missing(variant)
        }
        self._untidy = self._variants.keys() - {self._chosen.variant}
        """Variants that are not used, where we, or an agent before, may have left something."""
        self._members = InstalledSets()
        self._wanted_sets: Mapping[str, KernelSet] = {}
        self._interfaces: frozenset[str] = frozenset()

    @property
    def _tables(self) -> InstalledTables:
        return self._variants[self._chosen.variant]

    def take(self, delta: Delta) -> None:
        """Note a change."""
        super().take(delta)
        self._use = self._use if delta.tables is None else delta.tables

    def _follow_use(self) -> None:
        """Go over to the way of using tables that is wanted. Raises: KernelError; all is as before then."""
        if self._use == self._used:
            return
        before = chosen = self._chosen
        if self._use.backend is not self._used.backend:
            chosen = _choose(self._use.backend)
        self._renderer, self._used, self._chosen = _renderer(self._use, chosen), self._use, chosen
        self._untidy = (self._untidy | {before.variant}) - {chosen.variant}

    def _check(self, *, is_thorough: bool) -> tuple[str, ...]:
        wrong = self._tables.check()  # first: ipset may fail
        wrong += self._members.check(self._wanted_sets, self._sets) if is_thorough else self._members.count()
        return tuple(wrong)

    def _front_marks(self) -> FrontMarks:
        return front_marks(_marks(self._use))

    def _make(self, wanted: Mapping[str, EndpointState], believed: Believed) -> Made:
        before = self._renderer.pieces()
        self._follow_use()
        rendering = self._renderer.render(wanted.values(), self._versions, self._sets, self._around, believed)
        touched_sets = self._members.make(rendering.sets, self._sets.changes, self._sets)
        self._wanted_sets = rendering.sets
        try:
            made = self._make_rules(rendering)
            self._members.keep(rendering.sets, patience_s=_PATIENCE_S)
        except KernelError:
            self._members.distrust()
            raise
        after = self._renderer.pieces()
        touched = {key[0] for key in before.keys() | after.keys() if before.get(key) is not after.get(key)}
        touched |= {name for (name, _), piece in after.items() if touched_sets & piece.sets.keys()}
        return Made(touched, made.is_changed or bool(touched_sets), made.repaired)

    def _make_rules(self, rendering: Rendering) -> MadeTables:
        made = self._tables.make(rendering.tables, self._front.make)
        self._interfaces = rendering.interfaces
        for variant in sorted(self._untidy):  # now that the rules are here
            self._variants[variant].make({})
            self._untidy -= {variant}
        return made

    def _policed_before(self) -> frozenset[str]:
        return self._tables.interfaces_from_before()

    def _policed(self) -> Collection[str]:
        return self._interfaces

    def _totals(self) -> Counter[CountKey]:
        return self._tables.counts()

    @property
    def backend(self) -> str:
        """The variant of iptables."""
        return self._chosen.variant

    def _remark(self) -> str:
        more = "" if self._renderer.tells_arrivals or not self._around.has_ipvs else _BLIND
        return f"; {self._chosen.reason}{more}"

    def _left(self) -> Sequence[str]:
        found = self._tables.found() if self._tables.is_from_before() else []
        return [*found, *(name for variant in sorted(self._untidy) for name in self._variants[variant].found())]

    def _remove(self) -> Sequence[str]:
        removed: list[str] = []
        for tables in self._variants.values():
            removed += tables.found()
            tables.make({})
        self._interfaces = frozenset()
        return [*removed, *self._members.remove()]


def _renderer(use: TablesUse, chosen: Chosen) -> Renderer:
    return Renderer(_marks(use), appends=use.appends, has_instructions=iptables.has_instructions(chosen.variant))


def _marks(use: TablesUse) -> Marks:
    try:
        return marks_of(use.mark_mask)
    except ValueError as error:
        raise KernelError(iptables.DOOR, "use of marks", 0, str(error)) from None


def _choose(backend: Backend) -> Chosen:
    evidence = survey()
    chosen = choose(backend, evidence)
    if chosen is None:
        raise KernelError(iptables.DOOR, f"IptablesBackend {backend.value}", 0, "; ".join(map(str, evidence)))
    return chosen


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce; empty if nothing."""
    return refused_by_rules(state, INTERFACE_NAME, "iptables")
