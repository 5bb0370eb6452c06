"""The policy programs of one host: a copy of each door for each size of generation that is in use, and the lanes.

    root (knows its lane) ─slot─▶ <door>_policy ─▶ lanes[lane] ─▶ pages of the newest generation

A program knows no policy. It is loaded, and verified, when the first generation of its size is put before its door;
from then on a change of policy puts other pages into the lane. With a folder, programs and the maps they share are
pinned there, so that the next agent finds them:

    <bpffs>/netns-<cookie>/host/{scratch_<door>, <door>_<pages>_<digest>, lanes<pages>-<build>, counts-<build>}
                                {<door>_<pages>_<digest>_answer, <door>_<pages>_<digest>_jumps, events-<build>, ...}

Behind each policy program is the one that answers its denials; `jumps` leads there, and back to the beginning.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tortie.dataplane.ebpf.compile import digest
from tortie.dataplane.ebpf.lanes import Lanes
from tortie.dataplane.ebpf.pages import OBJECTS, SPARE_SIZES
from tortie.dataplane.ebpf.shared import BESIDE, DOORS, FRONT, OF_BUILD, SHARED_MAPS, SharedMap, SharedMaps
from tortie.dataplane.front import FrontMarks
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

log = logging.getLogger("tortie.dataplane.ebpf")

_SMALL = 64
"""Entries of maps of the host, in programs that have none."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What of the kernel the programs use."""

    has_tcx: bool
    has_frags: bool
    mark_bit: int
    front: FrontMarks | None = None
    """Where XDP only stands in front of a driver in netfilter's hooks: what it tells that one."""

    @property
    def xdp_door(self) -> str:
        """The policy program that XDP runs."""
        return "xdp" if self.front is None else FRONT

    @property
    def behind_xdp(self) -> str:
        """The root at tc that turns what XDP says into marks."""
        return "tc_mark" if self.front is None else "tc_front"


class _Loaded(NamedTuple):
    """Descriptors of a policy program, of the one that answers for it (itself, where it never does), and of the way
    there."""

    policy: int
    answer: int
    jumps: int

    @property
    def pins(self) -> dict[str, int]:
        """What its pins' names end with."""
        return dict(zip(_PIN_ENDS, self, strict=True))


_PIN_ENDS = ("", "_answer", "_jumps")
_JUMPS = ("policy", "answer")
"""In the order of `enum jump` (maps.h)."""


