"""Programs that no packet meets: an endpoint's policy compiled as the driver does it, to ask questions of.

Nothing is attached, and the connection table is one of the trial's own. Raises everywhere: KernelError, Unsupported.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tortie.dataplane.ebpf.classifiers import RuleIndex, is_rejected
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.frames import frame
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.plan import Planner
from tortie.dataplane.ebpf.programs import Traits
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.kernel.netlink import lead_everywhere
from tortie.kernel.netns import fresh
from tortie.kernel.sysctl import write_integer
from tortie.model.conntrack import Flow, FlowState, TrackingSettings
from tortie.model.desired import EndpointState, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import RuleRef, Verdict

FLOWS = 1024
"""Room in the table: a trial has one flow at a time."""
_DOORS = {Direction.INGRESS: "xdp", Direction.EGRESS: "egress"}
_DROPPED = {"xdp": 1, "egress": 2}
_IFINDEX = 1
"""Test runs arrive at the loopback device."""


class Answer(NamedTuple):
    """What a program did to a packet. `rule`: what it counted as decisive; None where a reason alone was."""

    verdict: Verdict
    is_tracked: bool
    rule: RuleRef | None
    is_rejected: bool = False


class Crossing(NamedTuple):
    """An interface with an endpoint that a packet crosses, and whether the host forwards it."""

    state: EndpointState
    direction: Direction
    is_forwarded: bool


class _Loaded(NamedTuple):
    """The generation of an endpoint and direction, what its rules are called, and the lane it is in."""

    generation: Generation
    rules: RuleIndex
    lane: int


@contextmanager
def forwarding() -> Iterator[None]:
    """A block in a network namespace of its own, which forwards whatever is not for the host: the programs ask the
    kernel's routes, and there they lead everywhere. Other threads stay where they are. Raises: KernelError."""
    with fresh():
        lead_everywhere()
        for version in (4, 6):
            write_integer(1, "net", f"ipv{version}", "conf", "lo", "forwarding")
        yield


class Trial:
    """The programs of a host's endpoints, each loaded when it is asked first. Close it."""

    def __init__(
        self,
        folder: Path,
        addresses: HostAddresses,
        tracking: TrackingSettings,
        sets: Mapping[str, IPSet],
        failsafes: Failsafes,
    ) -> None:
        self._sets, self._failsafes = sets, failsafes
        self._planner = Planner()
        self._flows = FlowTables(folder)
        self._loaded: dict[tuple[str, Direction], _Loaded] = {}
        self._rehearsal: Rehearsal | None = None
        try:
            self._tracking = self._flows.open(replace(tracking, size=FLOWS))
            self._flows.set_addresses(addresses)
            traits = Traits(has_tcx=False, has_frags=False, mark_bit=DEFAULT_MARK_BIT)
            self._rehearsal = Rehearsal(traits, self._tracking.maps)
        except BaseException:
            self.close()
            raise

    def ask(
        self,
        crossings: Sequence[Crossing],
        packet: Packet,
        *,
        flow: Flow | None = None,
        first: Packet | None = None,
    ) -> Answer:
        """What the programs do to the packet one after another, where the table holds that flow as an established one,
        or none. Forwarded packets have to be asked about in a namespace that forwards them (`forwarding`).

        `first`: of a later fragment, the first one, which the programs see before it.
        """
        for one in (first, packet) if first is not None else (packet,):
            if flow is not None:
                self._flows.store([replace(flow, state=FlowState.ESTABLISHED, is_answered=True)])
            try:
                answer = self._cross(crossings, frame(one))
            finally:
                self._flows.forget(list(self._flows.flows()))
        return answer

    def _cross(self, crossings: Sequence[Crossing], data: bytes) -> Answer:
        """The answer of the program that drops the frame, or of all of them: the last rule that any of them counted."""
        answer = Answer(Verdict.ALLOW, is_tracked=True, rule=None)
        for crossing in crossings:
            found = self._run(crossing, data)
            if found.verdict is Verdict.DENY:
                return found
            answer = Answer(Verdict.ALLOW, answer.is_tracked and found.is_tracked, found.rule or answer.rule)
        return answer

    def _load(self, state: EndpointState, direction: Direction) -> _Loaded:
        known = self._loaded.get((state.interface.name, direction))
        if known is not None:
            return known
        assert self._rehearsal is not None
        plan, index = self._planner.plan(state, direction, self._sets, self._failsafes, self._tracking)
        generation = Generation.made(plan)
        made = _Loaded(generation, index, self._rehearsal.put(generation))
        self._loaded[state.interface.name, direction] = made
        return made

    def _run(self, crossing: Crossing, data: bytes) -> Answer:
        """The program's answer."""
        assert self._rehearsal is not None
        door = _DOORS[crossing.direction]
        generation, index, lane = self._load(crossing.state, crossing.direction)
        self._rehearsal.clear(lane, generation)
        ran = self._rehearsal.run(door, lane, generation.pages, data, _IFINDEX, is_forwarded=crossing.is_forwarded)
        meaning = self._rehearsal.meaning(lane, generation, index)
        rule, _ = index.decided(meaning)
        if is_rejected(meaning):
            return Answer(Verdict.DENY, is_tracked=False, rule=rule, is_rejected=True)
        # what untracked policy says of leaving packets is not the program's to decide
        is_untracked = door == "xdp" and self._rehearsal.has_metadata(ran, data, otherwise=index.is_untracked(rule))
        is_dropped = ran.retval == _DROPPED[door]
        verdict = Verdict.DENY if is_dropped else Verdict.ALLOW
        return Answer(verdict, not is_dropped and not is_untracked, rule)

    def close(self) -> None:
        """Take away everything that was loaded and pinned."""
        for loaded in self._loaded.values():
            loaded.generation.close()
        self._loaded.clear()
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._flows.remove()
