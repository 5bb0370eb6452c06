"""The nftables driver: all four classes in one table, `inet tortie-policy`, and the kernel's connection tracking.

    the desired state (`netfilter`) ─▶ render ─▶ one transaction with what differs (`installed`)

Nothing but that table is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tortie.dataplane.front import Believed, Front, FrontMarks
from tortie.dataplane.netfilter import Made, NetfilterDriver
from tortie.dataplane.nftables import marks
from tortie.dataplane.nftables.installed import InstalledTable, State
from tortie.dataplane.nftables.installed import Made as MadeTable
from tortie.dataplane.nftables.names import INTERFACE_NAME
from tortie.dataplane.nftables.render import Renderer
from tortie.dataplane.nftables.table import IN_TABLE
from tortie.dataplane.refusals import refused_by_rules
from tortie.dataplane.telling import CountKey
from tortie.model.desired import EndpointState

TABLE = f"table {IN_TABLE}"


class NftablesDriver(NetfilterDriver):
    """See the module, and the protocol `Driver`."""

    def __init__(self, front: Front | None = None) -> None:
        super().__init__("nftables", TABLE, refusals, front)
        self._renderer = Renderer()
        self._table = InstalledTable()

    def _check(self, *, is_thorough: bool) -> tuple[str, ...]:
        found = self._table.check(is_thorough=is_thorough)
        if found is not State.INTACT:
            self._table.distrust()
        return (TABLE,) if found is State.CHANGED else ()

    def _make(self, wanted: Mapping[str, EndpointState], believed: Believed) -> Made:
        known, elements = self._table.members_after(self._sets.changes, self._sets)
        before = self._renderer.pieces()
        table = self._renderer.render(wanted.values(), self._sets, self._around, known, believed)
        made = self._table.make(table, elements, self._sets, self._front.make)
        after = self._renderer.pieces()
        touched = {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)}
        touched |= {name for name, piece in after.items() if elements.keys() & piece.named.keys()}
        return Made(touched, made is not MadeTable.NOTHING, (TABLE,) if made is MadeTable.REPAIRED else ())

    def _policed_before(self) -> frozenset[str]:
        return self._table.interfaces_from_before()

    def _policed(self) -> Collection[str]:
        return self._table.interfaces()

    def _totals(self) -> Counter[CountKey]:
        return self._table.counts()

    def _front_marks(self) -> FrontMarks:
        return marks.FRONT

    def _left(self) -> Sequence[str]:
        return [TABLE] if self._table.is_from_before() else []

    def _remove(self) -> Sequence[str]:
        return [TABLE] if self._table.remove() else []


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce; empty if nothing."""
    return refused_by_rules(state, INTERFACE_NAME, "nftables")
