"""One interface of the driver: its hooks, the newest generation of each direction, and exact counts."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tortie.dataplane.driver import Acceleration, InstalledVerdict
from tortie.dataplane.ebpf.choice import Choice
from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex
from tortie.dataplane.ebpf.counters import Run
from tortie.dataplane.ebpf.generation import Generation, Plan, parity_of
from tortie.dataplane.ebpf.generations import Generations
from tortie.dataplane.ebpf.hooks import Hooks
from tortie.dataplane.ebpf.lane import Lane, Running
from tortie.dataplane.ebpf.pages import Pages
from tortie.dataplane.ebpf.programs import Programs
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.ebpf.shared import FRONT
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.packet import Direction, Packet

_DIRECTIONS = {
    "xdp": Direction.INGRESS,
    "tc": Direction.INGRESS,
    FRONT: Direction.INGRESS,
    "egress": Direction.EGRESS,
}
Plans = Mapping[Direction, tuple[Plan, RuleIndex]]


@dataclass(slots=True, kw_only=True)
class Change:
    """What an interface is going to enforce: new generations of some directions, the doors before them, the lanes they
    are put into, those of them that were given for this, and words to count in."""

    index: int
    choice: Choice | None
    is_new: bool
    made: dict[Direction, Running]
    lanes: dict[Direction, int]
    doors: dict[Direction, str] = field(default_factory=dict)
    new_lanes: dict[Direction, int] = field(default_factory=dict)
    runs: dict[Direction, Run] = field(default_factory=dict)
    is_put: bool = False
    """Whether lanes were told to count there."""

    def give_up(self, programs: Programs) -> None:
        """Let go of what was prepared. Words that a lane was told to count in stay its own: packets may be there."""
        for run in () if self.is_put else self.runs.values():
            programs.lanes.counters.release(run)
        self.runs.clear()
        for running in self.made.values():
            running.generation.close()
        self.made.clear()
        for number in self.new_lanes.values():
            programs.lanes.free(number)
        self.new_lanes.clear()


class InterfacePlane:
    """See the module."""

    def __init__(self, folder: Path, programs: Programs, generations: Generations) -> None:
        self._folder, self._programs, self._generations = folder, programs, generations
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
        change = self.prepare(index, plans, choice)
        try:
            put(self._programs, [change])
        except BaseException:
            change.give_up(self._programs)
            raise
        return self.commit(change)

    def prepare(self, index: int, plans: Plans, choice: Choice | None, *, keeps_same: bool = True) -> Change:
        """What has to change for the interface to enforce the plans, which no packet finds yet: `put` and then `commit`
        have them find it. `keeps_same`: nothing, where what packets find is what the plan asks for.

        Raises: KernelError, Unsupported.
        """
        wanted, lanes = plans, dict[Direction, int]()
        if self.adopt(index):
            assert self.hooks is not None
            hooks = self.hooks
            if keeps_same:
                wanted = {direction: one for direction, one in plans.items() if not self._keeps(hooks, direction, *one)}
            lanes = {direction: hooks.lanes[direction] for direction in wanted.keys() & hooks.lanes.keys()}
        change = Change(index=index, choice=choice, made=self._make_all(wanted), lanes=lanes, is_new=self.hooks is None)
        try:
            for direction, running in change.made.items():
                if direction not in lanes:  # nor had an older version a hook for what leaves
                    lanes[direction] = change.new_lanes[direction] = self._programs.lanes.new()
                change.runs[direction] = self._programs.lanes.counters.take(running.generation.stride)
            change.doors = {direction: self._door(direction, choice) for direction in change.made}
        except BaseException:
            change.give_up(self._programs)
            raise
        return change

    def _door(self, direction: Direction, choice: Choice | None) -> str:
        if self.hooks is not None:
            return self.hooks.door(direction)
        assert choice is not None
        if direction is Direction.EGRESS:
            return "egress"
        return self._programs.traits.xdp_door if choice.wants_xdp else "tc"

    def commit(self, change: Change) -> bool:
        """Have packets find what was put, and nothing else when this returns; whether anything changed. Raises:
        KernelError; what is attached stays so."""
        try:
            if change.is_new:
                self._attach(change)
                return True
            return self._go_on(change)
        except BaseException:
            change.give_up(self._programs)
            raise

    def _go_on(self, change: Change) -> bool:
        assert self.hooks is not None
        hooks, has_changed = self.hooks, bool(change.made)
        for direction, number in change.new_lanes.items():
            hooks.lanes[direction] = number
        change.new_lanes.clear()
        has_moved = change.choice is not None and self._move(hooks, change.made, change.choice)
        for direction, running in change.made.items():
            self._change_size(hooks, direction, running.generation.pages)
        self._begin(change)
        has_renewed = [
            self._install(hooks, direction, lane.running.generation.pages.size)
            for direction, lane in self.lanes.items()
            if lane.running is not None
        ]
        return has_moved or has_changed or any(has_renewed)

    def _begin(self, change: Change) -> None:
        """No packet finds what was before: its counts are final."""
        for direction in tuple(change.made):
            running = change.made.pop(direction)
            self.lanes[direction].begin(running, change.runs.pop(direction), self._programs.lanes.counters)
            self._programs.lanes.counters.end(change.lanes[direction], 1 - running.generation.parity)

    def _change_size(self, hooks: Hooks, direction: Direction, pages: Pages) -> None:
        """Have the program for pages of that size before them, and no others in the lane."""
        before = self.lanes[direction].running
        if before is not None and before.generation.pages.size == pages.size:
            return
        if direction is Direction.EGRESS and not hooks.has_out:
            hooks.attach_out(self._programs.program("egress", pages.size))
        else:
            self._install(hooks, direction, pages.size)
        self._programs.lanes.keep_only(hooks.lanes[direction], pages)

    def _make_all(self, wanted: Plans) -> dict[Direction, Running]:
        """Generations by their direction, made side by side: tables are compiled and filled outside of Python."""
        if not wanted:
            return {}
        made: dict[Direction, Running] = {}
        with ThreadPoolExecutor(len(wanted)) as pool:
            futures = {
                direction: pool.submit(self._generations.made, plan, self.lanes[direction].next_parity)
                for direction, (plan, _) in wanted.items()
            }
        errors = [error for future in futures.values() if (error := future.exception()) is not None]
        for direction, future in futures.items():
            if future.exception() is None:
                made[direction] = Running(future.result(), wanted[direction][1])
        if errors:
            for running in made.values():
                running.generation.close()
            raise errors[0]
        return made

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
        running = made.get(Direction.INGRESS) or self.lanes[Direction.INGRESS].running
        assert running is not None
        size = running.generation.pages.size
        for wanted in ways:
            hooks.move(wanted, lambda door: self._programs.program(door, size), choice)
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

    def _attach(self, change: Change) -> None:
        assert change.choice is not None
        sizes = {direction: running.generation.pages.size for direction, running in change.made.items()}

        def load(door: str) -> int:
            return self._programs.program(door, sizes[_DIRECTIONS[door]])

        self.hooks = Hooks.attach(self._folder, change.index, self._programs, change.new_lanes, load, change.choice)
        change.new_lanes.clear()
        self._begin(change)

    def _keeps(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> bool:
        """Whether what packets find is what the plan asks for, be it ours or an earlier agent's."""
        lane = self.lanes[direction]
        if lane.running is None:
            return self._take_over(hooks, direction, plan, index) is not None
        if lane.running.generation.plan.digest != plan.digest or not lane.running.generation.is_right:
            return False
        lane.running.index = index
        return True

    def _take_over(self, hooks: Hooks, direction: Direction, plan: Plan, index: RuleIndex) -> Running | None:
        """What an earlier agent put before packets, if it is what the plan asks for; its counters in any case."""
        lane = hooks.lanes.get(direction)
        size = self._programs.size_of(hooks.door(direction), hooks.installed_program(direction))
        found = self._programs.lanes.pages_in(lane, size) if lane is not None and size is not None else None
        if found is None or lane is None:
            return None
        pages = Pages.of_id(found)
        try:
            self.lanes[direction].adopt(parity_of(pages))
        finally:
            pages.close()
        generation = self._generations.taken_over(plan, found)
        if generation is None:
            return None
        run = self._programs.lanes.counters.of(lane, generation.parity)
        if run is None or not run.fits(generation.stride):  # others changed that: what is put anew counts elsewhere
            generation.close()
            return None
        self.lanes[direction].begin(Running(generation, index), run, self._programs.lanes.counters)
        return self.lanes[direction].running

    def repair(self) -> tuple[str, ...]:
        """Put back what others removed; what that was. Raises: KernelError."""
        if self.hooks is None:
            return ()
        repaired = list(self._repair_hooks(self.hooks))
        for direction, lane in self.lanes.items():
            running = lane.running
            if running is None:
                continue
            number, pages = self.hooks.lanes[direction], running.generation.pages
            if self._install(self.hooks, direction, pages.size):
                repaired.append(f"{direction.value} policy program of interface {self.hooks.index}")
            if self._programs.lanes.seen_in(number, pages.size) != pages.id:
                self._programs.lanes.put({number: pages})
                repaired.append(f"{direction.value} lane of interface {self.hooks.index}")
            if broken := running.generation.check():
                repaired.append(f"{direction.value} tables of interface {self.hooks.index} ({', '.join(broken)})")
        return tuple(repaired)

    def _repair_hooks(self, hooks: Hooks) -> tuple[str, ...]:
        """What was put back. Where others took XDP off and sit there themselves, tc judges from now on."""
        try:
            return hooks.repair()
        except KernelError as error:
            running, choice = self.lanes[Direction.INGRESS].running, hooks.placement.choice
            is_gone = error.code == errno.ENODEV  # and so is everything that was on it: nothing is loaded for that
            if (
                is_gone
                or hooks.traits.front is not None
                or "xdp" not in hooks.missing()
                or running is None
                or choice is None
            ):
                raise
            for wanted in (Acceleration.TC, Acceleration.XDP):  # the second one is refused, and says why
                hooks.move(wanted, lambda door: self._programs.program(door, running.generation.pages.size), choice)
            if hooks.placement.acceleration is Acceleration.NONE:
                raise error from None
        return (f"interface {hooks.index}, whose XDP program others removed: {hooks.placement.reason}",)

    @property
    def is_tampered(self) -> bool:
        """Whether `repair` found tables that only a new generation puts right."""
        return any(one.is_tampered for one in self.generations())

    def generations(self) -> Iterator[Generation]:
        """What packets find here."""
        return (lane.running.generation for lane in self.lanes.values() if lane.running is not None)

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
        return running.generation.classifiers.backend if running is not None else ""

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
                self._programs.lanes.free(number)
        for lane in self.lanes.values():
            lane.close()


def put(programs: Programs, changes: Sequence[Change]) -> None:
    """Have packets find what was prepared, all at once, and the kernel wait for all of it once. Raises: KernelError."""
    if not any(change.made for change in changes):
        return
    programs.load(
        (door, change.made[direction].generation.pages.size)
        for change in changes
        for direction, door in change.doors.items()
    )
    programs.lanes.counters.publish()
    for change in changes:
        for direction, run in change.runs.items():
            programs.lanes.counters.tell(change.lanes[direction], change.made[direction].generation.parity, run)
        change.is_put = True
    programs.lanes.put(
        {change.lanes[direction]: one.generation.pages for change in changes for direction, one in change.made.items()}
    )
