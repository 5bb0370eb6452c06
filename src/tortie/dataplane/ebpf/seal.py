"""What the tables of a generation held when they were last written: so that edits of others are noticed.

Tables that never change are frozen: the kernel lets nobody write them. Those that members are added to in place cannot
be; they have a sum, taken after each change of ours and compared before the next one and at each resync.
"""

from collections.abc import Mapping

from tortie.dataplane.ebpf._tables import ffi, lib


class Seal:
    """The memory of tables, and its sums. Close it."""

    def __init__(self, views: Mapping[str, memoryview]) -> None:
        self._views = dict(views)
        self._sums: dict[str, int] = {}
        self.note()

    def note(self) -> None:
        """What the tables hold now is right."""
        self._sums = {name: _sum(view) for name, view in self._views.items()}

    def broken(self) -> tuple[str, ...]:
        """Tables that hold something else."""
        return tuple(name for name, view in self._views.items() if _sum(view) != self._sums[name])

    def close(self) -> None:
        """Let go of the memory."""
        for view in self._views.values():
            view.release()
        self._views.clear()


def _sum(view: memoryview) -> int:
    return int(lib.tables_sum(ffi.from_buffer(view), len(view)))
