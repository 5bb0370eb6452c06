"""The maps that policy programs of one host share, each made when it is asked for, and pinned where there is a folder.

What another build of the objects means by most of them is its own: these have its digest in their pins' names, so that
its programs never find what they cannot read. Only the lane's number, in `scratch`, is between versions: a root of one
may stand before a program of another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import digits
from threading import Lock

from tortie.dataplane.ebpf.compile import digest
from tortie.dataplane.ebpf.counters import CHUNKS, create_chunk, create_lane_counts
from tortie.dataplane.ebpf.pages import OBJECTS, create_array
from tortie.kernel import bpf

DOORS = ("xdp", "tc", "egress")
"""Object files with a policy program, named <door>_policy."""
FRONT = "front"
"""The same for XDP in front of other drivers: it knows untracked ingress alone, and answers nobody."""
FLOW_MAPS = ("flows4", "flows6", "opening4", "opening6")
"""The connection table (flows.h)."""
SHARED_MAPS = (*FLOW_MAPS, "local")
"""Maps of the host that every program uses."""
EVENTS_BYTES = 1 << 18
_REMEMBERED = 4_096
"""Answers on their way, and remote ends that were told of something."""
LIMIT_MAPS = ("told", "host_limit", "remote_limits")
"""What programs remember of the answers that they gave (told.h, answer.h)."""
BESIDE = ("counts", "lane_counts", "events", *LIMIT_MAPS)
"""Shared maps that all programs use, whatever the size of generations."""
OF_BUILD = ("lanes", *BESIDE)
"""Shared maps whose content only programs of the same build understand."""


LANES = 4_096
"""Interfaces and directions that one host can have, twice as many as interfaces."""


@dataclass(frozen=True, slots=True)
class SharedMap:
    """A map of the host: its descriptor, and the id that a program's identity depends on."""

    fd: int
    id: int


@cache
def object_digest() -> bytes:
    """Identity of the BPF objects this package ships: another build of them makes other programs and generations."""
    return digest((OBJECTS / f"{name}.bpf.o").read_bytes() for name in (*DOORS, FRONT))


class SharedMaps:
    """See the module. Close it. Raises everywhere: KernelError."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        """Where pins are from now on; others are made by the next repair."""
        self._fds: dict[str, int] = {}
        self._lock = Lock()
        """Programs of two doors are loaded side by side."""

    @property
    def build(self) -> str:
        """Which build of the objects this is, as pins' names say it."""
        return object_digest().hex()[:16]

    def has(self, name: str) -> bool:
        """Whether a map of that name is there already."""
        return name in self._fds or (self.folder is not None and (self.folder / self._pin_name(name)).exists())

    @property
    def pins(self) -> dict[str, int]:
        """Names of the pins of the maps in use, and the descriptors."""
        return {self._pin_name(name): fd for name, fd in self._fds.items()}

    def ids(self, *names: str) -> list[int]:
        """Ids of maps of these names."""
        return [bpf.map_info(self.fd(name)).id for name in names]

    def fd(self, name: str) -> int:
        """Descriptor of a map: that of an earlier agent where it fits."""
        with self._lock:
            known = self._fds.get(name)
            if known is None:
                known = self._fds[name] = self._left(name) or self._made(name)
        return known

    def _made(self, name: str) -> int:
        if name.startswith("lanes") or name == "counts":
            pages = name.removeprefix("lanes")
            with bpf.borrowed(create_array(int(pages)) if pages.isdigit() else create_chunk()) as like:
                count = LANES if pages.isdigit() else CHUNKS
                made = bpf.create_map_of_maps(name.rstrip(digits), max_entries=count, like=like)
        elif name == "lane_counts":
            made = create_lane_counts(LANES)
        elif name == "events":
            made = bpf.create_map(bpf.RINGBUF, "events", key_size=0, value_size=0, max_entries=EVENTS_BYTES)
        elif name in LIMIT_MAPS:
            made = _limit_map(name)
        else:
            size = scratch_size()
            made = bpf.create_map(bpf.PERCPU_ARRAY, "scratch", key_size=4, value_size=size, max_entries=1)
        if self.folder is not None:
            self.pin(self._pin_name(name), made)
        return made

    def _pin_name(self, name: str) -> str:
        return f"{name}-{self.build}" if name.startswith(OF_BUILD) else name

    def _left(self, name: str) -> int | None:
        if self.folder is None or not (path := self.folder / self._pin_name(name)).exists():
            return None
        fd = bpf.open_pin(path)
        info = bpf.map_info(fd)
        if name.startswith("scratch") and info.value_size != scratch_size():  # another version's
            os.close(fd)
            return None
        return fd

    def pin(self, name: str, fd: int) -> None:
        """Pin something under that name."""
        assert self.folder is not None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bpf.pin_over(fd, self.folder / name)

    def log_records(self) -> list[bytes]:
        """What programs wrote of packets that met Log rules, since the last call."""
        events = self._fds.get("events")
        if events is None:
            return []
        with bpf.RingBuffer(events) as ring:
            return ring.consume()

    def forget_answers(self) -> None:
        """Forget which answers are on their way, and how many there were."""
        bpf.update(self.fd("host_limit"), bytes(4), bytes(8))
        for name in ("told", "remote_limits"):
            fd = self.fd(name)
            for key in list(bpf.keys(fd)):
                bpf.delete(fd, key)

    def close(self) -> None:
        """Let go; what is pinned, or used by programs, lives on."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def _limit_map(name: str) -> int:
    """Descriptor of a new one, as the objects have it."""
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as obj:
        sizes = obj.key_size(name), obj.value_size(name)
    kind, entries = (bpf.ARRAY, 1) if name == "host_limit" else (bpf.LRU_HASH, _REMEMBERED)
    return bpf.create_map(kind, name, key_size=sizes[0], value_size=sizes[1], max_entries=entries)


@cache
def scratch_size() -> int:
    """Bytes of struct scratch, which a root of one version may share with programs of another."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as obj:
        return obj.value_size("scratch")
