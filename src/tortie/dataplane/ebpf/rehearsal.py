"""Programs that no packet meets, with generations in lanes of their own: to ask what they would do.

Nothing is attached. Unless they are given a connection table, the programs have a small one to themselves, which is
empty again whenever a lane is left.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from struct import Struct

from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex
from tortie.dataplane.ebpf.flows import empty, small_tables
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.pages import OBJECTS, Pages
from tortie.dataplane.ebpf.programs import Programs, Traits
from tortie.dataplane.ebpf.shared import FLOW_MAPS, LANES, SharedMap, scratch_size
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

_XDP, _SKB = Struct("=6I"), Struct("=36x2I148x")
"""struct xdp_md; of struct __sk_buff the interface where the packet arrived (none: it was made here), and the one it
is on. Source: linux/bpf.h."""


class Rehearsal:
    """See the module. Close it. Raises everywhere: KernelError."""

    def __init__(self, traits: Traits, maps: Mapping[str, SharedMap] | None = None) -> None:
        self._own = {} if maps and FLOW_MAPS[0] in maps else small_tables()
        self._programs = Programs(traits)
        self._programs.use({**self._own, **(maps or {})})
        self._entered: dict[str, int] = {}
        self._next_lane = 0
        self._tells_metadata = True
        """Whether the kernel says what programs write in front of a packet in XDP."""

    def put(self, generation: Generation) -> int:
        """The lane that the generation is in from now on, with counters at zero.

        Because: no number comes again soon, as first fragments are remembered by lane.
        """
        lane = self._next_lane
        self._next_lane = (lane + 1) % LANES
        counters = self._programs.lanes.counters
        run = counters.take(generation.stride)
        counters.publish()
        counters.tell(lane, generation.parity, run)
        self._programs.lanes.put({lane: generation.pages})
        return lane

    def meaning(self, lane: int, generation: Generation, index: RuleIndex) -> Counts:
        """Packets by rule met and by reason, of a generation that was put into that lane."""
        run = self._programs.lanes.counters.of(lane, generation.parity)
        return generation.meaning(self._programs.lanes.counters, run, index) if run is not None else Counter()

    def clear(self, lane: int, generation: Generation) -> None:
        """Have the generation's counters in that lane at zero."""
        self._programs.lanes.counters.tell(
            lane, generation.parity, self._programs.lanes.counters.take(generation.stride)
        )

    def take_out(self, lane: int, pages: Pages) -> None:
        """Let go of the pages in a lane."""
        self._programs.lanes.take_out(lane, pages.size)
        for parity in (0, 1):
            self._programs.lanes.counters.end(lane, parity)
        empty(self._own)

    @contextmanager
    def lane(self, generation: Generation) -> Iterator[int]:
        """A lane that has the generation until the end of the block. Log events of it are forgotten: nobody waits for
        them, and where they found no room, that would be counted."""
        lane = self.put(generation)
        try:
            yield lane
        finally:
            self.take_out(lane, generation.pages)
            self.log_records()

    def log_records(self) -> list[bytes]:
        """What programs wrote of packets that met Log rules, since the last call."""
        return self._programs.maps.log_records()

    def forget_answers(self) -> None:
        """Have every denial answered that may be, as if none had been before."""
        self._programs.maps.forget_answers()

    def enter(self, door: str, lane: int, pages: Pages) -> int:
        """Descriptor of the door's program, which judges by that lane in every test run until another one is entered.

        Because: there is no root in front of it that would know the lane.
        """
        if self._entered.get(door) != lane:
            offset = _place_of_lane()
            one = bytearray(-(-scratch_size() // 8) * 8)
            one[offset : offset + 4] = lane.to_bytes(4, "little")
            scratch = self._programs.maps.fd(f"scratch_{door}")
            bpf.update(scratch, bytes(4), bytes(one) * bpf.possible_cpus())
            self._entered[door] = lane
        return self._programs.program(door, pages.size)

    def run(
        self, door: str, lane: int, pages: Pages, frame: bytes, ifindex: int, *, is_forwarded: bool = False
    ) -> bpf.TestRun:
        """What the door's program does to a frame on that interface. What leaves, this host made or forwards."""
        fd = self.enter(door, lane, pages)
        # Before Linux 5.14 nobody can say where it arrives, or hears of metadata; at tc one can say where it is.
        if door == "xdp":
            arrives = _XDP.pack(0, len(frame), 0, ifindex, 0, 0)
        else:
            arrives = _SKB.pack(ifindex if door != "egress" or is_forwarded else 0, ifindex)
        try:
            return bpf.test_run(fd, frame, ctx=arrives)
        except KernelError as error:
            if error.code != errno.EINVAL or is_forwarded:
                raise
            if door != "xdp":
                return bpf.test_run(fd, frame, ctx=_SKB.pack(0, ifindex))
            self._tells_metadata = False
            return bpf.test_run(fd, frame)

    def has_metadata(self, ran: bpf.TestRun, frame: bytes, *, otherwise: bool) -> bool:
        """Whether the run in XDP left metadata in front of the frame; `otherwise` where the kernel does not tell."""
        return len(ran.data_out) > len(frame) if self._tells_metadata else otherwise

    def close(self) -> None:
        """Let go of programs and lanes."""
        self._programs.close()
        for shared in self._own.values():
            os.close(shared.fd)
        self._own = {}


@cache
def _place_of_lane() -> int:
    """Offset of the lane in struct scratch."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as obj:
        return obj.layout("scratch")["lane"][0]
