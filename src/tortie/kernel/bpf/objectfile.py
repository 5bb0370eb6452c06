"""A compiled BPF object: open it, look at its BTF, size its maps, write its constants, load it.

The descriptors of maps and programs belong to the object and are closed with it; `os.dup` what must outlive it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tortie.kernel._bpf import ffi, lib
from tortie.kernel.bpf.calls import DOOR, checked, clear_log, log, text
from tortie.kernel.bpf.maps import map_info
from tortie.kernel.errors import KernelError

if TYPE_CHECKING:
    from tortie.kernel._bpf import CData

XDP_HAS_FRAGS = 1 << 5
"""Program flag: packets of several buffers are welcome (Linux 5.18). Source: linux/bpf.h BPF_F_XDP_HAS_FRAGS."""

_CAPACITY = 4096
_REPORT = re.compile(
    r"prog '(?P<program>[^']+)': -- BEGIN PROG LOAD LOG --\n(?P<lines>.*?)-- END PROG LOAD LOG --", re.S
)
_NOISE = re.compile(
    r"processed \d+ insns|verification time|stack depth|(max_states|peak_states)|mark_read|^\s*$|^;|^func#"
)


class ObjectFile:
    """An object file on its way into the kernel. What is set must be set before `load`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_loaded = False
        self.log = ""
        clear_log()
        opened = lib.bpf_object__open(os.fsencode(path))
        if not opened:
            remedy = "" if path.exists() else "the file is missing: reinstall tortie"
            raise KernelError(DOOR, f"open {path}", ffi.errno, remedy or log())
        self._object: CData | None = opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor. Programs and maps that are pinned, linked or duplicated live on."""
        if self._object is not None:
            lib.bpf_object__close(self._object)
            self._object = None

    @property
    def _open(self) -> CData:
        if self._object is None:
            raise ValueError(f"{self._path} is closed")
        return self._object

    @property
    def map_names(self) -> tuple[str, ...]:
        """Maps, the sections of global variables included, as libbpf names them."""
        return tuple(text(lib.bpf_map__name(found)) for found in self._maps())

    @property
    def program_names(self) -> tuple[str, ...]:
        """Programs in the order of the file."""
        return tuple(self._programs())

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size a map."""
        checked(lib.bpf_map__set_max_entries(self._map(name), entries), f"size map {name} of {self._path.name}")

    def leave_out(self, name: str) -> None:
        """Do not create a map. The verifier refuses a program that can reach it."""
        checked(lib.bpf_map__set_autocreate(self._map(name), False), f"leave out map {name} of {self._path.name}")

    def key_size(self, name: str) -> int:
        """Bytes of a map's key."""
        return int(lib.bpf_map__key_size(self._map(name)))

    def value_size(self, name: str) -> int:
        """Bytes of a map's value."""
        return int(lib.bpf_map__value_size(self._map(name)))

    def reuse_map(self, name: str, fd: int) -> None:
        """Use an existing map instead of creating one; its key and value must have the same sizes."""
        found, existing = self._map(name), map_info(fd)
        wanted = (lib.bpf_map__key_size(found), lib.bpf_map__value_size(found))
        if wanted != (existing.key_size, existing.value_size):
            raise KernelError(
                DOOR,
                f"reuse map {existing.name} (id {existing.id}) as {name}",
                errno.EINVAL,
                f"key and value of {existing.key_size} and {existing.value_size} bytes, where {self._path.name} "
                f"needs {wanted[0]} and {wanted[1]}: it was made by another version; remove its pin",
            )
        checked(lib.bpf_map__reuse_fd(found, fd), f"reuse map {name}")

    def set_autoload(self, name: str, autoload: bool) -> None:
        """Load a program with the object, or leave it out."""
        checked(lib.bpf_program__set_autoload(self._program(name), autoload), f"choose program {name}")

    def set_program_flags(self, name: str, flags: int) -> None:
        """Add load flags to a program's own."""
        program = self._program(name)
        checked(
            lib.bpf_program__set_flags(program, lib.bpf_program__flags(program) | flags), f"set flags of program {name}"
        )

    def variable(self, name: str) -> tuple[int, int]:
        """Offset in its section, and size, of a global variable. Units: bytes."""
        _, offset, size = self._variable(name)
        return offset, size

    def write_rodata(self, name: str, value: bytes) -> None:
        """Set a `const volatile` variable, which the verifier will then take as a constant."""
        if self._is_loaded:
            raise ValueError(f"{self._path.name} is loaded: its constants are frozen")
        section, offset, size = self._variable(name)
        if not section.startswith(".rodata"):
            raise ValueError(f"variable {name} of {self._path.name} is in {section}: declare it const volatile")
        if len(value) != size:
            raise ValueError(f"variable {name} of {self._path.name} has {size} bytes, not {len(value)}")
        room = ffi.new("size_t[]", 1)
        memory = lib.bpf_map__initial_value(self._map(section), room)
        if not memory or offset + size > room[0]:
            raise KernelError(DOOR, f"write {name} of {self._path}", errno.ERANGE, "the object's BTF is broken")
        memoryview(ffi.buffer(memory, room[0])).cast("B")[offset : offset + size] = value

    def layout(self, struct: str) -> dict[str, tuple[int, int]]:
        """Offset and size of each field, nested ones by dotted name, an array as one field. Units: bytes.

        Raises: KernelError ENOENT where the object's BTF has no such type: clang leaves out what no code uses.
        """
        out = ffi.new("struct tortie_field[]", _CAPACITY)
        count = checked(
            lib.tortie_btf_fields(self._open, struct.encode(), out, _CAPACITY), f"struct {struct} of {self._path.name}"
        )
        return {text(out[index].name): (out[index].offset, out[index].size) for index in range(count)}

    def size_of(self, struct: str) -> int:
        """Size of a struct. Units: bytes."""
        return checked(lib.tortie_btf_size(self._open, struct.encode()), f"struct {struct} of {self._path.name}")

    def enum(self, name: str) -> dict[str, int]:
        """Names and values of an enum, in the order of its declaration.

        Because: clang before 15 does not mark signed enums, so from its objects -1 is read as 4294967295.
        """
        out = ffi.new("struct tortie_enumerator[]", _CAPACITY)
        count = checked(
            lib.tortie_btf_enum(self._open, name.encode(), out, _CAPACITY), f"enum {name} of {self._path.name}"
        )
        return {text(out[index].name): out[index].value for index in range(count)}

    def load(self) -> None:
        """Create the maps and load the programs.

        Raises: KernelError whose detail is the verifier's last useful line; `log` has everything that was said.
        """
        clear_log()
        result = lib.bpf_object__load(self._open)
        if result < 0:
            self.log = log()
            clear_log()
            checked(result, f"load {self._path.name}", explain(self.log))
        self._is_loaded = True

    def map_fd(self, name: str) -> int:
        """Descriptor of a loaded map."""
        return self._loaded(lib.bpf_map__fd(self._map(name)), f"map {name}")

    def program_fd(self, name: str) -> int:
        """Descriptor of a loaded program."""
        return self._loaded(lib.bpf_program__fd(self._program(name)), f"program {name}")

    def _loaded(self, fd: int, thing: str) -> int:
        if not self._is_loaded:
            raise ValueError(f"{thing}: {self._path.name} is not loaded yet")
        return checked(fd, f"{thing} of {self._path.name}")

    def _variable(self, name: str) -> tuple[str, int, int]:
        out = ffi.new("struct tortie_variable *")
        checked(lib.tortie_btf_variable(self._open, name.encode(), out), f"variable {name} of {self._path.name}")
        return text(out.section), out.offset, out.size

    def _maps(self) -> Iterator[CData]:
        found = lib.bpf_object__next_map(self._open, ffi.NULL)
        while found:
            yield found
            found = lib.bpf_object__next_map(self._open, found)

    def _programs(self) -> Iterator[str]:
        found = lib.bpf_object__next_program(self._open, ffi.NULL)
        while found:
            yield text(lib.bpf_program__name(found))
            found = lib.bpf_object__next_program(self._open, found)

    def _map(self, name: str) -> CData:
        found = lib.bpf_object__find_map_by_name(self._open, name.encode())
        if not found:
            raise KernelError(DOOR, f"map {name}", errno.ENOENT, f"{self._path.name} has {', '.join(self.map_names)}")
        return found

    def _program(self, name: str) -> CData:
        found = lib.bpf_object__find_program_by_name(self._open, name.encode())
        if not found:
            raise KernelError(
                DOOR, f"program {name}", errno.ENOENT, f"{self._path.name} has {', '.join(self.program_names)}"
            )
        return found


def explain(said: str) -> str:
    """The line that tells most out of what libbpf and the verifier said about a failed load."""
    reports = list(_REPORT.finditer(said))
    if reports:
        lines = reports[-1]["lines"].splitlines()
        useful = [line.strip() for line in lines if not _NOISE.search(line)]
        source = [line.removeprefix(";").strip() for line in lines if line.startswith(";") and "@" in line]
        if useful:
            return f"program {reports[-1]['program']}: {useful[-1]}" + (f" at: {source[-1]}" if source else "")
    told = [line for line in said.splitlines() if line.startswith("libbpf: ") and "PROG LOAD LOG" not in line]
    # The first complaint is the cause; those after it say what could therefore not be done.
    return told[0].removeprefix("libbpf: ") if told else ""
