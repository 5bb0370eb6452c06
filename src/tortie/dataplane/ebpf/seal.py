"""What the tables of a generation held when they were last written: so that edits of others are noticed.

Generations that never change are frozen: the kernel lets nobody write them. One that members are added to in place
cannot be; each of its tables has a sum. Those that we write, the live ones, are compared before and summed after each
change of ours, all of them are compared at each resync: a change does not cost what a table costs that it leaves alone.
"""

from collections.abc import Collection, Mapping

from tortie.dataplane.ebpf._tables import ffi, lib


class Seal:
    """The memory of tables, and its sums. Close it."""

    def __init__(self, views: Mapping[str, memoryview], live: Collection[str] = ()) -> None:
        self._views = dict(views)
        self._live = [name for name in views if name in live]
        self._sums = {name: _sum(view) for name, view in self._views.items()}

    def note(self) -> None:
        """What the live tables hold now is right."""
        self._sums.update((name, _sum(self._views[name])) for name in self._live)

    def broken(self, *, live_only: bool = False) -> tuple[str, ...]:
        """Tables that hold something else."""
        names = self._live if live_only else self._views
        return tuple(name for name in names if _sum(self._views[name]) != self._sums[name])

    def close(self) -> None:
        """Let go of the memory."""
        for view in self._views.values():
            view.release()
        self._views.clear()
        self._live.clear()


def _sum(view: memoryview) -> int:
    return int(lib.tables_sum(ffi.from_buffer(view), len(view)))
