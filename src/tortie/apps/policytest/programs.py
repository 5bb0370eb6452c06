"""The packets of a test through the compiled programs, where the driver has what they meet."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tortie.apps.policytest.running import Judged, ProgramAnswer, Ran, rule_name
from tortie.apps.privileges import require_privileges
from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.driver import BPFFS
from tortie.dataplane.ebpf.plan import refusals
from tortie.dataplane.ebpf.trial import Trial
from tortie.kernel.bpf import durable_bpffs
from tortie.model.conntrack import ConnectionTable, Flow, Relation, is_icmp_error
from tortie.model.desired import EndpointState
from tortie.model.host import Host
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.verdict import Verdict


def ask(ran: Ran, *, alone: bool) -> Ran:
    """The same with what the programs answered; alone: that is what expectations are about, else the evaluator's
    verdict is, with which the programs have to agree.

    Raises: Failure without privileges, KernelError.
    """
    require_privileges()
    with _trial(ran.world.host) as trial:
        judged = tuple(
            replace(one, programs=_answer(one, ran.judged, ran.world.host, trial), is_of_programs=alone)
            for one in ran.judged
        )
    return replace(ran, judged=judged)


@contextmanager
def _trial(host: Host) -> Iterator[Trial]:
    folder = durable_bpffs(BPFFS) / f"trial-{os.getpid()}"
    trial = Trial(folder, host.addresses, host.tracking, host.sets, host.failsafes)
    try:
        yield trial
    finally:
        trial.close()


def _answer(one: Judged, all_of_them: tuple[Judged, ...], host: Host, trial: Trial) -> ProgramAnswer:
    way = one.probe.way
    direction = Direction.INGRESS if way.arrives is not None else Direction.EGRESS
    interface = way.arrives or way.leaves or ""
    state = host.endpoints.get(interface)
    opener = None if one.probe.named is None else all_of_them[one.probe.named].entry
    if reason := _why_not(one, host, state, opener):
        return ProgramAnswer(None, None, None, reason)
    assert state is not None
    flow = _flow(opener) if one.relation is Relation.ESTABLISHED else None
    try:
        found = trial.ask(state, direction, one.probe.on_wire, flow=flow, first=one.probe.first)
    except Unsupported as error:
        return ProgramAnswer(None, None, None, str(error))
    is_allowed = found.verdict is Verdict.ALLOW
    return ProgramAnswer(
        "reject" if found.is_rejected else found.verdict.value,
        found.is_tracked if is_allowed else None,
        rule_name(found.rule) if found.rule is not None else None,
        "",
    )


def _why_not(one: Judged, host: Host, state: EndpointState | None, opener: Packet | None) -> str:
    """Why no program can be asked about the packet; empty where one can."""
    way, packet = one.probe.way, one.probe.packet
    if way.arrives is not None and way.leaves is not None:
        return "a forwarded packet meets two programs, which the kernel's own routes choose, and not those of the test"
    if state is None:
        return "no program is on this interface: it has no host endpoint"
    if refused := refusals(state):
        return refused[0]
    if way.arrives is None and state.stage(Stage.UNTRACKED, Direction.EGRESS):
        return "untracked policy of leaving packets is enforced by nftables, not by a program"
    if is_icmp_error(packet):
        return "the programs are not asked about ICMP errors"
    if "state" in one.probe.spec.fields and not (one.relation is Relation.ESTABLISHED and opener):
        return "the programs know connections by their table only, and the test forces a state"
    if way.arrives is not None and not host.addresses.contains(packet.version, packet.destination):
        return "the kernel's own routes tell whether the packet is for the host, and not those of the test"
    return ""


def _flow(opener: Packet | None) -> Flow | None:
    """The flow that the packet opens."""
    if opener is None:
        return None
    table = ConnectionTable()
    table.follow(opener, Direction.INGRESS, "", 0.0)
    return next(iter(table), None)
