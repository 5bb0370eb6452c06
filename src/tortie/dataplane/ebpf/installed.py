"""A policy program that is already in the kernel: what it was made of, its counters, and a twin to ask questions of."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from tortie.dataplane.ebpf.classifiers import STAGE_TABLES, Classifiers
from tortie.dataplane.ebpf.generation import EVENTS_BYTES, FLOW_MAPS, OBJECTS, read_counters
from tortie.dataplane.ebpf.seal import Seal
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

_SHARED = (*STAGE_TABLES, "fs_ports", "fs_nets", "local")
"""Maps that only user space writes. The twin has counters, fragments, events and flows of its own."""
_XDP, _SKB = Struct("=6I"), Struct("=36x2I148x")
"""struct xdp_md; of struct __sk_buff the interface where the packet arrived (none: it was made here), and the one it
is on. Source: linux/bpf.h."""
_OWN = {"events": EVENTS_BYTES, **dict.fromkeys(FLOW_MAPS, 64)}
"""Maps of the twin's own, with their sizes."""


@dataclass(slots=True)
class Installed:
    """A program found by its id, with descriptors of its maps by name. Close it."""

    door: str
    fd: int
    maps: dict[str, int]

    @classmethod
    def open(cls, program_id: int, door: str) -> Installed:
        """Raises: KernelError where the program is gone."""
        fd = bpf.program_by_id(program_id)
        found = cls(door, fd, {})
        try:
            for map_id in bpf.program_info(fd).map_ids:
                map_fd = bpf.map_by_id(map_id)
                name = bpf.map_info(map_fd).name
                if name in found.maps or (name.endswith(".rodata") and ".rodata" in found.maps):
                    os.close(map_fd)
                    continue
                found.maps[".rodata" if name.endswith(".rodata") else name] = map_fd
        except BaseException:
            found.close()
            raise
        return found

    def digest(self) -> bytes:
        """What the generation was made of; empty if it was made by something else."""
        with bpf.ObjectFile(OBJECTS / f"{self.door}.bpf.o") as obj:
            offset, size = obj.layout("config")["digest"]
            config = self._constant(obj, "cfg")
            return config[offset : offset + size] if config else b""

    def holds(self, classifiers: Classifiers) -> bool:
        """Whether the tables are those of the classifiers. They are not where members changed in place, even if they
        changed back, or where others edited them.

        Because: the digest says what a generation was made of, not what became of it.
        """
        for name, size in classifiers.sizes().items():
            if name not in self.maps:
                return False
            wanted = bytearray(size)
            classifiers.fill(name, wanted)
            if bpf.read_array(self.maps[name])[:size] != wanted:
                return False
        return True

    def seal(self, classifiers: Classifiers) -> Seal:
        """A seal on the tables that can change."""
        sizes = classifiers.sizes()
        return Seal(
            {name: bpf.map_view(self.maps[name], sizes[name]) for name in sizes if classifiers.can_change(name)}
        )

    def _constant(self, obj: bpf.ObjectFile, variable: str) -> bytes:
        if ".rodata" not in self.maps:
            return b""
        offset, size = obj.variable(variable)
        data = bpf.read_array(self.maps[".rodata"])
        return data[offset : offset + size] if len(data) >= offset + size else b""

    def counters(self) -> Sequence[int]:
        """Every counter of the program, added up over the CPUs."""
        entries = bpf.map_info(self.maps["counters"]).max_entries
        return read_counters(self.maps["counters"], entries * 64)

    def test_run(self, frame: bytes, ifindex: int) -> tuple[bpf.TestRun, Sequence[int]]:
        """What the program does to a frame, and what it counts for it.

        A twin runs: the same program with the same constants and the same tables, but counters of its own, so that
        asking changes no count; and an empty connection table, so that the packet is the first of its flow. It is on
        the interface of that index. Raises: KernelError, also if the twin is not the same program.
        """
        with bpf.ObjectFile(OBJECTS / f"{self.door}.bpf.o") as twin:
            for name in (*_SHARED, *_OWN):
                if name not in self.maps:
                    twin.leave_out(name)
                elif name in _SHARED:
                    twin.reuse_map(name, self.maps[name])
                else:
                    twin.set_max_entries(name, _OWN[name])
            twin.set_max_entries("counters", bpf.map_info(self.maps["counters"]).max_entries)
            for variable in ("cfg", "mark_bit"):
                if value := self._constant(twin, variable):
                    twin.write_rodata(variable, value)
            twin.load()
            fd = twin.program_fd(f"{self.door}_policy")
            if bpf.program_info(fd).tag != bpf.program_info(self.fd).tag:
                raise KernelError("bpf", "test run", 0, "the installed program is another version's; restart the agent")
            ran = self._run(fd, frame, ifindex)
            counted = read_counters(twin.map_fd("counters"), bpf.map_info(twin.map_fd("counters")).max_entries * 64)
        return ran, counted

    def _run(self, fd: int, frame: bytes, ifindex: int) -> bpf.TestRun:
        if self.door != "xdp":
            return bpf.test_run(fd, frame, ctx=_SKB.pack(0 if self.door == "egress" else ifindex, ifindex))
        try:
            return bpf.test_run(fd, frame, ctx=_XDP.pack(0, len(frame), 0, ifindex, 0, 0))
        except KernelError as error:
            if error.code != errno.EINVAL:  # before Linux 5.14 it always arrives at the loopback device
                raise
            return bpf.test_run(fd, frame)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self.fd, *self.maps.values()):
            os.close(fd)
        self.maps.clear()
