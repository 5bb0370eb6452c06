"""Which generations are in the lanes, and which chunks of counters there are, asked of all at once and without waiting.

Before Linux 6.8 a look-up in an array of maps by system call waits until no program runs that was running then: some
10 ms, and there are thousands of lanes. So a program looks, which runs on our memory (bpf/lanes.bpf.c).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.counters import Counters
from tortie.dataplane.ebpf.pages import OBJECTS, SIZES, Pages
from tortie.dataplane.ebpf.shared import LANES, SharedMaps
from tortie.kernel import bpf


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


class Lanes:
    """The lanes of one host: which are in use, what is in them, and where they count. Close it.

    Raises everywhere: KernelError.
    """

    def __init__(self, maps: SharedMaps) -> None:
        self._maps = maps
        self._in_use: set[int] = set()
        self._of_others: set[int] | None = None
        """Lanes that an earlier agent's pins name, or that have something in them; None: nobody looked yet."""
        self._readers: dict[int, LaneReader] = {}
        self._counters: Counters | None = None

    def new(self) -> int:
        """A number that no interface and direction has. Raises: Unsupported, where all are in use."""
        if self._of_others is None:
            # one that has pages has perhaps a root, whose pins somebody took away, until `sweep` says that it has none
            held = [enumerate(self._reader(size).read()) for size in self.sizes()]
            self._of_others = self._pinned_lanes() | {lane for lanes in held for lane, found in lanes if found.pages}
        taken = self._in_use | self._of_others
        lane = next((one for one in range(LANES) if one not in taken), None)
        if lane is None:
            raise Unsupported(f"more than {LANES // 2} interfaces with policy; give host endpoints to fewer of them")
        self._in_use.add(lane)
        return lane

    def holding(self, lane: int) -> list[int]:
        """Sizes of the generations that are in a lane."""
        return [size for size in self.sizes() if self.seen_in(lane, size)]

    def _reader(self, size: int) -> LaneReader:
        if size not in self._readers:
            self._readers[size] = LaneReader(self._maps.fd(f"lanes{size}"), self._maps.fd("counts"))
        return self._readers[size]

    def keep(self, lane: int) -> None:
        """That number is in use: an earlier agent gave it."""
        self._in_use.add(lane)

    def _pinned_lanes(self) -> set[int]:
        """Numbers that the names of pins say, those of interfaces nobody has looked at yet included (hooks.py)."""
        paths = self._maps.folder.parent.glob("if*/*lane-*") if self._maps.folder is not None else ()
        return {int(number) for path in paths if (number := path.name.rpartition("-")[2]).isdigit()}

    def put(self, lanes: Mapping[int, Pages]) -> None:
        """Let every packet from now on find these; returns when none can find those before any more."""
        for size in {pages.size for pages in lanes.values()}:
            keys = [lane.to_bytes(4, "little") for lane, pages in lanes.items() if pages.size == size]
            values = [pages.fd.to_bytes(4, "little") for pages in lanes.values() if pages.size == size]
            bpf.update_all(self._maps.fd(f"lanes{size}"), keys, values)

    @property
    def counters(self) -> Counters:
        """Where lanes count."""
        if self._counters is None:
            self._counters = Counters(self._maps.fd("lane_counts"), self._maps.fd("counts"))
        return self._counters

    def seen_in(self, lane: int, size: int) -> int:
        """Id of the pages in a lane, as they say it themselves; 0: there are none."""
        return self._reader(size).read(lane, 1)[0].pages

    def pages_in(self, lane: int, size: int) -> int | None:
        """Id of the pages in a lane, as the kernel says it: before Linux 6.8 that waits some 10 ms (lanes.py)."""
        return _id_at(self._maps.fd(f"lanes{size}"), lane)

    def take_out(self, lane: int, size: int) -> None:
        """Have nothing in the lane; returns when no packet can find what was there."""
        bpf.delete(self._maps.fd(f"lanes{size}"), lane.to_bytes(4, "little"))

    def keep_only(self, lane: int, pages: Pages) -> None:
        """Have nothing but these in the lane: programs for pages of other sizes are in no slot any more.

        Returns when no packet can find others. A packet that is in such a program still looks for its pages, and would
        be dropped if they were gone: putting the same ones again waits for it.
        """
        others = [size for size in self.holding(lane) if size != pages.size]
        if others:
            self.put({lane: pages})
        for size in others:
            self.take_out(lane, size)

    def free(self, lane: int) -> None:
        """Nobody uses the lane any more."""
        for size in self.sizes():
            if self.pages_in(lane, size) is not None:
                self.take_out(lane, size)
        if self._maps.has("lane_counts"):
            for parity in (0, 1):
                self.counters.end(lane, parity)
        self._in_use.discard(lane)

    def sweep(self) -> None:
        """Let go of what nobody uses: pages of an agent that died before it attached anything to them."""
        used = self._in_use | self._pinned_lanes()
        for size in self.sizes():
            for lane, found in enumerate(self._reader(size).read()):
                if found.pages and lane not in used:
                    self.free(lane)
        for lane in self.counters.lanes() - used:
            self.free(lane)
        self._of_others = self._pinned_lanes() - self._in_use

    def sizes(self) -> list[int]:
        """Sizes of generations for which there are lanes."""
        return [size for size in SIZES if self._maps.has(f"lanes{size}")]

    def repair(self) -> bool:
        """Put back what others changed of where lanes count; whether anything was."""
        sizes = self.sizes()
        chunks = self.counters.chunks() if sizes else {}
        if not chunks:
            return False
        found = self._reader(sizes[0]).read(0, max(chunks) + 1)
        return self.counters.repair({number: found[number].chunk for number in chunks})

    def close(self) -> None:
        """Let go of everything; what packets find lives on."""
        if self._counters is not None:
            self._counters.close()
            self._counters = None
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


def _id_at(maps: int, lane: int) -> int | None:
    found = bpf.lookup(maps, lane.to_bytes(4, "little"), 4)
    return int.from_bytes(found, "little") if found else None
