"""The counters of one lane, which is one interface and direction: what its packets met, by the numbers of a generation.

    16 words, the first one our id │ CPU 0: even, odd, even, odd ... │ CPU 1: ...

A generation is even or odd, and counts in its words only; what follows it in the lane is the other. So its counts are
final once no packet can find it any more, whatever is counted meanwhile. Source: bpf/include/tortie/{lanes,maps}.h.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from functools import cache

from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf

_NAME = "tortie_counts"
_WORD = 8
_LINE = 16
"""Words that two CPUs never share: a cache line, and the neighbour that is fetched with it."""


@cache
def begin() -> int:
    """Words in front of the first CPU's counters."""
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as obj:
        return obj.size_of("counters_head") // _WORD


def stride_of(counters: int) -> int:
    """Words from one CPU's to the next one's, where a generation has so many counters."""
    return -(-2 * counters // _LINE) * _LINE


def create_counters(stride: int) -> int:
    """Descriptor of a map for counters with that stride, which the caller closes."""
    return bpf.create_map(
        bpf.ARRAY,
        _NAME,
        key_size=4,
        value_size=_WORD,
        max_entries=begin() + stride * bpf.possible_cpus(),
        flags=bpf.MMAPABLE | bpf.INNER_MAP,
    )


class Counters:
    """See the module. Close it; what a lane refers to lives on. Raises everywhere: KernelError."""

    def __init__(self, fd: int) -> None:
        info = bpf.map_info(fd)
        self.fd, self.id, self._words = fd, info.id, info.max_entries
        self._whole = bpf.map_view(fd, self._words * _WORD)

    @classmethod
    def create(cls, stride: int) -> Counters:
        """New ones, all zero; with room for a policy that grows."""
        made = cls(create_counters(stride + stride // 2))
        made._whole[:4] = made.id.to_bytes(4, "little")
        return made

    @classmethod
    def of_id(cls, map_id: int) -> Counters:
        """Those that are in the kernel under that id."""
        return cls(bpf.map_by_id(map_id))

    def fits(self, stride: int) -> bool:
        """Whether a generation of that stride finds all of its counters here."""
        return begin() + stride * bpf.possible_cpus() <= self._words

    def clear(self, parity: int) -> None:
        """Have those of even (0) or odd (1) generations at zero."""
        first = begin() + parity
        with memoryview(self._whole) as whole, whole.cast("Q") as words:
            words[first::2] = memoryview(array("Q", bytes(_WORD * len(range(first, self._words, 2)))))

    def read(self, parity: int, stride: int, count: int) -> Sequence[int]:
        """Each of so many counters, added up over the CPUs."""
        first = begin() + parity
        data = array("Q", self._whole[: self._words * _WORD])
        runs = [
            data[start : start + 2 * count : 2] for start in range(first, first + stride * bpf.possible_cpus(), stride)
        ]
        return [sum(each) for each in zip(*runs, strict=True)]

    def close(self) -> None:
        """Close descriptor and memory."""
        if self.fd >= 0:
            self._whole.close()
            os.close(self.fd)
            self.fd = -1
