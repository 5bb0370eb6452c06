"""Which generations are in the lanes, asked of all of them at once and without waiting.

Before Linux 6.8 a look-up in an array of maps by system call waits until no program runs that was running then: some
10 ms, and there are thousands of lanes. So a program looks, which runs on our memory (bpf/lanes.bpf.c).
"""

from __future__ import annotations

import os

from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf

LANES = 4_096
"""Interfaces and directions that one host can have, twice as many as interfaces."""


class LaneReader:
    """Looks into one array of lanes. Close it. Raises everywhere: KernelError."""

    def __init__(self, lanes_fd: int) -> None:
        with bpf.ObjectFile(OBJECTS / "lanes.bpf.o") as obj:
            obj.reuse_map("lanes", lanes_fd)
            obj.load()
            self._at, self._room = obj.layout("lanes_read")["ids"]
            self._fd = os.dup(obj.program_fd("lanes_read"))

    def ids(self, first: int = 0, count: int = LANES) -> list[int]:
        """Of each lane from the first one on the id of its pages, as they say it themselves; 0 where there are none."""
        found: list[int] = []
        while len(found) < count:
            asked = (first + len(found)).to_bytes(4, "little").ljust(self._at + self._room, b"\0")
            found += memoryview(bpf.test_run(self._fd, asked).data_out)[self._at :].cast("I")
        return found[:count]

    def close(self) -> None:
        """Let go of the program."""
        os.close(self._fd)
