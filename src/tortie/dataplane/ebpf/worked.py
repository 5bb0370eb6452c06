"""Working on several interfaces at once: what came of it for each, and one wait of the kernel for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.interface import Change, put
from tortie.dataplane.ebpf.programs import Programs
from tortie.kernel.errors import KernelError


@dataclass(slots=True)
class Worked:
    """What came of working on interfaces, by name: those that changed, why some are refused, what failed."""

    changed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """A block about one interface, whose errors are its own."""
        try:
            yield
        except Unsupported as error:
            self.refused[name] = str(error)
        except KernelError as error:
            self.failed[name] = str(error)

    def has_changed(self, name: str, *, changes: bool) -> None:
        """Note whether anything changed."""
        if changes:
            self.changed.append(name)


def put_each(programs: Programs, changes: Mapping[str, Change], worked: Worked) -> Mapping[str, Change]:
    """Have packets find what was prepared, by interface; those where that was possible. The others are given up."""
    try:
        put(programs, list(changes.values()))
    except KernelError:
        done = {}
        for name, change in changes.items():
            with worked.on(name):
                try:
                    put(programs, [change])
                except KernelError:
                    change.give_up(programs)
                    raise
                done[name] = change
        return done
    return changes
