"""One interface of the driver: its hooks, the newest generation of each direction, and exact counts."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tortie.dataplane.driver import Acceleration, InstalledVerdict
from tortie.dataplane.ebpf.choice import Choice
from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex
from tortie.dataplane.ebpf.generation import Plan
from tortie.dataplane.ebpf.hooks import Hooks
from tortie.dataplane.ebpf.lane import Lane, Running
from tortie.dataplane.ebpf.pages import Pages
from tortie.dataplane.ebpf.programs import Programs
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.packet import Direction, Packet

_DIRECTIONS = {"xdp": Direction.INGRESS, "tc": Direction.INGRESS, "egress": Direction.EGRESS}
Plans = Mapping[Direction, tuple[Plan, RuleIndex]]


class InterfacePlane:
    """See the module."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self._folder, self._programs = folder, programs
        self.hooks: Hooks | None = None
        self.lanes = {direction: Lane() for direction in Direction}

    def adopt(self, index: int) -> bool:
        """Take over what an earlier agent left attached, as it is; whether there is anything."""
        if self.hooks is None:
            hooks = Hooks.adopt(self._folder, index, self._programs)
            try:
                if hooks is not None:
                    hooks.renew()
            except KernelError:  # its agent died between two hooks: what is there judges until ours are attached
                assert hooks is not None
                hooks.close()
                hooks = None
            self.hooks = hooks
        return self.hooks is not None

    def enforce(self, index: int, plans: Plans, choice: Choice | None) -> bool:
        """Make the interface enforce the plans; whether anything changed. Raises: KernelError, Unsupported; the state
        before stays. `choice` None: where it does so now."""
        if not self.adopt(index):
            assert choice is not None
            self._attach(index, plans, choice)
            return True
        assert self.hooks is not None
        hooks = self.hooks
        wanted = {direction: one for direction, one in plans.items() if not self._keeps(hooks, direction, *one)}
        made = _make_all(wanted)
        try:
            has_moved = choice is not None and self._move(hooks, made, choice)
            self._flip(hooks, made)
            for direction in tuple(made):
                self.lanes[direction].replace(made.pop(direction))
        finally:
            for running in made.values():
                running.close()
        has_renewed = [
            self._install(hooks, direction, lane.running.pages.size)
            for direction, lane in self.lanes.items()
            if lane.running is not None
        ]
        return has_moved or bool(wanted) or any(has_renewed)

    def _flip(self, hooks: Hooks, made: Mapping[Direction, Running]) -> None:
        """Have packets find the new pages, all at once, and no others when this returns."""
        for direction in made.keys() - hooks.lanes.keys():  # an older version had no hook for what leaves
            hooks.lanes[direction] = self._programs.new_lane()
        sizes = {direction: running.pages.size for direction, running in made.items()}
        self._programs.load((hooks.door(direction), size) for direction, size in sizes.items())
        self._programs.put({hooks.lanes[direction]: running.pages for direction, running in made.items()})
        for direction, size in sizes.items():
            before = self.lanes[direction].running
            if before is not None and before.pages.size == size:
                continue
            if direction is Direction.EGRESS and not hooks.has_out:
                hooks.attach_out(self._programs.program("egress", size))
            else:
                self._install(hooks, direction, size)
            self._programs.keep_only(hooks.lanes[direction], made[direction].pages)

    def _install(self, hooks: Hooks, direction: Direction, size: int) -> bool:
        """Have the program for pages of that size in the slot; whether another one was there."""
        program = self._programs.program(hooks.door(direction), size)
        if hooks.installed_program(direction) == bpf.program_info(program).id:
            return False
        hooks.install(direction, program)
        return True

    def _move(self, hooks: Hooks, made: Mapping[Direction, Running], choice: Choice) -> bool:
        """Go to the hook that is right; whether it is another one than before."""
        placement = hooks.placement
        before, placement.choice = (placement.acceleration, placement.is_generic), choice
        ways = placement.ways()
        if not ways:
            return False
        running = self.lanes[Direction.INGRESS].running or made[Direction.INGRESS]
        if self.lanes[Direction.INGRESS].running is None:  # nobody knows what is in the lane: it may be nothing
            self._programs.put({hooks.lanes[Direction.INGRESS]: running.pages})
        for wanted in ways:
            hooks.move(wanted, lambda door: self._programs.program(door, running.pages.size), choice)
        return before != (placement.acceleration, placement.is_generic)

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

    def _attach(self, index: int, plans: Plans, choice: Choice) -> None:
        made, lanes = _make_all(plans), dict[Direction, int]()
        try:
            for direction in made:
                lanes[direction] = self._programs.new_lane()
            doors = ("egress", "xdp" if choice.wants_xdp else "tc")
            self._programs.load((door, made[_DIRECTIONS[door]].pages.size) for door in doors)
            self._programs.put({lanes[direction]: running.pages for direction, running in made.items()})

            def load(door: str) -> int:
                return self._programs.program(door, made[_DIRECTIONS[door]].pages.size)

            self.hooks = Hooks.attach(self._folder, index, self._programs, lanes, load, choice)
        except BaseException:
            for running in made.values():
                running.close()
            for number in lanes.values():
                self._programs.free_lane(number)
            raise
        for direction, lane in self.lanes.items():
            lane.replace(made[direction])

    def _keeps(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> bool:
        """Whether what packets find is what the plan asks for, be it ours or an earlier agent's."""
        lane = self.lanes[direction]
        if lane.running is None:
            lane.running = self._take_over(hooks, direction, plan, index)
            return lane.running is not None
        if lane.running.plan.digest != plan.digest or lane.running.is_outdated or lane.running.is_tampered:
            return False
        lane.running.index = index
        return True

    def _take_over(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> Running | None:
        lane = hooks.lanes.get(direction)
        size = self._programs.size_of(hooks.door(direction), hooks.installed_program(direction))
        found = self._programs.pages_in(lane, size) if lane is not None and size is not None else None
        return Running.taken_over(plan, index, Pages.of_id(found)) if found is not None else None

    def repair(self) -> tuple[str, ...]:
        """Put back what others removed; what that was. Raises: KernelError."""
        if self.hooks is None:
            return ()
        repaired = list(self._repair_hooks(self.hooks))
        for direction, lane in self.lanes.items():
            running = lane.running
            if running is None:
                continue
            number, pages = self.hooks.lanes[direction], running.pages
            if self._install(self.hooks, direction, pages.size):
                repaired.append(f"{direction.value} policy program of interface {self.hooks.index}")
            if self._programs.seen_in(number, pages.size) != pages.id:
                self._programs.put({number: pages})
                repaired.append(f"{direction.value} lane of interface {self.hooks.index}")
            if broken := running.check():
                repaired.append(f"{direction.value} tables of interface {self.hooks.index} ({', '.join(broken)})")
        return tuple(repaired)

    def _repair_hooks(self, hooks: Hooks) -> tuple[str, ...]:
        """What was put back. Where others took XDP off and sit there themselves, tc judges from now on."""
        try:
            return hooks.repair()
        except KernelError as error:
            running, choice = self.lanes[Direction.INGRESS].running, hooks.placement.choice
            is_gone = error.code == errno.ENODEV  # and so is everything that was on it: nothing is loaded for that
            if is_gone or "xdp" not in hooks.missing() or running is None or choice is None:
                raise
            for wanted in (Acceleration.TC, Acceleration.XDP):  # the second one is refused, and says why
                hooks.move(wanted, lambda door: self._programs.program(door, running.pages.size), choice)
            if hooks.placement.acceleration is Acceleration.NONE:
                raise error from None
        return (f"interface {hooks.index}, whose XDP program others removed: {hooks.placement.reason}",)

    @property
    def is_tampered(self) -> bool:
        """Whether `repair` found tables that only a new generation puts right."""
        return any(lane.running is not None and lane.running.is_tampered for lane in self.lanes.values())

    def could_have_xdp(self) -> bool:
        """Whether another's XDP program made us use tc, and is gone now."""
        return self.hooks is not None and self.hooks.placement.is_free_again

    def counts(self, direction: Direction) -> Counts:
        """Exact totals of one direction."""
        return self.lanes[direction].counts()

    def probe(self, direction: Direction, packet: Packet, rehearsal: Rehearsal) -> InstalledVerdict | None:
        """What is installed says of a packet."""
        running = self.lanes[direction].running
        if running is None or self.hooks is None:
            return None
        return running.ask(packet, self.hooks.door(direction), self.hooks.index, rehearsal)

    @property
    def backend(self) -> str:
        """The classifiers' back ends, for those who look closely."""
        running = self.lanes[Direction.INGRESS].running
        return running.classifiers.backend if running is not None else ""

    def close(self) -> None:
        """Let go of the descriptors; what is attached stays."""
        if self.hooks is not None:
            self.hooks.close()
            self.hooks = None
        for lane in self.lanes.values():
            lane.close()

    def release(self) -> None:
        """Take everything of ours off the interface."""
        if self.hooks is not None:
            lanes = self.hooks.lanes
            self.hooks.detach()
            self.hooks = None
            for number in lanes.values():
                self._programs.free_lane(number)
        for lane in self.lanes.values():
            lane.close()


def _make_all(wanted: Plans) -> dict[Direction, Running]:
    """Generations by their direction, made side by side: their tables are compiled and filled outside of Python."""
    if not wanted:
        return {}
    with ThreadPoolExecutor(len(wanted)) as pool:
        futures = {direction: pool.submit(Running.made, *one) for direction, one in wanted.items()}
    errors = [error for future in futures.values() if (error := future.exception()) is not None]
    if errors:
        for future in futures.values():
            if future.exception() is None:
                future.result().close()
        raise errors[0]
    return {direction: future.result() for direction, future in futures.items()}
