"""The hooks of one interface: root programs that stay, the slots they jump through, and the pins that keep both.

    arriving   XDP link ─▶ xdp_root ─┐                      tc link ─▶ tc_mark         acceleration XDP
                                     ├─▶ slot ─▶ policy
               tc link ──▶ tc_root ──┘                                                 acceleration TC
    leaving    out link ─▶ tc_out ─────▶ out_slot ─▶ policy

In front of a driver in netfilter's hooks there is only XDP, with `tc_front` behind it, or nothing.

An interface has a folder in the bpffs: `slot`, `xdp` (only with XDP), `tc`, `out_slot` and `out` (tcx links; with
clsact the filters stay by themselves), `lane-<number>` and `out_lane-<number>` (the slots pinned again, under names
that say which lanes the roots enter), in front `marks-<mask>` (the same, for what its marks are). What a dead agent
left there enforces on, and the next one takes it over.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tortie.dataplane.driver import Acceleration
from tortie.dataplane.ebpf import xdplink
from tortie.dataplane.ebpf.choice import Choice, obstacle
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.dataplane.ebpf.placement import NoXdp, Placement
from tortie.dataplane.ebpf.programs import Programs
from tortie.dataplane.ebpf.shared import LANES
from tortie.dataplane.front import FrontMarks
from tortie.kernel import bpf, ethtool, tc
from tortie.kernel.errors import KernelError
from tortie.kernel.netlink import interface_name
from tortie.model.packet import Direction

TC_PRIORITY, TC_HANDLE = 1, 0x746F7274
"""Of our clsact filter: in front, as with tcx, since a filter that accepts ends the walk; the handle ("tort") is ours,
so that other programs of the same priority stay."""
_KEY = bytes(4)
SLOTS = {Direction.INGRESS: "slot", Direction.EGRESS: "out_slot"}
_LANE_PINS = {Direction.INGRESS: "lane-", Direction.EGRESS: "out_lane-"}
_ROOT_DOORS = {"xdp_root": "xdp", "tc_root": "tc", "tc_out": "egress"}
"""Roots that enter a lane -> the door behind them; in front, that of XDP is another one (`Traits.xdp_door`)."""
_PIN_ORDER = ("xdp", "slot", "tc", "out_slot", "out")
"""The pins of the lanes come last: until then they keep what is in the slots of before (see `_pin`)."""
_CLSACT = "clsact"
"""Pinned, whatever it holds, where the clsact qdisc is ours: we take it away again if nobody else uses it."""
_MARKS = "marks-"


_LINKS = {bpf.Hook.INGRESS: "tc", bpf.Hook.EGRESS: "out"}
_HOOKS = {name: hook for hook, name in _LINKS.items()}


class Hooks:
    """The attached roots of one interface. Made by `attach` or `adopt`."""

    def __init__(self, folder: Path, index: int, programs: Programs) -> None:
        self.folder, self.index, self._programs = folder, index, programs
        self.traits = programs.traits
        self.lanes: dict[Direction, int] = {}
        self.placement = Placement(index)
        self._made_clsact = (folder / _CLSACT).exists()
        self._fds: dict[str, int] = {}
        self._roots_seen: dict[str, int] = {}
        """Ids of the roots that the links ran when we last looked."""

    # ---- made

    @classmethod
    def attach(
        cls,
        folder: Path,
        index: int,
        programs: Programs,
        lanes: Mapping[Direction, int],
        load: Callable[[str], int],
        choice: Choice,
    ) -> Hooks:
        """Attached hooks: in XDP where that is the choice and the interface takes it, else in tc.

        `load(door)` gives the descriptor of the policy program to start with; the lanes have their pages. Raises:
        KernelError, NoXdp in front, and whatever `load` does; nothing is left attached then.
        """
        hooks = cls(folder, index, programs)
        hooks.lanes |= lanes
        try:
            # leaving first: it is what remembers the flows whose answers arrive
            if hooks.traits.front is None:
                hooks.attach_out(load("egress"))
            hooks.placement.choice = choice
            if choice.wants_xdp:
                hooks._try_xdp(load, choice)
            if hooks.placement.acceleration is Acceleration.NONE:
                if hooks.traits.front is not None:
                    raise NoXdp(hooks.placement)
                hooks._attach_tc(load)
            hooks._pin_and_free_xdp()
            hooks._replaced()
        except BaseException:
            hooks.detach()
            raise
        return hooks

    def _pin_and_free_xdp(self) -> None:
        """Pin; then take off the XDP link that an earlier agent left, where XDP is not what we use: until ours are
        pinned, it is what judges if this process dies."""
        is_left = self.placement.acceleration is not Acceleration.XDP
        left = xdplink.opened(self.folder / "xdp", self.index) if is_left else None
        try:
            self._pin()
            if left is not None:
                with suppress(KernelError):  # dead with its interface
                    bpf.detach(left)
        finally:
            if left is not None:
                os.close(left)

    def attach_out(self, program_fd: int) -> None:
        """Attach the root of what leaves, with the policy program to start with. Raises: KernelError."""
        with self._roots("tc_out") as roots:
            self._fill_slot(roots, Direction.EGRESS, program_fd)
            self._to_tc(roots.program_fd("tc_out"), bpf.Hook.EGRESS)
        if self.placement.acceleration is not Acceleration.NONE:
            self._pin()

    def move(self, wanted: Acceleration, load: Callable[[str], int], choice: Choice) -> bool:
        """Have arriving packets judged at the other hook, if it can be had; whether that is so now.

        Both hooks judge for a moment, and no packet meets none. Raises: KernelError; the hook before goes on.
        """
        kept = Hooks(self.folder, self.index, self._programs)
        for name in ("slot", "xdp", "tc"):
            if name in self._fds:
                kept._fds[name] = self._fds.pop(name)
        before, self.placement.acceleration = (
            (self.placement.acceleration, self.placement.is_generic),
            Acceleration.NONE,
        )
        try:
            if wanted is Acceleration.XDP:
                self._try_xdp(load, choice)
            else:
                self._attach_tc(load)
        except BaseException:
            self._return(kept, *before)
            raise
        if self.placement.acceleration is Acceleration.NONE:
            self._return(kept, *before)
            return False
        try:
            self._pin()  # first: an agent that dies here leaves a hook that judges
        finally:
            for name in ("xdp", "tc"):
                self._roots_seen.pop(name, None)  # that was the other link's
                if name in kept._fds:
                    with suppress(KernelError):  # dead with its interface; else its last descriptor takes it off below
                        bpf.detach(kept._fds[name])
            kept.close()
        return True

    def _return(self, kept: Hooks, acceleration: Acceleration, is_generic: bool) -> None:
        self._drop("slot", "xdp", "tc")
        self._fds |= kept._fds
        self.placement.acceleration, self.placement.is_generic = acceleration, is_generic
        if not self.traits.has_tcx:  # XDP's pins may have come early, see `_attach_xdp`
            with suppress(KernelError):  # the next repair tries again
                self._pin()

    def _try_xdp(self, load: Callable[[str], int], choice: Choice) -> None:
        """Attach in XDP, natively if the interface takes it; else leave nothing behind but the obstacle."""
        self.placement.obstacle = None
        if not self._tried_xdp(load, choice, is_generic=False) and choice.may_be_generic:
            self._tried_xdp(load, choice, is_generic=True)

    def _tried_xdp(self, load: Callable[[str], int], choice: Choice, *, is_generic: bool) -> bool:
        try:
            self._attach_xdp(load, is_generic=is_generic)
        except KernelError as error:
            self._drop("slot", "xdp", "tc")
            self.placement.acceleration = Acceleration.NONE
            if error.code in (errno.EPERM, errno.ENOMEM, errno.ENODEV):
                raise
            if not is_generic:
                told = ethtool.read(choice.interface.name)
                is_occupied = xdplink.is_occupied(self.index)
                self.placement.obstacle = obstacle(error.code, error.detail, choice, told, is_occupied=is_occupied)
            return False
        return True

    def _attach_xdp(self, load: Callable[[str], int], *, is_generic: bool) -> None:
        with self._roots("xdp_root") as roots:
            self._fill_slot(roots, Direction.INGRESS, load(self.traits.xdp_door))
            program_fd, pin = roots.program_fd("xdp_root"), self.folder / "xdp"
            self._fds["xdp"] = xdplink.attach(pin, program_fd, self.index, is_generic=is_generic)
        if not self.traits.has_tcx:
            # A filter judges until the next line, whoever lives; after it a link that nobody has pinned would be alone.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("xdp", "slot"):
                bpf.pin_over(self._fds[name], self.folder / name)
        with self._roots(self.traits.behind_xdp) as roots:
            self.placement.acceleration = Acceleration.XDP
            self._to_tc(roots.program_fd(self.traits.behind_xdp), bpf.Hook.INGRESS)
        self.placement.is_generic = xdplink.runs_generically(self.index)

    def _attach_tc(self, load: Callable[[str], int]) -> None:
        with self._roots("tc_root") as roots:
            self._fill_slot(roots, Direction.INGRESS, load("tc"))
            self._to_tc(roots.program_fd("tc_root"), bpf.Hook.INGRESS)
        self.placement.acceleration, self.placement.is_generic = Acceleration.TC, False

    def _to_tc(self, program_fd: int, hook: bpf.Hook) -> None:
        if self.traits.has_tcx:
            self._fds[_LINKS[hook]] = bpf.attach_tcx(program_fd, self.index, hook)
        else:
            self._made_clsact |= bpf.create_clsact(self.index)
            bpf.attach_filter(self._filter(hook), program_fd, replace=True)

    def _filter(self, hook: bpf.Hook) -> bpf.Filter:
        return bpf.Filter(ifindex=self.index, hook=hook, priority=TC_PRIORITY, handle=TC_HANDLE)

    def _roots(self, program: str) -> bpf.ObjectFile:
        """The object with one of its programs loaded; the slot it uses is ours if there is one already."""
        roots = bpf.ObjectFile(OBJECTS / "root.bpf.o")
        try:
            for name in roots.program_names:
                roots.set_autoload(name, name == program)
            slot = "out_slot" if program == "tc_out" else "slot"
            if slot in self._fds:
                roots.reuse_map("slot", self._fds[slot])
            if program == "xdp_root" and self.traits.has_frags:
                roots.set_program_flags(program, bpf.XDP_HAS_FRAGS)
            roots.write_rodata("mark_bit", self.traits.mark_bit.to_bytes(4, "little"))
            if (front := self.traits.front) is not None:
                roots.write_rodata("front_mask", front.mask.to_bytes(4, "little"))
                roots.write_rodata("front_marks", b"".join(mark.to_bytes(4, "little") for mark in front.told))
            door = self.traits.xdp_door if program == "xdp_root" else _ROOT_DOORS.get(program)
            if door is None:
                roots.leave_out("scratch")
            else:
                roots.reuse_map("scratch", self._programs.maps.fd(f"scratch_{door}"))
                lane = self.lanes[Direction.EGRESS if door == "egress" else Direction.INGRESS]
                roots.write_rodata("lane", lane.to_bytes(4, "little"))
            roots.load()
        except BaseException:
            roots.close()
            raise
        return roots

    def _fill_slot(self, roots: bpf.ObjectFile, direction: Direction, program_fd: int) -> None:
        if SLOTS[direction] not in self._fds:
            self._fds[SLOTS[direction]] = os.dup(roots.map_fd("slot"))
        self.install(direction, program_fd)

    def _pin(self) -> None:
        """Have our pins in the folder and no others. Whenever that is broken off, links that judge are pinned."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = self._wanted_pins()
        for name, fd in wanted.items():
            bpf.pin_over(fd, self.folder / name)
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _wanted_pins(self) -> dict[str, int]:
        """Names and descriptors; see the module."""
        numbers = {f"{_LANE_PINS[to]}{lane}": self._fds.get(SLOTS[to], -1) for to, lane in self.lanes.items()}
        own = {name: self._fds[name] for name in _PIN_ORDER if name in self._fds}
        if self.traits.front is not None:
            numbers[f"{_MARKS}{self.traits.front.mask:08x}"] = self._fds.get("slot", -1)
        if self._made_clsact:
            numbers[_CLSACT] = self._fds.get("slot", -1)
        return {**own, **{name: fd for name, fd in numbers.items() if fd >= 0}}

    # ---- taken over

    @classmethod
    def adopt(cls, folder: Path, index: int, programs: Programs) -> Hooks | None:
        """The hooks that an earlier agent left on this interface; None if they are not whole or not on it."""
        hooks = cls(folder, index, programs)
        try:
            for name in _PIN_ORDER:
                if (folder / name).exists():
                    hooks._fds[name] = bpf.open_pin(folder / name)
            hooks._read_lanes()
            hooks.placement.acceleration = Acceleration.XDP if "xdp" in hooks._fds else Acceleration.TC
            hooks.placement.is_generic = "xdp" in hooks._fds and xdplink.runs_generically(index)
            missing = set(hooks.missing())
            if "out" in missing or not hooks.installed_program(Direction.EGRESS):
                hooks._drop("out", "out_slot")  # an older version had none; `enforce` attaches it
                missing.discard("out")
            is_whole = not missing and hooks.installed_program(Direction.INGRESS) and hooks._knows_lanes()
            if is_whole and (hooks.traits.front is None or hooks._fits_front(hooks.traits.front)):
                return hooks
        except KernelError:
            pass
        hooks.close()
        return None

    def _fits_front(self, front: FrontMarks) -> bool:
        """Whether what is there is a front, and gives these marks. (No other driver's pins are in such a folder.)"""
        return "xdp" in self._fds and (self.folder / f"{_MARKS}{front.mask:08x}").exists()

    @property
    def has_out(self) -> bool:
        """Whether what leaves is policed."""
        return "out_slot" in self._fds

    def _read_lanes(self) -> None:
        """The lanes that the names of pins say, of pins of the slots that we have: there may be others from before."""
        for direction, start in _LANE_PINS.items():
            if SLOTS[direction] not in self._fds:
                continue
            slot = self._fds[SLOTS[direction]]
            for path in self.folder.glob(f"{start}*"):
                number = path.name.removeprefix(start)
                if number.isdigit() and int(number) < LANES:
                    with bpf.borrowed(bpf.open_pin(path)) as fd:
                        if bpf.map_info(fd).id == bpf.map_info(slot).id:
                            self.lanes[direction] = int(number)

    def _knows_lanes(self) -> bool:
        """Whether no program in a slot goes by a lane that no pin tells. One of a version without lanes does not."""
        for direction, slot in SLOTS.items():
            program = self.installed_program(direction)
            if slot not in self._fds or not program or direction in self.lanes:
                continue
            with bpf.borrowed(bpf.program_by_id(program)) as fd:
                for map_id in bpf.program_info(fd).map_ids:
                    with bpf.borrowed(bpf.map_by_id(map_id)) as used:
                        if bpf.map_info(used).name == "lanes":
                            return False
        return True

    def renew(self) -> None:
        """Put this version's roots in place of another version's, on the same slots: no packet passes between. Those
        of a version without lanes get some; what is in the slots goes on until other programs are installed there."""
        for direction in Direction:
            if direction in self.lanes:
                self._programs.lanes.keep(self.lanes[direction])
            elif SLOTS[direction] in self._fds:
                self.lanes[direction] = self._programs.lanes.new()
        for name, program in (self._root_names() | self._filter_names()).items():
            with self._roots(program) as roots:
                fd = roots.program_fd(program)
                with bpf.borrowed(bpf.program_by_id(self._root(name))) as old:
                    before, wanted = bpf.program_info(old), bpf.program_info(fd)
                    shared = {bpf.map_info(roots.map_fd("scratch")).id} if program in _ROOT_DOORS else set()
                    is_same = before.tag == wanted.tag and shared <= set(before.map_ids)
                if not is_same and name in self._fds:
                    bpf.link_update(self._fds[name], fd)
                elif not is_same:
                    bpf.attach_filter(self._filter(_HOOKS[name]), fd, replace=True)
        self._pin_gone()
        self._replaced()

    def _root_names(self) -> dict[str, str]:
        """Link -> the root it runs, for the links there are."""
        wanted = {"xdp": "xdp_root", "tc": self._tc_program, "out": "tc_out"}
        return {name: program for name, program in wanted.items() if name in self._fds}

    def _filter_names(self) -> dict[str, str]:
        """The same for the clsact filters there are, which have no link."""
        if self.traits.has_tcx:
            return {}
        return {"tc": self._tc_program} | ({"out": "tc_out"} if self.has_out else {})

    def _root(self, name: str) -> int:
        """Id of the root that a link or filter runs; 0 where there is none."""
        if name in self._fds:
            return bpf.link_info(self._fds[name]).program_id
        return bpf.query_filter(self._filter(_HOOKS[name])) or 0

    @property
    def _tc_program(self) -> str:
        return self.traits.behind_xdp if self.placement.acceleration is Acceleration.XDP else "tc_root"

    # ---- used

    def door(self, direction: Direction) -> str:
        """Which policy program belongs there."""
        if direction is Direction.EGRESS:
            return "egress"
        return self.traits.xdp_door if self.placement.acceleration is Acceleration.XDP else "tc"

    def install(self, direction: Direction, program_fd: int) -> None:
        """Let every packet from now on meet this policy program."""
        bpf.set_program(self._fds[SLOTS[direction]], 0, program_fd)

    def installed_program(self, direction: Direction) -> int:
        """Id of the policy program in the slot; 0 if it is empty or not there."""
        slot = self._fds.get(SLOTS[direction])
        found = bpf.lookup(slot, _KEY, 4) if slot is not None else None
        return int.from_bytes(found, "little") if found else 0

    def attached_program(self) -> tuple[int, str]:
        """Id and name of the root that the interface runs."""
        if "xdp" in self._fds:
            program_id, name = bpf.link_info(self._fds["xdp"]).program_id, "xdp_root"
        elif "tc" in self._fds:
            program_id, name = bpf.link_info(self._fds["tc"]).program_id, "tc_root"
        else:
            program_id, name = bpf.query_filter(self._filter(bpf.Hook.INGRESS)) or 0, "tc_root"
        return program_id, name

    def missing(self) -> tuple[str, ...]:
        """Hooks that others took away."""
        links: list[str] = [name for name in ("xdp", "tc", "out") if name in self._fds]
        gone = [name for name in links if bpf.link_info(self._fds[name]).ifindex != self.index]
        for hook, name in _LINKS.items():
            if name in links or (hook is bpf.Hook.EGRESS and not self.has_out):
                continue
            if self.traits.has_tcx or bpf.query_filter(self._filter(hook)) is None:
                gone.append(name)
        return tuple(gone)

    def _replaced(self) -> tuple[str, ...]:
        """Links that others gave another program since we last looked."""
        running = {name: bpf.link_info(self._fds[name]).program_id for name in self._root_names()}
        seen, self._roots_seen = self._roots_seen, running
        return tuple(name for name, program in running.items() if seen.get(name, program) != program)

    def repair(self) -> tuple[str, ...]:
        """Attach and pin again what is gone or replaced; what was. Raises: KernelError; what is left attached stays."""
        repaired = []
        for name in self._replaced():
            self._roots_seen.pop(name)
            program = self._root_names()[name]
            with self._roots(program) as roots:
                bpf.link_update(self._fds[name], roots.program_fd(program))
            repaired.append(f"{program} on interface {self.index}, which ran another program")
        for name in self.missing():
            (self.folder / name).unlink(missing_ok=True)
            program = {"xdp": "xdp_root", "tc": self._tc_program, "out": "tc_out"}[name]
            with self._roots(program) as roots:
                if name == "xdp":
                    pin, fd = self.folder / "xdp", roots.program_fd(program)
                    made = xdplink.attach(pin, fd, self.index, is_generic=self.placement.is_generic)
                    self._drop("xdp")
                    self._fds["xdp"] = made
                else:
                    self._drop(name)
                    hook = bpf.Hook.EGRESS if name == "out" else bpf.Hook.INGRESS
                    self._to_tc(roots.program_fd(program), hook)
            self._roots_seen.pop(name, None)
            repaired.append(f"{program} on interface {self.index}")
        if self._pin_gone():
            repaired.append(f"pins of interface {self.index}")
        return tuple(repaired)

    def _pin_gone(self) -> bool:
        """Pin everything again where something is not pinned; whether that was so."""
        is_gone = any(not (self.folder / name).exists() for name in self._wanted_pins())
        if is_gone:
            self._pin()
        return is_gone

    # ---- gone

    def detach(self) -> None:
        """Take everything of ours off the interface."""
        for name in ("xdp", "tc", "out"):
            if name in self._fds:
                with suppress(KernelError):  # dead with its interface
                    bpf.detach(self._fds[name])
        for hook, name in _LINKS.items():
            if name not in self._fds:
                with suppress(KernelError):
                    bpf.detach_filter(self._filter(hook))
        if self._made_clsact and (interface := interface_name(self.index)):
            with suppress(KernelError):  # an empty one is in nobody's way
                if not tc.has_filters(interface):
                    bpf.delete_clsact(self.index)
        remove_folder(self.folder)
        self.close()

    def _drop(self, *names: str) -> None:
        """Let go of these descriptors; what is not pinned goes with them."""
        for name in names:
            if name in self._fds:
                os.close(self._fds.pop(name))

    def close(self) -> None:
        """Let go of the descriptors; what is pinned stays attached."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def is_dead(folder: Path) -> bool:
    """Whether the links that are pinned in an interface's folder have lost their interface."""
    try:
        links = [bpf.open_pin(folder / name) for name in ("xdp", "tc", "out") if (folder / name).exists()]
    except KernelError:
        return False
    try:
        return bool(links) and all(bpf.link_info(link).ifindex == 0 for link in links)
    finally:
        for link in links:
            os.close(link)


def remove_folder(folder: Path) -> None:
    """Unpin what is in an interface's folder, and remove it."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
