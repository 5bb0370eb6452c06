"""The settings in force on this node, while documents, the node's labels and the kernel's values change."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tortie.calc.settings import HostSettings, levels, merge
from tortie.model.conntrack import TrackingSettings
from tortie.model.dataplane import DataplaneWish
from tortie.model.failsafe import Failsafes
from tortie.model.settings import FelixSettings
from tortie.model.tables import TablesUse


class SettingsChange(NamedTuple):
    """What a flush changed: whether anything did, and the parts that drivers are told of, None where they did not."""

    is_any: bool = False
    failsafes: Failsafes | None = None
    tracking: TrackingSettings | None = None
    dataplane: DataplaneWish | None = None
    tables: TablesUse | None = None


class SettingsInForce:
    """`told`: settings from where the agent runs, strongest first; they are stronger than every document's."""

    def __init__(self, node: str, told: Sequence[FelixSettings]) -> None:
        self._node, self._told = node, tuple(told)
        self._documents: dict[str, FelixSettings] = {}
        self._labels: Mapping[str, str] | None = None
        self._kernel: Mapping[str, float] = {}
        self._is_stale = True
        self._settled: HostSettings | None = None
        self._problems: list[str] = []

    @property
    def settled(self) -> HostSettings:
        """As of the last flush."""
        return self._settled or HostSettings()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is said and does not count as it was said, as of the last flush."""
        return (*(problem for one in self._told for problem in one.problems), *self._problems)

    def set_document(self, name: str, settings: FelixSettings | None) -> None:
        """A settings document as it is now."""
        if settings == self._documents.get(name):
            return
        if settings is None:
            del self._documents[name]
        else:
            self._documents[name] = settings
        self._is_stale = True

    def set_labels(self, labels: Mapping[str, str] | None) -> None:
        """The node's labels as they are now."""
        if labels != self._labels:
            self._labels = None if labels is None else dict(labels)
            self._is_stale = True

    def set_kernel(self, values: Mapping[str, float]) -> None:
        """What the kernel has for timeouts that are `Auto`."""
        if values != self._kernel:
            self._kernel = dict(values)
            self._is_stale = True

    def flush(self) -> SettingsChange:
        """What changed since the last flush; the first one tells everything."""
        if not self._is_stale:
            return SettingsChange()
        self._is_stale = False
        found, self._problems = levels(self._documents, self._node, self._labels)
        old, new = self._settled, merge([*self._told, *found], self._kernel)
        if new == old:
            return SettingsChange()
        self._settled = new
        return SettingsChange(
            is_any=True,
            failsafes=None if old is not None and new.failsafes == old.failsafes else new.failsafes,
            tracking=None if old is not None and new.tracking == old.tracking else new.tracking,
            dataplane=None if old is not None and new.dataplane == old.dataplane else new.dataplane,
            tables=None if old is not None and new.tables == old.tables else new.tables,
        )
