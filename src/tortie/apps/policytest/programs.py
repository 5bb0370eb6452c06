"""The packets of a test through the compiled programs, where the driver has what they meet."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from tortie.apps.policytest.running import PROGRAM, Judged, ProgramAnswer, Ran, answer_of, opener_in
from tortie.apps.privileges import require_privileges
from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.driver import BPFFS
from tortie.dataplane.ebpf.plan import refusals
from tortie.dataplane.ebpf.trial import Crossing, Trial, forwarding
from tortie.kernel.bpf import durable_bpffs
from tortie.model.conntrack import ConnectionTable, Relation, is_icmp_error
from tortie.model.evaluate import is_for_host
from tortie.model.host import Host
from tortie.model.martian import is_martian
from tortie.model.packet import Direction, Packet
from tortie.model.passage import Way
from tortie.model.policy import Stage
from tortie.model.verdict import Trace, Verdict

_BOTH = frozenset((4, 6))


def ask(ran: Ran, *, alone: bool) -> Ran:
    """The same with what the programs answered; alone: that is what expectations are about, else the evaluator's
    verdict is, with which the programs have to agree.

    Raises: Failure without privileges, KernelError.
    """
    require_privileges()
    with _trial(ran) as trial:
        judged = tuple(
            replace(one, programs=_answer(one, ran.judged, ran.world.host, trial), is_of_programs=alone)
            for one in ran.judged
        )
    return replace(ran, judged=judged)


@contextmanager
def _trial(ran: Ran) -> Iterator[Trial]:
    host = ran.world.host
    folder = durable_bpffs(BPFFS) / f"trial-{os.getpid()}"
    with ExitStack() as stack:
        if any(_is_forwarded(one.probe.way) for one in ran.judged):
            stack.enter_context(forwarding())
        trial = Trial(folder, host.addresses, host.tracking, host.sets, host.failsafes)
        stack.callback(trial.close)
        yield trial


def _answer(one: Judged, all_of_them: tuple[Judged, ...], host: Host, trial: Trial) -> ProgramAnswer:
    crossings = _crossings(one.probe.way, host)
    table = _table(opener_in(all_of_them, one) if one.relation is Relation.ESTABLISHED else None)
    if reason := _why_not(one, host, crossings, table):
        return ProgramAnswer(None, None, None, reason)
    try:
        found = trial.ask(crossings, one.probe.on_wire, flow=next(iter(table), None), first=one.probe.first)
    except Unsupported as error:
        return ProgramAnswer(None, None, None, str(error))
    return answer_of(found, PROGRAM)


def _is_forwarded(way: Way) -> bool:
    return way.arrives is not None and way.leaves is not None


def _crossings(way: Way, host: Host) -> list[Crossing]:
    """Where the packet meets a program, in order."""
    ends = ((way.arrives, Direction.INGRESS), (way.leaves, Direction.EGRESS))
    return [
        Crossing(state, direction, _is_forwarded(way))
        for name, direction in ends
        if name is not None and (state := host.endpoints.get(name)) is not None
    ]


def _why_not(one: Judged, host: Host, crossings: Sequence[Crossing], table: ConnectionTable) -> str:
    """Why no program can be asked about the packet; empty where one can."""
    way, packet = one.probe.way, one.probe.packet
    if any(name is not None and host.is_workload(name) for name in (way.arrives, way.leaves)):
        return "interfaces of workloads are not enforced yet"
    if not crossings:
        return "no program is on this interface: it has no host endpoint"
    if refused := [reason for crossing in crossings for reason in refusals(crossing.state)]:
        return refused[0]
    if way.arrives is None and crossings[0].state.stage(Stage.UNTRACKED, Direction.EGRESS):
        return "untracked policy of leaving packets is enforced by nftables, not by a program"
    if is_icmp_error(packet):
        return "the programs are not asked about ICMP errors"
    if one.relation is not table.relation(packet):
        return "the programs know connections by their table only, and the test forces a state"
    return _why_not_there(one, host, crossings) if way.arrives is not None else ""


def _why_not_there(one: Judged, host: Host, crossings: Sequence[Crossing]) -> str:
    """Of an arriving packet: why the programs would take it for another one."""
    packet = one.probe.packet
    if is_martian(packet, host.addresses):
        return "nobody outside the host can have such an address: the programs drop it in front of policy"
    if not _is_forwarded(one.probe.way):
        if host.addresses.contains(packet.version, packet.destination):
            return ""
        return "the kernel's own routes tell whether the packet is for the host, and not those of the test"
    if is_for_host(packet, replace(crossings[0].state.interface, forwards=_BOTH), host.addresses):
        return "nobody forwards a packet between such addresses"
    is_untracked = any(_lets_go_untracked(visit.trace) for visit in one.passage.visits)
    if is_untracked and crossings[-1].direction is Direction.EGRESS and one.relation is not Relation.NEW:
        return "where a packet leaves, no program knows that untracked policy has allowed it"
    return ""


def _lets_go_untracked(trace: Trace) -> bool:
    return trace.stage is Stage.UNTRACKED and trace.verdict is Verdict.ALLOW


def _table(opener: Packet | None) -> ConnectionTable:
    """What the trial's table holds: the flow that the packet opens, or none."""
    table = ConnectionTable()
    if opener is not None:
        table.follow(opener, Direction.INGRESS, "", 0.0)
    return table
