"""Programs that no packet meets: an endpoint's policy compiled and loaded as the driver does it, to ask questions of.

Nothing is attached, and the connection table is one of the trial's own. Raises everywhere: KernelError, Unsupported.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from struct import pack
from typing import NamedTuple

from tortie.dataplane.ebpf.classifiers import RuleIndex
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.frames import frame
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.plan import Planner
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.kernel import bpf
from tortie.model.conntrack import Flow, FlowState, TrackingSettings
from tortie.model.desired import EndpointState, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import RuleRef, Verdict

FLOWS = 1024
"""Room in the table: a trial has one flow at a time."""
_DROPPED = {"xdp": 1, "egress": 2}


class Answer(NamedTuple):
    """What a program did to a packet. `rule`: what it counted as decisive; None where a reason alone was."""

    verdict: Verdict
    is_tracked: bool
    rule: RuleRef | None


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
        self._generations: dict[tuple[str, Direction], tuple[Generation, RuleIndex]] = {}
        try:
            self._tracking = self._flows.open(replace(tracking, size=FLOWS))
            self._flows.set_addresses(addresses)
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
        generation, index = self._generation(state, direction)
        for one in (first, packet) if first is not None else (packet,):
            if flow is not None:
                self._flows.store([replace(flow, state=FlowState.ESTABLISHED, is_answered=True)])
            try:
                answer = _run(generation, index, frame(one))
            finally:
                self._flows.forget(list(self._flows.flows()))
        return answer

    def _generation(self, state: EndpointState, direction: Direction) -> tuple[Generation, RuleIndex]:
        known = self._generations.get((state.interface.name, direction))
        if known is not None:
            return known
        plan, index = self._planner.plan(state, direction, self._sets, self._failsafes, self._tracking)
        door = "xdp" if direction is Direction.INGRESS else "egress"
        made = Generation(plan, door, mark_bit=DEFAULT_MARK_BIT), index
        self._generations[state.interface.name, direction] = made
        return made

    def close(self) -> None:
        """Take away everything that was loaded and pinned."""
        for generation, _ in self._generations.values():
            generation.close()
        self._generations.clear()
        self._flows.remove()


def _run(generation: Generation, index: RuleIndex, data: bytes) -> Answer:
    """The program's answer; of leaving packets, those that this host made."""
    before = generation.read_counters()
    if generation.door == "xdp":
        ran = bpf.test_run(generation.program_fd, data)
        is_untracked = len(ran.data_out) > len(data)
    else:
        ran = bpf.test_run(generation.program_fd, data, ctx=bytes(36) + pack("=II", 0, 1) + bytes(148))
        is_untracked = False  # what untracked policy says of leaving packets is not the program's to decide
    counted = [new - old for new, old in zip(generation.read_counters(), before, strict=True)]
    rule, _ = index.decided(generation.classifiers.meaning(counted, index))
    is_dropped = ran.retval == _DROPPED[generation.door]
    return Answer(Verdict.DENY if is_dropped else Verdict.ALLOW, not is_dropped and not is_untracked, rule)
