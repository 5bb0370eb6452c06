"""Untracked ingress in XDP, in front of a driver in netfilter's hooks: see `dataplane.front` for what that has to keep.

    prepare: what has to be done ─▶ make: tables of new policy ─▶ commit: packets find them; attached, or taken off
             or: members that change ─────────────────────────▶ commit: changed in the tables that packets find

Its pins are in folders of its own (`/run/tortie/front/<driver>`), laid out as the eBPF driver's, so that nobody takes
them for that one's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tortie.dataplane.driver import Acceleration, InterfaceStatus, LogEvent, Unsupported
from tortie.dataplane.ebpf.choice import Choice, choose
from tortie.dataplane.ebpf.folder import PinFolder, folder_in, left_in
from tortie.dataplane.ebpf.fronting import Cause, MadeOf, Refused, changed_alone, made_of, policies, unwanted
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.hooks import Hooks
from tortie.dataplane.ebpf.interface import Change, InterfacePlane
from tortie.dataplane.ebpf.placement import NoXdp, Placement
from tortie.dataplane.ebpf.plan import Planner
from tortie.dataplane.ebpf.planes import Planes
from tortie.dataplane.ebpf.programs import Programs, Traits
from tortie.dataplane.ebpf.telling import logged
from tortie.dataplane.ebpf.worked import Worked, put_each
from tortie.dataplane.front import Believed, FrontMarks
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.kernel import features
from tortie.kernel.errors import KernelError
from tortie.model.desired import EndpointState, SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.verdict import RuleRef
from tortie.model.xdp import XdpUse

log = logging.getLogger("tortie.dataplane.ebpf")
FOLDER = Path("/run/tortie/front")
"""A folder for each driver that has a front; bpffs is mounted there."""
_CHECK_EVERY = 6
"""Of the driver's checks, which come twice a second."""


class _Ground:
    """What all interfaces share. Raises: KernelError, where BPF or its file system cannot be had."""

    def __init__(self, bpffs: Path, marks: FrontMarks) -> None:
        found = features.probe()
        self.marks = marks
        self.traits = Traits(
            has_tcx=found.has("tcx"), has_frags=found.has("xdp-frags"), mark_bit=DEFAULT_MARK_BIT, front=marks
        )
        self.folder = PinFolder(bpffs, self.traits)
        self.planner = Planner()
        self.programs = Programs(self.traits, self.folder.host)
        self.planes = Planes(self.folder, self.programs)

    def repair(self) -> Iterator[str]:
        """Put back what interfaces share."""
        if self.folder.renew():
            self.planes.renew_pins()
            self.programs.maps.folder = self.folder.host
            yield "bpffs of XDP in front"
        if self.programs.repair():
            yield "pins of XDP programs in front"
        if self.programs.lanes.repair():
            yield "counters of XDP in front"


@dataclass(slots=True)
class _Asked:
    """What `prepare` was asked for, and what is not done before `commit`."""

    states: Mapping[str, EndpointState]
    sets: Mapping[str, IPSet]
    failsafes: Failsafes
    member_change: tuple[str, SetChange] | None
    """The one set whose members change in place."""
    in_place: dict[str, MadeOf] = field(default_factory=dict)
    """By interface: what its tables are made of when that is done."""
    anew: dict[str, tuple[Choice, Cause]] = field(default_factory=dict)
    """By interface that gets other tables, which are not made yet: how it is attached, what the attempt depends on."""