class Programs:
    """See the module. Nothing exists before it is asked for. Raises everywhere: KernelError."""

    def __init__(self, traits: Traits, folder: Path | None = None) -> None:
        self.traits = traits
        self.maps = SharedMaps(folder)
        self.lanes = Lanes(self.maps)
        self._tables: dict[str, SharedMap] = {}
        """The connection table, and what else the driver gives."""
        self._programs: dict[tuple[str, int], _Loaded] = {}
        self._loading: dict[tuple[str, int], Future[_Loaded]] = {}
        """Those that nothing needs yet."""
        self._spare: ThreadPoolExecutor | None = None
        self._unloadable: set[tuple[str, int]] = set()

    def use(self, maps: Mapping[str, SharedMap]) -> None:
        """Have programs on this connection table from now on; those loaded for another one are loaded anew."""
        if dict(maps) != self._tables:
            is_other = bool(self._tables)
            self._tables = dict(maps)
            self._let_go_of_programs()
            if is_other:
                self._unpin_old()

    # ---- programs

    def program(self, door: str, size: int) -> int:
        """Descriptor of the door's policy program for generations of so many pages; it stays ours."""
        known = self._programs.get((door, size))
        if known is None:
            spare = self._loading.pop((door, size), None)
            known = self._keep(door, size, spare.result() if spare is not None else self._left_or_loaded(door, size))
        return known.policy

    def _left_or_loaded(self, door: str, size: int) -> _Loaded:
        return self._found(door, size) or self._loaded(door, size)

    def _keep(self, door: str, size: int, loaded: _Loaded) -> _Loaded:
        self._programs[door, size] = loaded
        _fill_jumps(loaded)
        return loaded

    def load(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Have these programs, by door and pages, loaded side by side: verification takes a while, outside Python."""
        missing = [one for one in dict.fromkeys(wanted) if one not in self._programs]
        if missing:
            with ThreadPoolExecutor(len(missing)) as pool:
                for done in [pool.submit(self.program, *one) for one in missing]:
                    done.result()

    def load_spare(self) -> None:
        """Begin to load, beside what else is done, what the doors in use need if policy grows; and take what is ready.

        Because: a change of policy must not wait for the verifier.
        """
        for key, spare in [(key, spare) for key, spare in self._loading.items() if spare.done()]:
            del self._loading[key]
            try:
                self._keep(*key, spare.result())
            except KernelError as error:  # who needs it is told then
                log.info("programs for %d pages: %s", key[1], error)
                self._unloadable.add(key)
        known = self._programs.keys() | self._loading.keys() | self._unloadable
        wanted = [(door, size) for door in dict.fromkeys(door for door, _ in self._programs) for size in SPARE_SIZES]
        for key in wanted:
            if key not in known:
                self._spare = self._spare or ThreadPoolExecutor(1)
                self._loading[key] = self._spare.submit(self._left_or_loaded, *key)

    def _end_spare(self) -> None:
        """Load nothing more; what is being loaded is let go when it is."""
        if self._spare is None:
            return
        self._spare.shutdown(cancel_futures=True)
        for spare in self._loading.values():
            if not spare.cancelled() and spare.exception() is None:
                _close(spare.result())
        self._spare = None
        self._loading.clear()

    def size_of(self, door: str, program_id: int) -> int | None:
        """The size of generations that a policy program in the kernel is for; None where it is none of ours."""
        for size in self.lanes.sizes():
            known = self._programs.get((door, size))
            if known is None:
                known = self._found(door, size)
                if known is not None:
                    self._programs[door, size] = known
            if known is not None and bpf.program_info(known.policy).id == program_id:
                return size
        return None

    def _pin_name(self, door: str, size: int) -> str:
        ids = [self._tables[name].id for name in sorted(self._tables)]
        shared = self.maps.ids(f"lanes{size}", f"scratch_{door}", *BESIDE)
        parts = [self.maps.build.encode(), repr((ids, shared, self.traits)).encode()]
        return f"{door}_{size}_{digest(parts).hex()[:16]}"

    def _found(self, door: str, size: int) -> _Loaded | None:
        """The programs that an earlier agent of the same version left, if they are whole."""
        if self.maps.folder is None:
            return None
        name = self._pin_name(door, size)
        paths = [self.maps.folder / (name + end) for end in _PIN_ENDS]
        if not all(path.exists() for path in paths):
            return None
        return _Loaded(*(bpf.open_pin(path) for path in paths))

    def _loaded(self, door: str, size: int) -> _Loaded:
        with bpf.ObjectFile(OBJECTS / f"{door}.bpf.o") as obj:
            for name in frozenset(SHARED_MAPS).intersection(obj.map_names):
                if name in self._tables:
                    obj.reuse_map(name, self._tables[name].fd)
                else:
                    obj.set_max_entries(name, _SMALL)
            obj.reuse_map("lanes", self.maps.fd(f"lanes{size}"))
            obj.reuse_map("scratch", self.maps.fd(f"scratch_{door}"))
            for name in frozenset(BESIDE).intersection(obj.map_names):
                obj.reuse_map(name, self.maps.fd(name))
            obj.write_rodata("mark_bit", self.traits.mark_bit.to_bytes(4, "little"))
            if self.traits.has_frags and door == self.traits.xdp_door:
                if door == "xdp":
                    obj.write_rodata("has_frags", (1).to_bytes(4, "little"))
                for name in obj.program_names:
                    obj.set_program_flags(name, bpf.XDP_HAS_FRAGS)
            obj.load()
            names = (f"{door}_policy", f"{door}_answer" if door != FRONT else f"{door}_policy")
            fds = *(obj.program_fd(name) for name in names), obj.map_fd("jumps")
            made = _Loaded(*(os.dup(fd) for fd in fds))
        if self.maps.folder is not None:
            for end, fd in made.pins.items():
                self.maps.pin(self._pin_name(door, size) + end, fd)
        return made

    def sweep(self) -> None:
        """Let go of what nobody uses: in lanes, and old pins."""
        self.lanes.sweep()
        self._unpin_old()

    def _unpin_old(self) -> None:
        """Unpin programs, lanes and rings that we do not use: of other builds, or for another connection table, which
        they would keep. What is in a slot lives on by that."""
        spare = [(door, size) for door, _ in self._programs for size in self.lanes.sizes()]
        wanted = {*self.maps.pins}
        wanted |= {self._pin_name(*key) + end for key in {*self._programs, *spare} for end in _PIN_ENDS}
        folder = self.maps.folder
        for path in folder.iterdir() if folder is not None and folder.is_dir() else ():
            is_program = path.name.partition("_")[0] in (*DOORS, FRONT)
            if (is_program or path.name.startswith(OF_BUILD)) and path.name not in wanted:
                path.unlink(missing_ok=True)

    def repair(self) -> bool:
        """Pin again what others unpinned, and put back the jumps that others took out; whether anything was."""
        if self.maps.folder is None:
            return False
        wanted = self.maps.pins | self._program_pins()
        gone = [name for name in wanted if not (self.maps.folder / name).exists()]
        for name in gone:
            self.maps.pin(name, wanted[name])
        return any([bool(gone), *(_fill_jumps(loaded) for loaded in self._programs.values())])

    def _program_pins(self) -> dict[str, int]:
        """Names of the pins of the programs that we use, and their descriptors."""
        return {
            self._pin_name(*key) + end: fd for key, loaded in self._programs.items() for end, fd in loaded.pins.items()
        }

    def _let_go_of_programs(self) -> None:
        self._end_spare()
        for loaded in self._programs.values():
            _close(loaded)
        self._programs.clear()

    def close(self) -> None:
        """Let go of everything; what is pinned, or in a slot, lives on."""
        self._let_go_of_programs()
        self.lanes.close()
        self.maps.close()


def _close(loaded: _Loaded) -> None:
    for fd in loaded:
        os.close(fd)


def _fill_jumps(loaded: _Loaded) -> bool:
    """Have the programs where their packets jump to; whether anything else was there."""
    has_changed = False
    for place, name in enumerate(_JUMPS):
        key, program = place.to_bytes(4, "little"), getattr(loaded, name)
        if bpf.lookup(loaded.jumps, key, 4) != bpf.program_info(program).id.to_bytes(4, "little"):
            bpf.set_program(loaded.jumps, place, program)
            has_changed = True
    return has_changed
