"""One interface of the driver: its hooks, the newest generation of each direction, and exact counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tortie.dataplane.driver import Acceleration, InstalledVerdict, LogEvent
from tortie.dataplane.ebpf.classifiers import Classifiers, Counts, RuleIndex
from tortie.dataplane.ebpf.generation import Generation, Plan
from tortie.dataplane.ebpf.hooks import NO_XDP_WANTED, Hooks, Traits
from tortie.dataplane.ebpf.installed import Installed
from tortie.dataplane.ebpf.lane import Lane, Running
from tortie.kernel import bpf
from tortie.model.packet import Direction, Packet

_DIRECTIONS = {"xdp": Direction.INGRESS, "tc": Direction.INGRESS, "egress": Direction.EGRESS}
Plans = Mapping[Direction, tuple[Plan, RuleIndex]]


class InterfacePlane:
    """See the module."""

    def __init__(self, folder: Path, traits: Traits) -> None:
        self._folder, self._traits = folder, traits
        self.hooks: Hooks | None = None
        self.lanes = {direction: Lane() for direction in Direction}

    def adopt(self, index: int) -> bool:
        """Take over what an earlier agent left attached, as it is; whether there is anything."""
        if self.hooks is None:
            self.hooks = Hooks.adopt(self._folder, index, self._traits)
        return self.hooks is not None

    def enforce(self, index: int, plans: Plans, *, may_use_xdp: bool = True) -> bool:
        """Make the interface enforce the plans; whether anything changed. Raises: KernelError, Unsupported; the state
        before stays."""
        if not self.adopt(index):
            self._attach(index, plans, may_use_xdp=may_use_xdp)
            return True
        assert self.hooks is not None
        hooks = self.hooks
        has_moved = self._move(hooks, plans, may_use_xdp=may_use_xdp)
        wanted = {
            hooks.door(direction): one for direction, one in plans.items() if not self._keeps(hooks, direction, *one)
        }
        made = self._make_all(wanted)
        try:
            for door in tuple(made):
                direction, running = _DIRECTIONS[door], made[door]
                if direction is Direction.EGRESS and not hooks.has_out:
                    hooks.attach_out(running.installed.fd)
                else:
                    hooks.install(direction, running.installed.fd)
                self.lanes[direction].replace(made.pop(door))
        finally:
            for running in made.values():
                running.close()
        return has_moved or bool(wanted)

    def _move(self, hooks: Hooks, plans: Plans, *, may_use_xdp: bool) -> bool:
        """Go to the hook that is wanted, or that is free again; whether that was so."""
        if hooks.acceleration is Acceleration.XDP:
            wanted = None if may_use_xdp else Acceleration.TC
        else:
            is_free = hooks.reason == NO_XDP_WANTED or self.could_have_xdp()
            wanted = Acceleration.XDP if may_use_xdp and is_free else None
            if not may_use_xdp:
                hooks.reason = NO_XDP_WANTED
        if wanted is None:
            return False
        made: list[Running] = []

        def load(door: str) -> int:
            made.append(self._make(door, *plans[_DIRECTIONS[door]]))
            return made[-1].installed.fd

        has_moved = False
        try:
            has_moved = hooks.move(wanted, load)
        finally:
            if not has_moved:
                for running in made:
                    running.close()
        if has_moved:
            self.lanes[Direction.INGRESS].replace(made[-1])
        return has_moved

    def place(self, index: int, folder: Path) -> None:
        """Be on the interface of that index, with pins in that folder; one that came again has another index."""
        if self.hooks is not None and self.hooks.index != index:
            self.release()
        self._folder = folder

    def move(self, folder: Path) -> None:
        """Have the pins in another folder from the next repair on: the bpffs they were in is gone."""
        self._folder = folder
        if self.hooks is not None:
            self.hooks.folder = folder

    def _attach(self, index: int, plans: Plans, *, may_use_xdp: bool) -> None:
        doors = ("egress", "xdp" if may_use_xdp else "tc")
        made = self._make_all({door: plans[_DIRECTIONS[door]] for door in doors})

        def load(door: str) -> int:
            if door not in made:
                made[door] = self._make(door, *plans[_DIRECTIONS[door]])
            return made[door].installed.fd

        try:
            self.hooks = Hooks.attach(self._folder, index, self._traits, load, may_use_xdp=may_use_xdp)
        except BaseException:
            for running in made.values():
                running.close()
            raise
        for direction, lane in self.lanes.items():
            lane.replace(made.pop(self.hooks.door(direction)))
        for running in made.values():
            running.close()

    def _make_all(self, wanted: Mapping[str, tuple[Plan, RuleIndex]]) -> dict[str, Running]:
        """Generations by their door, loaded side by side: the verifier takes most of the time, outside of Python."""
        if not wanted:
            return {}
        with ThreadPoolExecutor(len(wanted)) as pool:
            futures = {door: pool.submit(self._make, door, *one) for door, one in wanted.items()}
        errors = [error for future in futures.values() if (error := future.exception()) is not None]
        if errors:
            for future in futures.values():
                if future.exception() is None:
                    future.result().close()
            raise errors[0]
        return {door: future.result() for door, future in futures.items()}

    def _make(self, door: str, plan: Plan, index: RuleIndex) -> Running:
        generation = Generation(plan, door, mark_bit=self._traits.mark_bit, has_frags=self._traits.has_frags)
        try:
            installed = Installed.open(bpf.program_info(generation.program_fd).id, door)
        except BaseException:
            generation.close()
            raise
        return Running(plan, index, installed, generation.classifiers, generation, generation.seal)

    def _keeps(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> bool:
        """Whether the program in the slot is what the plan asks for, be it ours or an earlier agent's."""
        lane = self.lanes[direction]
        if lane.running is None:
            lane.running = self._take_over(hooks, direction, plan, index)
            return lane.running is not None
        if lane.running.plan.digest != plan.digest or lane.running.is_outdated or lane.running.is_tampered:
            return False
        lane.running.index = index
        return True

    def _take_over(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> Running | None:
        program = hooks.installed_program(direction)
        if not program:
            return None
        installed = Installed.open(program, hooks.door(direction))
        try:
            if installed.digest() == plan.digest and "counters" in installed.maps:
                classifiers = Classifiers(plan.stages, plan.members)
                if installed.holds(classifiers):
                    seal = installed.seal(classifiers)
                    classifiers.settle()
                    return Running(plan, index, installed, classifiers, None, seal)
                classifiers.close()
        except BaseException:
            installed.close()
            raise
        installed.close()
        return None

    def repair(self) -> tuple[str, ...]:
        """Put back what others removed; what that was. Raises: KernelError."""
        if self.hooks is None:
            return ()
        repaired = list(self.hooks.repair())
        for direction, lane in self.lanes.items():
            running = lane.running
            if running is None:
                continue
            if self.hooks.installed_program(direction) != bpf.program_info(running.installed.fd).id:
                self.hooks.install(direction, running.installed.fd)
                repaired.append(f"{direction.value} policy program of interface {self.hooks.index}")
            if broken := running.check():
                repaired.append(f"{direction.value} tables of interface {self.hooks.index} ({', '.join(broken)})")
        return tuple(repaired)

    @property
    def is_tampered(self) -> bool:
        """Whether `repair` found tables that only a new generation puts right."""
        return any(lane.running is not None and lane.running.is_tampered for lane in self.lanes.values())

    def could_have_xdp(self) -> bool:
        """Whether another's XDP program made us use tc, and is gone now."""
        if self.hooks is None or self.hooks.acceleration is Acceleration.XDP:
            return False
        return "is there; remove it" in self.hooks.reason and bpf.xdp_query(self.hooks.index)[0] == 0

    def counts(self, direction: Direction) -> Counts:
        """Exact totals of one direction."""
        return self.lanes[direction].counts()

    def settle(self) -> None:
        """Let go of replaced generations that no packet can be in any more."""
        for lane in self.lanes.values():
            lane.settle()

    def probe(self, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """The installed program's verdict on a packet."""
        running = self.lanes[direction].running
        return running.ask(packet, self.hooks.index) if running is not None and self.hooks is not None else None

    def log_events(self, interface: str) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        lanes = (lane.running for lane in self.lanes.values())
        return [event for running in lanes if running is not None for event in running.log_events(interface)]

    @property
    def backend(self) -> str:
        """The classifiers' back ends, for those who look closely."""
        running = self.lanes[Direction.INGRESS].running
        return running.classifiers.backend if running is not None else ""

    def release(self) -> None:
        """Take everything of ours off the interface."""
        if self.hooks is not None:
            self.hooks.detach()
            self.hooks = None
        for lane in self.lanes.values():
            lane.close()
