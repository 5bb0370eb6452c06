"""The installed program's answer to a packet beside the evaluator's, and whether the two agree. Pure.

A program judges host interfaces alone, each direction by itself. Its part of a packet's way is what `evaluate` says;
about what decided where the packet leaves it was not asked.
"""

from collections.abc import Sequence

from tortie.apps.sentences import because
from tortie.apps.trace.answers import InstalledAnswer, TraceAnswer
from tortie.apps.trace.tracing import Traced
from tortie.apps.trace.visits import plain_step
from tortie.dataplane.driver import InstalledVerdict
from tortie.model.evaluate import evaluate
from tortie.model.martian import is_martian
from tortie.model.packet import Direction, Packet
from tortie.model.passage import ANSWERED, Passage
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Trace, Verdict
from tortie.model.walk import reasoned

KNOWN = (Reason.ESTABLISHED, Reason.RELATED)
"""Reasons that ask no policy."""


def place_asked(traced: Traced) -> tuple[str, Direction]:
    """The interface and direction whose program meets the packet first."""
    way = traced.way
    return (way.arrives, Direction.INGRESS) if way.arrives is not None else (way.leaves or "", Direction.EGRESS)


def part_of_program(traced: Traced) -> Trace:
    """What the program there has to say of the packet, where everything is as it should be."""
    interface, direction = place_asked(traced)
    host, endpoint = traced.view.host, traced.view.host.endpoints.get(interface)
    if endpoint is None:
        return reasoned(Verdict.ALLOW, Reason.NO_ENDPOINT, Stage.NORMAL)
    return evaluate(
        traced.asked.packet,
        direction,
        endpoint,
        host.sets,
        host.failsafes,
        traced.asked.relation,
        is_for_host=direction is Direction.EGRESS or traced.way.leaves is None,
        drops_invalid=host.tracking.drops_invalid,
    )


def why_not_asked(traced: Traced) -> str:
    """Why no program can be asked about the packet; empty where one can."""
    interface, direction = place_asked(traced)
    if traced.view.host.is_workload(interface):
        return "policy of workloads is not enforced yet"
    if direction is Direction.EGRESS and part_of_program(traced).stage is Stage.UNTRACKED:
        return "untracked egress is decided in netfilter's raw OUTPUT hook, where no test run exists"
    return ""


def why_not_comparable(traced: Traced) -> str:
    """What decided about the packet and is no part of the program's; empty where nothing did."""
    passage, part = traced.passage, part_of_program(traced)
    if _outcome(passage) == (part.verdict, part.verdict is Verdict.ALLOW and part.is_tracked, part.rule):
        return ""
    decided = passage.decided
    if decided is None:
        return ""
    if decided.endpoint is None or decided.endpoint.is_workload:
        return "policy of workloads decides, and is not enforced yet"
    where = f"{decided.trace.stage.value} policy of {decided.interface}"
    return f"{where} decides, where the packet leaves: the program there is not asked"


def _outcome(passage: Passage) -> tuple[object, ...]:
    rule = None if passage.decided is None else passage.decided.trace.rule
    return passage.verdict, passage.verdict is Verdict.ALLOW and passage.is_tracked, rule


def compare(
    answer: TraceAnswer, traced: Traced, installed: InstalledVerdict | None, refused: Sequence[str]
) -> TraceAnswer:
    """The answer with the installed program's verdict in it, and whether the two agree.

    `refused` reasons say that the program enforces an older state than the one that was evaluated. Where only one of
    the two takes the packet for part of a known connection, there is nothing to compare.
    """
    if installed is None:
        return {**answer, "installed_note": "no program is installed on this interface"}
    found, packet = part_of_program(traced), traced.asked.packet
    seen = _seen(found, packet, installed)
    note = _why_no_policy(traced, installed) or _why_different_packets(found, installed) or why_not_comparable(traced)
    if note:
        return {**answer, "installed": seen, "agrees": None, "installed_note": note}
    is_denied = found.verdict is Verdict.DENY
    is_rejected = is_denied and found.stage in ANSWERED and traced.view.host.rejects
    same = (installed.verdict, seen["is_tracked"], installed.rule, installed.is_rejected) == (
        found.verdict,
        not is_denied and found.is_tracked,
        found.rule,
        is_rejected,
    )
    if found.rule is None:
        same = same and installed.reason is found.reason
    note = ""
    if refused:
        note = f"the newest policy is refused here, the program enforces the last good state: {'; '.join(refused)}"
    return {**answer, "installed": seen, "agrees": same, "installed_note": note}


def _seen(found: Trace, packet: Packet, installed: InstalledVerdict) -> InstalledAnswer:
    stage = found.stage if installed.is_tracked else Stage.UNTRACKED
    return {
        "verdict": installed.verdict.value,
        "reason": installed.reason.value,
        "because": because(installed.reason, installed.rule, packet),
        "rule": None if installed.rule is None else plain_step(stage, installed.rule, installed.verdict.value),
        "is_tracked": installed.verdict is Verdict.ALLOW and installed.is_tracked,
        "is_rejected": installed.is_rejected,
    }


def _why_no_policy(traced: Traced, installed: InstalledVerdict) -> str:
    """What to say of a packet that the program drops in front of policy."""
    if installed.reason is Reason.MARTIAN and is_martian(traced.asked.packet, traced.view.host.addresses):
        return "it asks no policy: nobody outside this host can have such an address"
    return ""


def _why_different_packets(found: Trace, installed: InstalledVerdict) -> str:
    """What to say where the packet is part of a known connection to one of the two alone."""
    if (found.reason in KNOWN) == (installed.reason in KNOWN):
        return ""
    if found.reason in KNOWN:
        return "it knows no such connection"
    return "it knows this connection, and asked no policy: ask with --established, or about another --sport"
