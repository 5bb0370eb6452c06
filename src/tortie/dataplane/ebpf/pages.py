"""The memory of one generation: an array of pages that packets' programs find through `lanes`.

    page 0: struct config │ tables │ counters, a run of them for each CPU

It lives as long as a lane or a descriptor refers to it. Source of the layout: bpf/include/tortie/{config,maps}.h.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.kernel import bpf

OBJECTS = Path(str(files("tortie.dataplane.ebpf") / "objects"))
PAGE = 4096
SIZES = (512, 1_280, 4_096, 32_768, 147_456)
"""Pages that a generation can have: 2, 5, 16, 128 and 576 MiB. Policy of three or four classes mostly needs the second.

All arrays behind one `lanes` have the same number, so that the kernel looks into them without a call; so programs are
loaded for each of these that is in use.
"""
_NAME = "tortie_pages"
_ELEMENT = 1024
"""Tables begin at multiples of the largest element: elements never cross a page."""
_LINE = 128
"""Counters of two CPUs never share a cache line, nor the neighbour that is fetched with it."""


class Arrangement(NamedTuple):
    """Where everything begins. Units: bytes."""

    places: Mapping[str, int]
    counters: int
    stride: int
    end: int


def arrange(sizes: Mapping[str, int], counters: int) -> Arrangement:
    """Tables of these sizes one after another, and that many counters for each CPU."""
    places, at = {}, PAGE
    for name, size in sizes.items():
        places[name] = at
        at += _up(size, _ELEMENT)
    first, stride = _up(at, PAGE), _up(counters * 8, _LINE)
    return Arrangement(places, first, stride, _up(first + stride * bpf.possible_cpus(), PAGE))


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


@cache
def _config() -> tuple[int, Mapping[str, tuple[int, int]]]:
    """Size of struct config, and offset and size of each of its fields."""
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as obj:
        return obj.size_of("config"), obj.layout("config")


def encode_config(fields: Mapping[str, int | bytes]) -> bytes:
    """struct config with these fields, the others 0."""
    size, layout = _config()
    value = bytearray(size)
    for name, field in fields.items():
        offset, width = layout[name]
        value[offset : offset + width] = field.to_bytes(width, "little") if isinstance(field, int) else field
    return bytes(value)


class Pages:
    """See the module. Close it; what a lane refers to lives on. Raises everywhere: KernelError."""

    def __init__(self, fd: int) -> None:
        info = bpf.map_info(fd)
        self.fd, self.id, self.size = fd, info.id, info.max_entries
        self._whole: mmap.mmap | None = None

    @classmethod
    def create(cls, needed_bytes: int) -> Pages:
        """New ones, all zero, of the smallest size that holds so much. Raises: Unsupported."""
        size = next((size for size in SIZES if size * PAGE >= needed_bytes), None)
        if size is None:
            raise Unsupported(
                f"the tables would need {needed_bytes >> 20} MB, which is more than {SIZES[-1] * PAGE >> 20}; "
                "merge rules into sets"
            )
        return cls(create_array(size))

    @classmethod
    def of_id(cls, map_id: int) -> Pages:
        """Those that are in the kernel under that id."""
        return cls(bpf.map_by_id(map_id))

    def writable(self, size_bytes: int) -> mmap.mmap:
        """Their memory from the beginning on."""
        return bpf.map_view(self.fd, size_bytes)

    def memory(self, size_bytes: int) -> memoryview:
        """So much of their memory, to look at: what is written there shows. Let go of it before they are closed."""
        if self._whole is None:
            self._whole = bpf.map_view(self.fd, self.size * PAGE, is_writable=False)
        return memoryview(self._whole)[:size_bytes]

    def read(self, start: int, end: int) -> bytes:
        """What is in that memory now."""
        with self.memory(end) as memory:
            return bytes(memory[start:end])

    def field(self, name: str) -> bytes:
        """A field of struct config."""
        offset, size = _config()[1][name]
        return self.read(offset, offset + size)

    def number(self, name: str) -> int:
        """A field of struct config that is a number."""
        return int.from_bytes(self.field(name), "little")

    def counters(self) -> Sequence[int]:
        """Every counter, added up over the CPUs."""
        first, stride = self.number("counters"), self.number("counters_stride")
        cpus = bpf.possible_cpus()
        data = array("Q", self.read(first, first + stride * cpus))
        count = stride // 8
        runs = [data[cpu * count : (cpu + 1) * count] for cpu in range(cpus)]
        return [sum(each) for each in zip(*runs, strict=True)]

    def twin(self) -> Pages:
        """The same tables with counters of their own, at 0."""
        end = self.number("counters")
        made = Pages(create_array(self.size))
        view = made.writable(self.size * PAGE)
        view[:end] = self.read(0, end)
        view.close()
        return made

    def close(self) -> None:
        """Close descriptor and memory."""
        if self._whole is not None:
            self._whole.close()
            self._whole = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create_array(size: int) -> int:
    """Descriptor of an array of so many pages, which the caller closes."""
    return bpf.create_map(bpf.ARRAY, _NAME, key_size=4, value_size=PAGE, max_entries=size, flags=bpf.MMAPABLE)