class XdpFront:
    """See the module, and the protocol `Front`. `lacks`: why this host can have no XDP, asked when it is first wanted:
    nothing is made before. What was said then holds until the agent starts anew."""

    def __init__(self, driver: str, lacks: Callable[[], Sequence[str]], folder: Path = FOLDER) -> None:
        self._bpffs, self._lacks = folder / driver, lacks
        self._ground: _Ground | None = None
        self._problem = ""
        self._is_paused = False
        self._may_be_left = True
        self._calls = 0
        """Of `check`."""
        self._refused: dict[str, Refused] = {}
        self._made_of: dict[str, MadeOf] = {}
        """What the tables that packets find were made of."""
        self._asked: _Asked | None = None
        self._states: Mapping[str, EndpointState] | None = None
        """What the tables, and the rules, were last made for; None: other things may have come of it."""
        self._changes: dict[str, tuple[Change, Cause]] = {}
        """What was prepared, and what the attempt depends on."""
        self._leaving: set[str] = set()
        self._is_swept = False
        """Whether what an earlier agent left, and nobody wants, is gone."""
        self._before: dict[str, Counter[RuleRef]] = {}
        """What was counted on interfaces before something was taken off them."""

    # ---- making it so

    def prepare(
        self,
        states: Mapping[str, EndpointState],
        sets: Mapping[str, IPSet],
        changes: Mapping[str, SetChange | None],
        failsafes: Failsafes,
        marks: FrontMarks,
    ) -> Believed:
        """See Front."""
        self.give_up()
        wanted = {} if self._is_paused else {name: one for name, one in states.items() if not unwanted(one)}
        ground = self._opened(marks, is_needed=bool(wanted))
        if ground is None:
            return {}
        try:
            moved = ground.planes.follow_renames({name: state.interface for name, state in wanted.items()})
        except KernelError as error:  # nothing is believed then: the rules decide
            log.warning("XDP in front, names of interfaces: %s", error)
            return {}
        self._made_of |= {name: self._made_of.pop(old) for name, old in moved.items() if old in self._made_of}
        self._before |= {name: self._before.pop(old) for name, old in moved.items() if old in self._before}
        self._refused = {name: why for name, why in self._refused.items() if name in wanted}
        self._leaving = set(ground.planes) - wanted.keys()
        # What else changes has to change in the rules at the same moment: then the tables are made anew.
        member_change = changed_alone(states.values(), changes) if changes and states == self._states else None
        asked = self._asked = _Asked(states, sets, failsafes, member_change)
        for state in wanted.values():
            self._decide(ground, state, asked)
        return self._believed(ground)

    def _decide(self, ground: _Ground, state: EndpointState, asked: _Asked) -> None:
        """What has to be done for one interface."""
        name, index, choice = state.interface.name, state.interface.index, choose(state)
        its = made_of(state, asked.sets, asked.failsafes)
        because_of = (its, choice.circumstances)
        refused = self._refused.get(name)
        if refused is not None and not refused.is_outdated(because_of):
            self._leaving |= {name} & ground.planes.keys()
            return
        try:
            plane = self._adopted(ground, state)
            hooks = plane.hooks
            if hooks is not None and hooks.placement.is_generic and not choice.may_be_generic:
                raise Unsupported("it ran generic XDP, which is not wanted any more")
            running, known = plane.lanes[Direction.INGRESS].running, self._made_of.get(name)
            if hooks is not None and running is not None and known is not None and not plane.is_tampered:
                if known == its:
                    return
                if _takes(running.generation, known, its, asked.member_change):
                    asked.in_place[name] = its
                    return
            asked.anew[name] = choice, because_of
            if hooks is not None and running is None:  # an earlier agent's: what they are decides what is believed
                self._make(ground, asked, name)
        except (KernelError, Unsupported) as error:
            self._refuse(name, str(error), index, because_of)

    def _make(self, ground: _Ground, asked: _Asked, name: str) -> None:
        """Tables of one interface. What is believed of those that are ours was said before they are made: then others
        take their place even where they are the same."""
        choice, because_of = asked.anew.pop(name)
        state, plane = asked.states[name], ground.planes[name]
        index, is_promised = state.interface.index, plane.lanes[Direction.INGRESS].running is not None
        try:
            plan = ground.planner.plan(state, Direction.INGRESS, asked.sets, asked.failsafes, None)
            change = plane.prepare(
                index,
                {Direction.INGRESS: plan},
                choice if plane.hooks is None else None,
                keeps_same=not is_promised,
            )
            self._changes[name] = change, because_of
            self._refused.pop(name, None)
            if plane.hooks is not None and not change.made:  # what an earlier agent's tables are made of
                self._made_of[name] = because_of[0]
        except (KernelError, Unsupported) as error:
            self._refuse(name, str(error), index, because_of)

    def make(self) -> None:
        """See Front."""
        ground, asked = self._ground, self._asked
        if ground is None or asked is None or not asked.anew:
            return
        for name in tuple(asked.anew):
            self._make(ground, asked, name)

    def _adopted(self, ground: _Ground, state: EndpointState) -> InterfacePlane:
        """The interface's plane with what an earlier agent left; what of that does not fit is taken off."""
        plane, index = ground.planes.at(state.interface), state.interface.index
        folder = ground.folder.of(index)
        if not plane.adopt(index) and folder.exists():
            Hooks(folder, index, ground.programs).detach()
        return plane

    def _believed(self, ground: _Ground) -> Believed:
        """Parities by interface of what is attached: those that come, or those that are there.

        Not of what an earlier agent's tables decide until ours are there: theirs may have the same parity.
        """
        found = {}
        for name, plane in ground.planes.items():
            running = plane.lanes[Direction.INGRESS].running
            if plane.hooks is None or running is None or name in self._leaving:
                continue
            change = self._changes.get(name)
            made = change[0].made.get(Direction.INGRESS) if change is not None else None
            found[name] = (made or running).generation.parity
            if self._asked is not None and name in self._asked.anew:
                found[name] = plane.lanes[Direction.INGRESS].next_parity
        return found

    def commit(self) -> Believed:
        """See Front."""
        ground, asked = self._ground, self._asked
        self._states = None  # until all of it is done: what is not told is not built upon
        if ground is None or asked is None:
            return {}
        self._change_in_place(ground, asked)
        self.make()
        self._asked = None
        changes, self._changes = self._changes, {}
        tried = {name: (change.index, because_of) for name, (change, because_of) in changes.items()}
        worked = Worked()
        for name, change in put_each(
            ground.programs, {name: one for name, (one, _) in changes.items()}, worked
        ).items():
            with worked.on(name):
                try:
                    ground.planes[name].commit(change)
                    self._made_of[name] = changes[name][1][0]
                except NoXdp as found:
                    self._refuse(name, str(found), *tried[name], found.placement)
        for name, why in (worked.refused | worked.failed).items():
            self._refuse(name, why, *tried[name])
        for name in tuple(self._leaving):
            self._release(ground, name)
        self._sweep(ground)
        kept = {key for name in ground.planes.keys() & asked.states.keys() for key in policies(asked.states[name])}
        ground.planner.forget(kept, asked.sets)
        self._states = asked.states
        return self._believed(ground)

    def _change_in_place(self, ground: _Ground, asked: _Asked) -> None:
        """Have the tables that packets find take the change; where they cannot, others are to be made."""
        done: dict[Generation, bool] = {}  # interfaces share them
        in_place, member_change = asked.in_place, asked.member_change
        asked.in_place, asked.member_change = {}, None
        for name, its in in_place.items():
            running = ground.planes[name].lanes[Direction.INGRESS].running
            assert running is not None and member_change is not None
            if running.generation not in done:
                done[running.generation] = running.generation.change(*member_change)
            if done[running.generation]:
                self._made_of[name] = its
            else:
                self._decide(ground, asked.states[name], asked)

    def _refuse(self, name: str, why: str, index: int, because_of: Cause, placement: Placement | None = None) -> None:
        """Nothing is in front of the interface: what was there is taken off."""
        obstacle = placement.obstacle if placement is not None else None
        is_foreign = obstacle is not None and obstacle.is_foreign
        self._refused[name] = Refused(why, index, because_of, is_foreign)
        self._leaving.add(name)

    def _sweep(self, ground: _Ground) -> None:
        if self._is_swept:
            return
        kept = {plane.hooks.index for plane in ground.planes.values() if plane.hooks is not None}
        try:
            ground.folder.sweep(kept)
            ground.programs.sweep()
            self._is_swept = True
        except KernelError as error:
            log.warning("XDP in front, what an earlier agent left: %s", error)

    def give_up(self) -> None:
        """See Front."""
        if self._ground is not None:
            for change, _ in self._changes.values():
                change.give_up(self._ground.programs)
        self._changes.clear()
        self._asked = None

    def check(self) -> Sequence[str]:
        """See Front. Not each time: what is off costs speed alone, and tables take time to look at."""
        ground, self._calls = self._ground, self._calls + 1
        if ground is None or self._calls % _CHECK_EVERY != 1:
            return ()
        repaired: list[str] = []
        try:
            repaired += ground.repair()
        except KernelError as error:
            log.warning("XDP in front: %s", error)
        for name, plane in tuple(ground.planes.items()):
            try:
                repaired += [f"{name}, in front: {what}" for what in plane.repair()]
            except KernelError as error:  # gone, or held by others: what comes of it, the next `prepare` finds out
                log.warning("XDP in front of %s: %s", name, error)
                self._release(ground, name)
        return repaired

    def _release(self, ground: _Ground, name: str) -> None:
        plane = ground.planes.get(name)
        if plane is None:
            return
        try:
            ground.planes.release(name)
        except KernelError as error:  # it is off; what it counted in and the like stays until the agent ends
            log.warning("XDP in front of %s: %s", name, error)
        self._before[name] = self._before.get(name, Counter()) + _of_rules(plane)
        self._made_of.pop(name, None)
        self._leaving.discard(name)

    def _opened(self, marks: FrontMarks, *, is_needed: bool) -> _Ground | None:
        if self._ground is not None and self._ground.marks != marks:
            self._close(self._ground)
        is_needed = is_needed or (self._may_be_left and bool(self.leftovers()))
        self._may_be_left = False
        if self._ground is None and not self._problem and is_needed:
            try:
                self._problem = "; ".join(self._lacks())
                if not self._problem:
                    self._ground, self._is_swept = _Ground(self._bpffs, marks), False
            except KernelError as error:
                self._problem = str(error)
        return self._ground

    def _close(self, ground: _Ground) -> Sequence[str]:
        """Take everything off and let go; names of it."""
        self.give_up()
        names = list(ground.planes)
        for name in names:
            self._release(ground, name)
        ground.programs.close()
        self._ground = None
        return names

    # ---- in another driver's place, and another in ours

    def pause(self) -> Sequence[str]:
        """See Front."""
        self._is_paused = True
        if self._ground is None and folder_in(self._bpffs) is None:
            return ()
        ours = self._close(self._ground) if self._ground is not None else ()
        left = PinFolder(self._bpffs, _bare_traits()).remove()
        return [
            *(f"XDP in front of {name}" for name in ours),
            *(f"XDP in front of interface index {one}" for one in left),
        ]

    def resume(self) -> None:
        """See Front."""
        self._is_paused = False

    def leftovers(self) -> Sequence[str]:
        """See Front."""
        return leftovers(self._bpffs) if self._ground is None else ()

    # ---- telling

    def told(self, status: InterfaceStatus, state: EndpointState) -> InterfaceStatus:
        """See Front."""
        use, name = state.xdp.use, status.interface
        plane = self._ground.planes.get(name) if self._ground is not None else None
        if plane is not None and plane.hooks is not None:
            try:
                program_id, program = plane.hooks.attached_program()
            except KernelError:  # the interface has just gone
                return replace(status, xdp=use)
            where = f"untracked ingress: {plane.hooks.placement.reason}; all else: {status.reason}"
            return replace(
                status,
                acceleration=Acceleration.XDP,
                reason=where,
                program_id=program_id,
                program_name=program,
                xdp=use,
                table_bytes=sum(one.pages.memory_bytes for one in plane.generations()),
            )
        if not state.stage(Stage.UNTRACKED, Direction.INGRESS):
            return replace(status, xdp=use)
        refused = self._refused.get(name)
        why = unwanted(state) or self._problem or (refused.words if refused is not None else "")
        why = why or ("the dataplane is changing, and XDP waits for that" if self._is_paused else "")
        if not why:
            return replace(status, xdp=use)
        unmet = f"XDP is demanded and cannot be had: {why}" if use is XdpUse.ALWAYS else ""
        return replace(status, reason=f"{status.reason}; untracked ingress too: {why}", xdp=use, unmet=unmet)

    def counts(self) -> Mapping[str, Mapping[RuleRef, int]]:
        """See Front."""
        found = {name: counted.copy() for name, counted in self._before.items()}
        for name, plane in self._ground.planes.items() if self._ground is not None else ():
            found[name] = found.get(name, Counter()) + _of_rules(plane)
        return found

    def log_events(self) -> Sequence[LogEvent]:
        """See Front."""
        return logged(self._ground.planes, self._ground.programs) if self._ground is not None else ()


def leftovers(bpffs: Path) -> Sequence[str]:
    """What an earlier agent left in front of its driver; asking changes nothing."""
    return [f"XDP in front of interface index {index}" for index in left_in(bpffs)]


def _takes(generation: Generation, known: MadeOf, its: MadeOf, member_change: tuple[str, SetChange] | None) -> bool:
    """Whether tables that were made of what is known get to be its by that change."""
    if member_change is None:
        return False
    set_id, change = member_change
    return generation.can_take(change) and known.differs_only_in(set_id, its)


def _bare_traits() -> Traits:
    """What it takes to take things off."""
    return Traits(has_tcx=features.probe().has("tcx"), has_frags=False, mark_bit=DEFAULT_MARK_BIT)


def _of_rules(plane: InterfacePlane) -> Counter[RuleRef]:
    """What met rules; reasons of others are the driver's behind to count, as packets go on to it."""
    counted = plane.counts(Direction.INGRESS)
    return Counter({what: packets for what, packets in counted.items() if isinstance(what, RuleRef)})
