"""The policy programs of one host: a copy of each door for each size of generation that is in use, and the lanes.

    root (knows its lane) ─slot─▶ <door>_policy ─▶ lanes[lane] ─▶ pages of the newest generation

A program knows no policy. It is loaded, and verified, when the first generation of its size is put before its door;
from then on a change of policy puts other pages into the lane. With a folder, programs and the maps they share are
pinned there, so that the next agent finds them:

    <bpffs>/netns-<cookie>/host/{scratch_<door>, <door>_<pages>_<digest>, lanes<pages>-<build>, counts-<build>}
                                {<door>_<pages>_<digest>_answer, <door>_<pages>_<digest>_jumps, events-<build>, ...}

Behind each policy program is the one that answers its denials; `jumps` leads there, and back to the beginning.

What another build of the objects means by pages and log events is its own: it has lanes and a ring of its own, so that
its programs never find what they cannot read. Only the lane's number, in `scratch`, is between versions: a root of one
may stand before a program of another.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import digits
from threading import Lock
from typing import NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.compile import digest
from tortie.dataplane.ebpf.counters import CHUNKS, Counters, create_chunk, create_lane_counts
from tortie.dataplane.ebpf.lanes import LANES, LaneReader
from tortie.dataplane.ebpf.pages import OBJECTS, SIZES, SPARE_SIZES, Pages, create_array
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

log = logging.getLogger("tortie.dataplane.ebpf")

DOORS = ("xdp", "tc", "egress")
"""Object files with a policy program, named <door>_policy."""
FLOW_MAPS = ("flows4", "flows6", "opening4", "opening6")
"""The connection table (flows.h)."""
SHARED_MAPS = (*FLOW_MAPS, "local")
"""Maps of the host that every program uses."""
EVENTS_BYTES = 1 << 18
_REMEMBERED = 4_096
"""Answers on their way, and remote ends that were told of something."""
_SMALL = 64
"""Entries of maps of the host, in programs that have none."""
LIMIT_MAPS = ("told", "host_limit", "remote_limits")
"""What programs remember of the answers that they gave (told.h, answer.h)."""
_BESIDE = ("counts", "lane_counts", "events", *LIMIT_MAPS)
"""Shared maps that all programs use, whatever the size of generations."""
_OF_BUILD = ("lanes", *_BESIDE)
"""Shared maps whose content only programs of the same build understand."""


@dataclass(frozen=True, slots=True)
class SharedMap:
    """A map of the host: its descriptor, and the id that a program's identity depends on."""

    fd: int
    id: int


@dataclass(frozen=True, slots=True)
class Traits:
    """What of the kernel the programs use."""

    has_tcx: bool
    has_frags: bool
    mark_bit: int


class _Loaded(NamedTuple):
    """Descriptors of a policy program, of the one that answers for it, and of the way there."""

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


@cache
def object_digest() -> bytes:
    """Identity of the BPF objects this package ships: another build of them makes other programs and generations."""
    return digest((OBJECTS / f"{name}.bpf.o").read_bytes() for name in DOORS)


