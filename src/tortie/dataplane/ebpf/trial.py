"""Programs that no packet meets: an endpoint's policy compiled as the driver does it, to ask questions of.

Nothing is attached, and the connection table is one of the trial's own. Raises everywhere: KernelError, Unsupported.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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
from tortie.model.verdict import Verdict

FLOWS = 1024
"""Room in the table: a trial has one flow at a time."""
_DOORS = {Direction.INGRESS: "xdp", Direction.EGRESS: "egress"}
_DROPPED = {"xdp": 1, "egress": 2}
_IFINDEX = 1
"""Test runs arrive at the loopback device."""


class Answer(NamedTuple):
    """What a program did to a packet."""

    verdict: Verdict
    is_tracked: bool


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
        self._generations: dict[tuple[str, Direction], tuple[Generation, int]] = {}
        self._rehearsal: Rehearsal | None = None
        try:
            self._tracking = self._flows.open(replace(tracking, size=FLOWS))
            self._flows.set_addresses(addresses)
            traits = Traits(has_tcx=False, has_frags=False, mark_bit=DEFAULT_MARK_BIT)
            self._rehearsal = Rehearsal(traits, self._tracking.maps)
        except BaseException:
            self.close()
            raise

    def ask(self, state: EndpointState, direction: Direction, packet: Packet, flow: Flow | None) -> Answer:
        """What the program does to a whole packet, where the table holds that flow as an established one, or none."""
        generation, lane = self._generation(state, direction)
        if flow is not None:
            self._flows.store([replace(flow, state=FlowState.ESTABLISHED, is_answered=True)])
        try:
            return self._run(_DOORS[direction], generation, lane, frame(packet))
        finally:
            self._flows.forget(list(self._flows.flows()))

    def _generation(self, state: EndpointState, direction: Direction) -> tuple[Generation, int]:
        known = self._generations.get((state.interface.name, direction))
        if known is not None:
            return known
        assert self._rehearsal is not None
        plan, _ = self._planner.plan(state, direction, self._sets, self._failsafes, self._tracking)
        made = Generation(plan)
        lane = self._rehearsal.put(made.pages)
        self._generations[state.interface.name, direction] = made, lane
        return made, lane

    def _run(self, door: str, generation: Generation, lane: int, data: bytes) -> Answer:
        """The program's answer; of leaving packets, those that this host made."""
        assert self._rehearsal is not None
        ran = self._rehearsal.run(door, lane, generation.pages, data, _IFINDEX)
        # what untracked policy says of leaving packets is not the program's to decide
        is_untracked = door == "xdp" and len(ran.data_out) > len(data)
        is_dropped = ran.retval == _DROPPED[door]
        return Answer(Verdict.DENY if is_dropped else Verdict.ALLOW, not is_dropped and not is_untracked)

    def close(self) -> None:
        """Take away everything that was loaded and pinned."""
        for generation, _ in self._generations.values():
            generation.close()
        self._generations.clear()
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._flows.remove()
