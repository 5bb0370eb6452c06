"""The counters of all lanes: words in chunks, of which each lane has a run, as long as its policy needs.

    lane ─▶ lane_counts: where even and odd generations of it count ─▶ counts ─▶ chunk of 8,192 words

A generation is even or odd, and what follows it in a lane is the other, which counts elsewhere. So its counts are final
once no packet can find it any more. Source: bpf/include/tortie/{lanes,maps}.h.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.kernel import bpf

CHUNKS = 16_384
CHUNK_WORDS = 8_192
HEAD_WORDS = 16
"""In front of each chunk's words; the first one is its map's id. Source: lanes.h; a test compares."""
LANE_BYTES = 16
"""Size of struct lane_counts."""
_WORD = 8
_LINE = 16
"""Words that two CPUs never share: a cache line, and the neighbour that is fetched with it."""


def stride_of(counters: int) -> int:
    """Words from one CPU's counters to the next one's, where a generation has so many."""
    return -(-counters // _LINE) * _LINE


def create_chunk() -> int:
    """Descriptor of a map for one chunk, which the caller closes."""
    words = HEAD_WORDS + CHUNK_WORDS
    return bpf.create_map(bpf.ARRAY, "chunk", key_size=4, value_size=_WORD, max_entries=words, flags=bpf.MMAPABLE)


def create_lane_counts(lanes: int) -> int:
    """Descriptor of a map that says where so many lanes count, which the caller closes."""
    return bpf.create_map(
        bpf.ARRAY, "lane_counts", key_size=4, value_size=LANE_BYTES, max_entries=lanes, flags=bpf.MMAPABLE
    )


class Run(NamedTuple):
    """Words that one generation of one lane counts in: the first one, and how many, which is a power of two."""

    begin: int
    words: int

    def fits(self, stride: int) -> bool:
        """Whether all counters of a generation of that stride are in it."""
        return stride * bpf.possible_cpus() <= self.words


class Counters:
    """See the module. The descriptors, of `lane_counts` and `counts`, stay the caller's. Close it.

    Raises everywhere: KernelError.
    """

    def __init__(self, lane_counts: int, counts: int) -> None:
        self._counts = counts
        self._chunks: dict[int, tuple[int, mmap.mmap]] = {}
        """Id and memory, by number."""
        self._new: dict[int, int] = {}
        """Descriptors of chunks that no packet finds yet."""
        self._free: dict[int, list[int]] = defaultdict(list)
        """Where runs of so many words begin that nobody has."""
        self._memory = bpf.map_view(lane_counts, bpf.map_info(lane_counts).max_entries * LANE_BYTES)
        self._where = memoryview(self._memory).cast("I")
        """Of each lane where even and odd generations count, then how many words each of them has."""
        self._runs = {
            (lane, parity): run
            for lane in range(len(self._where) // 4)
            for parity in (0, 1)
            if (run := self._told(lane, parity)).words
        }
        """What an earlier agent's lanes count in stays theirs, until somebody says that nobody uses them."""
        self._end = max((sum(run) for run in self._runs.values()), default=0)
        """Nothing was ever given from here on."""

    def _told(self, lane: int, parity: int) -> Run:
        return Run(self._where[4 * lane + parity], self._where[4 * lane + 2 + parity])

    # ---- runs

    def take(self, stride: int) -> Run:
        """Words for a generation of that stride, at zero; packets find them after `publish`. Raises: Unsupported."""
        words = 1 << (max(stride * bpf.possible_cpus(), 64) - 1).bit_length()
        if not self._free[words]:
            begin = -(-self._end // min(words, CHUNK_WORDS)) * min(words, CHUNK_WORDS)
            if begin + words > CHUNKS * CHUNK_WORDS:
                raise Unsupported("counters of rules would need more than 1 GiB; give endpoints to fewer interfaces")
            self._keep_gap(self._end, begin)
            self._free[words].append(begin)
            self._end = begin + words
        run = Run(self._free[words].pop(), words)
        try:
            for part in self._parts(run):
                part[:] = bytes(len(part))
        except BaseException:
            self.release(run)
            raise
        return run

    def _keep_gap(self, begin: int, end: int) -> None:
        """What lies in front of a run that has to begin further on is for smaller ones."""
        while begin < end:
            words = begin & -begin
            self._free[words].append(begin)
            begin += words

    def release(self, run: Run) -> None:
        """Nobody counts there any more, nor was told to."""
        self._free[run.words].append(run.begin)

    def publish(self) -> None:
        """Have packets find every chunk; if there are new ones, the kernel waits once."""
        if self._new:
            keys = [number.to_bytes(4, "little") for number in self._new]
            bpf.update_all(self._counts, keys, [fd.to_bytes(4, "little") for fd in self._new.values()])
            self._close_new()

    def _parts(self, run: Run) -> list[memoryview]:
        """The memory of a run, in pieces of one chunk each."""
        found, at, end = [], run.begin, sum(run)
        while at < end:
            number, place = divmod(at, CHUNK_WORDS)
            count = min(CHUNK_WORDS - place, end - at)
            first = (HEAD_WORDS + place) * _WORD
            found.append(memoryview(self._chunk(number))[first : first + count * _WORD])
            at += count
        return found

    def _chunk(self, number: int) -> mmap.mmap:
        if number not in self._chunks:
            left = bpf.lookup(self._counts, number.to_bytes(4, "little"), 4)
            fd = bpf.map_by_id(int.from_bytes(left, "little")) if left else create_chunk()
            memory, its_id = bpf.map_view(fd, (HEAD_WORDS + CHUNK_WORDS) * _WORD), bpf.map_info(fd).id
            self._chunks[number] = its_id, memory
            if left:
                os.close(fd)
            else:
                memory[:4] = its_id.to_bytes(4, "little")
                self._new[number] = fd
        return self._chunks[number][1]

    def read(self, run: Run, stride: int, count: int) -> Sequence[int]:
        """Each of so many counters, added up over the CPUs."""
        data = array("Q", b"".join(self._parts(run)))
        starts = range(0, stride * bpf.possible_cpus(), stride)
        return [sum(each) for each in zip(*(data[start : start + count] for start in starts), strict=True)]

    # ---- lanes

    def of(self, lane: int, parity: int) -> Run | None:
        """Where even (0) or odd (1) generations of a lane count."""
        return self._runs.get((lane, parity))

    def tell(self, lane: int, parity: int, run: Run) -> None:
        """Have even (0) or odd (1) generations of a lane count there: no packet of it is in one.

        May be said again: what many lanes are told together is told to each of them once more where that failed.
        """
        if self.of(lane, parity) == run:
            return
        self.end(lane, parity)
        self._runs[lane, parity] = run
        self._write(lane, parity, run)

    def end(self, lane: int, parity: int) -> None:
        """No packet of the lane is in an even (0) or odd (1) generation any more: its words are free."""
        run = self._runs.pop((lane, parity), None)
        if run is not None:
            self._write(lane, parity, Run(0, 0))
            self.release(run)

    def _write(self, lane: int, parity: int, run: Run) -> None:
        self._where[4 * lane + parity], self._where[4 * lane + 2 + parity] = run

    def lanes(self) -> set[int]:
        """Lanes that count somewhere."""
        return {lane for lane, _ in self._runs}

    def chunks(self) -> Mapping[int, int]:
        """Ids of the chunks that packets have to find, by number."""
        return {number: its_id for number, (its_id, _) in self._chunks.items()}

    def repair(self, found: Mapping[int, int]) -> bool:
        """Put back what others changed, given the ids of the chunks that packets find; whether anything was."""
        gone = {number: its_id for number, its_id in self.chunks().items() if found.get(number) != its_id}
        self._new |= {number: bpf.map_by_id(its_id) for number, its_id in gone.items() if number not in self._new}
        self.publish()
        wrong = {key: run for key, run in self._runs.items() if self._told(*key) != run}
        for key, run in wrong.items():
            self._write(*key, run)
        return bool(gone or wrong)

    def _close_new(self) -> None:
        for fd in self._new.values():
            os.close(fd)
        self._new.clear()

    def close(self) -> None:
        """Let go of the memory; what packets find lives on."""
        self._close_new()
        self._where.release()
        self._memory.close()
        for _, memory in self._chunks.values():
            memory.close()
        self._chunks.clear()