class Programs:
    """See the module. Nothing exists before it is asked for. Raises everywhere: KernelError."""

    def __init__(self, traits: Traits, folder: Path | None = None) -> None:
        self.traits, self._folder = traits, folder
        self._maps: dict[str, SharedMap] = {}
        self._shared: dict[str, int] = {}
        """Maps that programs share: `events`, `lanes<pages>`, `scratch_<door>`."""
        self._programs: dict[tuple[str, int], _Loaded] = {}
        self._loading: dict[tuple[str, int], Future[_Loaded]] = {}
        """Those that nothing needs yet."""
        self._spare: ThreadPoolExecutor | None = None
        self._unloadable: set[tuple[str, int]] = set()
        self._lanes_in_use: set[int] = set()
        self._lanes_of_others: set[int] | None = None
        """Lanes that an earlier agent's pins name, or that have something in them; None: nobody looked yet."""
        self._readers: dict[int, LaneReader] = {}
        self._counters: Counters | None = None
        self._lock = Lock()
        """Programs of two doors are loaded side by side."""

    def use(self, maps: Mapping[str, SharedMap]) -> None:
        """Have programs on this connection table from now on; those loaded for another one are loaded anew."""
        if dict(maps) != self._maps:
            is_other = bool(self._maps)
            self._maps = dict(maps)
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
        for size in self._sizes():
            known = self._programs.get((door, size))
            if known is None:
                known = self._found(door, size)
                if known is not None:
                    self._programs[door, size] = known
            if known is not None and bpf.program_info(known.policy).id == program_id:
                return size
        return None

    def _pin_name(self, door: str, size: int) -> str:
        ids = [self._maps[name].id for name in sorted(self._maps)]
        shared = [bpf.map_info(self.shared(name)).id for name in (f"lanes{size}", f"scratch_{door}", *_BESIDE)]
        parts = [object_digest(), repr((ids, shared, self.traits)).encode()]
        return f"{door}_{size}_{digest(parts).hex()[:16]}"

    def _found(self, door: str, size: int) -> _Loaded | None:
        """The programs that an earlier agent of the same version left, if they are whole."""
        if self._folder is None:
            return None
        name = self._pin_name(door, size)
        paths = [self._folder / (name + end) for end in _PIN_ENDS]
        if not all(path.exists() for path in paths):
            return None
        return _Loaded(*(bpf.open_pin(path) for path in paths))

    def _loaded(self, door: str, size: int) -> _Loaded:
        with bpf.ObjectFile(OBJECTS / f"{door}.bpf.o") as obj:
            for name in SHARED_MAPS:
                if name in self._maps:
                    obj.reuse_map(name, self._maps[name].fd)
                else:
                    obj.set_max_entries(name, _SMALL)
            obj.reuse_map("lanes", self.shared(f"lanes{size}"))
            obj.reuse_map("scratch", self.shared(f"scratch_{door}"))
            for name in _BESIDE:
                obj.reuse_map(name, self.shared(name))
            obj.write_rodata("mark_bit", self.traits.mark_bit.to_bytes(4, "little"))
            if self.traits.has_frags and door == "xdp":
                obj.write_rodata("has_frags", (1).to_bytes(4, "little"))
                for name in obj.program_names:
                    obj.set_program_flags(name, bpf.XDP_HAS_FRAGS)
            obj.load()
            fds = obj.program_fd(f"{door}_policy"), obj.program_fd(f"{door}_answer"), obj.map_fd("jumps")
            made = _Loaded(*(os.dup(fd) for fd in fds))
        if self._folder is not None:
            for end, fd in made.pins.items():
                self._pin(self._pin_name(door, size) + end, fd)
        return made

    def _unpin_old(self) -> None:
        """Unpin programs, lanes and rings that we do not use: of other builds, or for another connection table, which
        they would keep. What is in a slot lives on by that."""
        spare = [(door, size) for door, _ in self._programs for size in self._sizes()]
        wanted = {self._shared_pin(name) for name in self._shared}
        wanted |= {self._pin_name(*key) + end for key in {*self._programs, *spare} for end in _PIN_ENDS}
        for path in self._folder.iterdir() if self._folder is not None and self._folder.is_dir() else ():
            is_program = path.name.partition("_")[0] in DOORS
            if (is_program or path.name.startswith(_OF_BUILD)) and path.name not in wanted:
                path.unlink(missing_ok=True)

    # ---- what they share

    def shared(self, name: str) -> int:
        """Descriptor of a map that programs share: that of an earlier agent where it fits."""
        with self._lock:
            known = self._shared.get(name)
            if known is None:
                known = self._shared[name] = self._left(name) or self._made(name)
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
        if self._folder is not None:
            self._pin(self._shared_pin(name), made)
        return made

    def _shared_pin(self, name: str) -> str:
        return f"{name}-{object_digest().hex()[:16]}" if name.startswith(_OF_BUILD) else name

    def _left(self, name: str) -> int | None:
        if self._folder is None or not (path := self._folder / self._shared_pin(name)).exists():
            return None
        fd = bpf.open_pin(path)
        info = bpf.map_info(fd)
        if name.startswith("scratch") and info.value_size != scratch_size():  # another version's
            os.close(fd)
            return None
        return fd

    def _pin(self, name: str, fd: int) -> None:
        assert self._folder is not None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bpf.pin_over(fd, self._folder / name)

    def log_records(self) -> list[bytes]:
        """What programs wrote of packets that met Log rules, since the last call."""
        events = self._shared.get("events")
        if events is None:
            return []
        with bpf.RingBuffer(events) as ring:
            return ring.consume()

    def forget_answers(self) -> None:
        """Forget which answers are on their way, and how many there were."""
        bpf.update(self.shared("host_limit"), bytes(4), bytes(8))
        for name in ("told", "remote_limits"):
            fd = self.shared(name)
            for key in list(bpf.keys(fd)):
                bpf.delete(fd, key)

    def move(self, folder: Path) -> None:
        """Have the pins in another folder from the next repair on."""
        self._folder = folder

    def repair(self) -> bool:
        """Pin again what others unpinned, and put back the jumps that others took out; whether anything was."""
        if self._folder is None:
            return False
        wanted = {self._shared_pin(name): fd for name, fd in self._shared.items()} | self._program_pins()
        gone = [name for name in wanted if not (self._folder / name).exists()]
        for name in gone:
            self._pin(name, wanted[name])
        return any([bool(gone), *(_fill_jumps(loaded) for loaded in self._programs.values())])

    def repair_counters(self) -> bool:
        """Put back what others changed of where lanes count; whether anything was."""
        sizes = self._sizes()
        chunks = self.counters.chunks() if sizes else {}
        if not chunks:
            return False
        found = self._reader(sizes[0]).read(0, max(chunks) + 1)
        return self.counters.repair({number: found[number].chunk for number in chunks})

    def _program_pins(self) -> dict[str, int]:
        """Names of the pins of the programs that we use, and their descriptors."""
        return {
            self._pin_name(*key) + end: fd for key, loaded in self._programs.items() for end, fd in loaded.pins.items()
        }

    # ---- lanes

    def new_lane(self) -> int:
        """A number that no interface and direction has. Raises: Unsupported, where all are in use."""
        if self._lanes_of_others is None:
            # one that has pages has perhaps a root, whose pins somebody took away, until `sweep` says that it has none
            held = [enumerate(self._reader(size).read()) for size in self._sizes()]
            self._lanes_of_others = self._pinned_lanes() | {
                lane for lanes in held for lane, found in lanes if found.pages
            }
        taken = self._lanes_in_use | self._lanes_of_others
        lane = next((one for one in range(LANES) if one not in taken), None)
        if lane is None:
            raise Unsupported(f"more than {LANES // 2} interfaces with policy; give host endpoints to fewer of them")
        self._lanes_in_use.add(lane)
        return lane

    def _holding(self, lane: int) -> list[int]:
        """Sizes of the generations that are in a lane."""
        return [size for size in self._sizes() if self.seen_in(lane, size)]

    def _reader(self, size: int) -> LaneReader:
        if size not in self._readers:
            self._readers[size] = LaneReader(self.shared(f"lanes{size}"), self.shared("counts"))
        return self._readers[size]

    def keep_lane(self, lane: int) -> None:
        """That number is in use: an earlier agent gave it."""
        self._lanes_in_use.add(lane)

    def _pinned_lanes(self) -> set[int]:
        """Numbers that the names of pins say, those of interfaces nobody has looked at yet included (hooks.py)."""
        paths = self._folder.parent.glob("if*/*lane-*") if self._folder is not None else ()
        return {int(number) for path in paths if (number := path.name.rpartition("-")[2]).isdigit()}

    def put(self, lanes: Mapping[int, Pages]) -> None:
        """Let every packet from now on find these; returns when none can find those before any more."""
        for size in {pages.size for pages in lanes.values()}:
            keys = [lane.to_bytes(4, "little") for lane, pages in lanes.items() if pages.size == size]
            values = [pages.fd.to_bytes(4, "little") for pages in lanes.values() if pages.size == size]
            bpf.update_all(self.shared(f"lanes{size}"), keys, values)

    @property
    def counters(self) -> Counters:
        """Where lanes count."""
        if self._counters is None:
            self._counters = Counters(self.shared("lane_counts"), self.shared("counts"))
        return self._counters

    def seen_in(self, lane: int, size: int) -> int:
        """Id of the pages in a lane, as they say it themselves; 0: there are none."""
        return self._reader(size).read(lane, 1)[0].pages

    def pages_in(self, lane: int, size: int) -> int | None:
        """Id of the pages in a lane, as the kernel says it: before Linux 6.8 that waits some 10 ms (lanes.py)."""
        return _id_at(self.shared(f"lanes{size}"), lane)

    def take_out(self, lane: int, size: int) -> None:
        """Have nothing in the lane; returns when no packet can find what was there."""
        bpf.delete(self.shared(f"lanes{size}"), lane.to_bytes(4, "little"))

    def keep_only(self, lane: int, pages: Pages) -> None:
        """Have nothing but these in the lane: programs for pages of other sizes are in no slot any more.

        Returns when no packet can find others. A packet that is in such a program still looks for its pages, and would
        be dropped if they were gone: putting the same ones again waits for it.
        """
        others = [size for size in self._holding(lane) if size != pages.size]
        if others:
            self.put({lane: pages})
        for size in others:
            self.take_out(lane, size)

    def free_lane(self, lane: int) -> None:
        """Nobody uses the lane any more."""
        for size in self._sizes():
            if self.pages_in(lane, size) is not None:
                self.take_out(lane, size)
        if self._has("lane_counts"):
            for parity in (0, 1):
                self.counters.end(lane, parity)
        self._lanes_in_use.discard(lane)

    def sweep(self) -> None:
        """Let go of what nobody uses: pages of an agent that died before it attached anything to them, and old pins."""
        used = self._lanes_in_use | self._pinned_lanes()
        for size in self._sizes():
            for lane, found in enumerate(self._reader(size).read()):
                if found.pages and lane not in used:
                    self.free_lane(lane)
        for lane in self.counters.lanes() - used:
            self.free_lane(lane)
        self._lanes_of_others = self._pinned_lanes() - self._lanes_in_use
        self._unpin_old()

    def _sizes(self) -> list[int]:
        """Sizes of generations for which there are lanes."""
        return [size for size in SIZES if self._has(f"lanes{size}")]

    def _has(self, name: str) -> bool:
        """Whether a shared map of that name is there already."""
        return name in self._shared or (self._folder is not None and (self._folder / self._shared_pin(name)).exists())

    def _let_go_of_programs(self) -> None:
        self._end_spare()
        for loaded in self._programs.values():
            _close(loaded)
        self._programs.clear()

    def close(self) -> None:
        """Let go of everything; what is pinned, or in a slot, lives on."""
        self._let_go_of_programs()
        if self._counters is not None:
            self._counters.close()
            self._counters = None
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        for fd in self._shared.values():
            os.close(fd)
        self._shared.clear()


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


def _id_at(maps: int, lane: int) -> int | None:
    found = bpf.lookup(maps, lane.to_bytes(4, "little"), 4)
    return int.from_bytes(found, "little") if found else None


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
