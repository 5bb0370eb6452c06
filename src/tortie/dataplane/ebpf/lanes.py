"""Which generations are in the lanes, and which chunks of counters there are, asked of all at once and without waiting.

Before Linux 6.8 a look-up in an array of maps by system call waits until no program runs that was running then: some
10 ms, and there are thousands of lanes. So a program looks, which runs on our memory (bpf/lanes.bpf.c).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf

LANES = 4_096
"""Interfaces and directions that one host can have, twice as many as interfaces."""


class Found(NamedTuple):
    """Ids of the pages in a lane, and of the chunk of counters of the same number, as they say them themselves; 0 where
    there are none."""

    pages: int
    chunk: int


class LaneReader:
    """Looks into one array of lanes, and into that of counters. Close it. Raises everywhere: KernelError."""

    def __init__(self, lanes_fd: int, counts_fd: int) -> None:
        with bpf.ObjectFile(OBJECTS / "lanes.bpf.o") as obj:
            obj.reuse_map("lanes", lanes_fd)
            obj.reuse_map("counts", counts_fd)
            obj.load()
            layout = obj.layout("lanes_read")
            self._pages, self._chunks = layout["pages"], layout["chunks"]
            self._fd = os.dup(obj.program_fd("lanes_read"))

    def read(self, first: int = 0, count: int = LANES) -> list[Found]:
        """What has each number from the first one on."""
        found: list[Found] = []
        while len(found) < count:
            asked = (first + len(found)).to_bytes(4, "little").ljust(sum(self._chunks), b"\0")
            answer = memoryview(bpf.test_run(self._fd, asked).data_out)
            parts = (answer[at : at + room].cast("I") for at, room in (self._pages, self._chunks))
            found += map(Found, *parts)
        return found[:count]

    def close(self) -> None:
        """Let go of the program."""
        os.close(self._fd)
