"""The memory of one generation: an array of pages that packets' programs find through `lanes`.

    page 0: struct config │ tables

It lives as long as a lane or a descriptor refers to it. Source of the layout: bpf/include/tortie/{config,maps}.h.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.kernel import bpf

OBJECTS = Path(str(files("tortie.dataplane.ebpf") / "objects"))
PAGE = 32_768
SIZES = (2, 64, 1_024, 18_432)
"""Pages that a generation can have: 64 KiB, 2, 32 and 576 MiB. Most policy has the first.

All arrays behind one `lanes` have the same number, so that the kernel looks into them without a call; so programs are
loaded for each of these that is in use.
"""
SPARE_SIZES = SIZES[:3]
"""Those that programs are loaded for before anything needs them: policy that grows does not wait for the verifier."""
_NAME = "tortie_pages"


class Arrangement(NamedTuple):
    """Where every table begins, and where they end. Units: bytes."""

    places: Mapping[str, int]
    end: int


class Extent(NamedTuple):
    """What a table needs: so many bytes, from a multiple of `unit` on."""

    size: int
    unit: int


def arrange(tables: Mapping[str, Extent]) -> Arrangement:
    """Tables one after another, those with the largest elements first."""
    places, at = {}, PAGE
    for name, (size, unit) in sorted(tables.items(), key=lambda table: table[1].unit, reverse=True):
        places[name] = at = _up(at, unit)
        at += size
    return Arrangement(places, _up(at, 8))


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

    @property
    def memory_bytes(self) -> int:
        """The memory that they take."""
        return self.size * PAGE

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
