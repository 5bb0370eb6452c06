"""Programs that no packet meets: an endpoint's policy compiled as the driver does it, to ask questions of.

Nothing is attached, and the connection table is one of the trial's own. Raises everywhere: KernelError, Unsupported.
"""

from collections.abc import Mapping
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
    is_rejected: bool


class _Loaded(NamedTuple):
    """The generation of an endpoint and direction, what its rules are called, and the lane it is in."""

    generation: Generation
    rules: RuleIndex
    lane: int


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
        state: EndpointState,
        direction: Direction,
        packet: Packet,
        *,
        flow: Flow | None = None,
        first: Packet | None = None,
    ) -> Answer:
        """What the program does to the packet, where the table holds that flow as an established one, or none.

        `first`: of a later fragment, the first one, which the program sees before it.
        """
        loaded = self._load(state, direction)
        for one in (first, packet) if first is not None else (packet,):
            if flow is not None:
                self._flows.store([replace(flow, state=FlowState.ESTABLISHED, is_answered=True)])
            try:
                answer = self._run(_DOORS[direction], loaded, frame(one))
            finally:
                self._flows.forget(list(self._flows.flows()))
        return answer

    def _load(self, state: EndpointState, direction: Direction) -> _Loaded:
        known = self._loaded.get((state.interface.name, direction))
        if known is not None:
            return known
        assert self._rehearsal is not None
        plan, index = self._planner.plan(state, direction, self._sets, self._failsafes, self._tracking)
        generation = Generation(plan)
        made = _Loaded(generation, index, self._rehearsal.put(generation.pages))
        self._loaded[state.interface.name, direction] = made
        return made

    def _run(self, door: str, loaded: _Loaded, data: bytes) -> Answer:
        """The program's answer; of leaving packets, those that this host made."""
        assert self._rehearsal is not None
        generation, index, lane = loaded
        before = generation.read_counters()
        ran = self._rehearsal.run(door, lane, generation.pages, data, _IFINDEX)
        # what untracked policy says of leaving packets is not the program's to decide
        is_untracked = door == "xdp" and len(ran.data_out) > len(data)
        counted = [new - old for new, old in zip(generation.read_counters(), before, strict=True)]
        meaning = generation.classifiers.meaning(counted, index)
        rule, _ = index.decided(meaning)
        rejects = is_rejected(meaning)
        is_denied = rejects or ran.retval == _DROPPED[door]
        verdict = Verdict.DENY if is_denied else Verdict.ALLOW
        return Answer(verdict, not is_denied and not is_untracked, rule, rejects)

    def close(self) -> None:
        """Take away everything that was loaded and pinned."""
        for loaded in self._loaded.values():
            loaded.generation.close()
        self._loaded.clear()
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._flows.remove()
