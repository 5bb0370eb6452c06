"""What happens to one packet: the evaluator's answer, with names, and the installed program's beside it."""

from collections.abc import Iterable, Sequence

from tortie.apps.absorb import absorb
from tortie.apps.answers import InstalledAnswer, StepAnswer, TraceAnswer, TraceQuery
from tortie.apps.decoding import decode_files, key_of
from tortie.apps.failure import Code, Failure
from tortie.apps.packets import describe, parse_packet
from tortie.calc import Engine
from tortie.dataplane.driver import InstalledVerdict
from tortie.model.address import WIDTH, Net
from tortie.model.desired import DesiredState
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict
from tortie.resources.codec import encode
from tortie.store.protocol import Entry

ESCAPES = (Reason.FAILSAFE, Reason.ESSENTIAL_ICMPV6)


def question(query: TraceQuery) -> tuple[Packet, Direction]:
    """The packet and direction that the user asks about. Raises: Failure USAGE."""
    packet = parse_packet(query["source"], query["destination"], query["protocol"], query["source_port"])
    direction = next((one for one in Direction if one.value == query["direction"]), None)
    if direction is None:
        raise Failure(Code.USAGE, f"{query['direction']!r} is no direction; use ingress or egress")
    return packet, direction


def trace(desired: DesiredState, query: TraceQuery) -> tuple[TraceAnswer, Trace]:
    """The evaluator's answer for this desired state."""
    packet, direction = question(query)
    endpoint = desired.endpoints.get(query["interface"])
    if endpoint is None:
        found = Trace(verdict=Verdict.CONTINUE, reason=Reason.NO_ENDPOINT, stage=Stage.UNTRACKED)
    else:
        found = evaluate(packet, direction, endpoint, desired.sets, desired.failsafes)
    answer: TraceAnswer = {
        "packet": describe(packet),
        "interface": query["interface"],
        "direction": direction.value,
        "endpoint": None if endpoint is None else endpoint.endpoint,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "stage": found.stage.value,
        "rule": None if found.rule is None else step(found.rule, found.verdict.value),
        "is_tracked": found.verdict is not Verdict.ALLOW,
        "steps": [step(one.rule, one.outcome) for one in found.steps],
        "installed": None,
        "installed_note": "no agent was asked",
        "agrees": None,
    }
    return answer, found


def step(rule: RuleRef, outcome: str) -> StepAnswer:
    """A rule as JSON; rules count from 0 in their direction, as in the document's list."""
    return {"tier": rule.tier, "policy": str(rule.policy), "rule": rule.index, "outcome": outcome}


def compare(
    answer: TraceAnswer, found: Trace, installed: InstalledVerdict | None, refused: Sequence[str]
) -> TraceAnswer:
    """The answer with the installed program's verdict in it, and whether the two agree.

    `refused` reasons say that the program enforces an older state than the one that was evaluated.
    """
    if installed is None:
        return {**answer, "installed_note": "no program is installed on this interface"}
    seen: InstalledAnswer = {
        "verdict": installed.verdict.value,
        "reason": installed.reason.value,
        "rule": None if installed.rule is None else step(installed.rule, installed.verdict.value),
    }
    same = (installed.verdict, installed.rule) == (found.verdict, found.rule)
    if found.reason in ESCAPES or installed.reason in ESCAPES:
        same = same and installed.reason is found.reason
    note = (
        f"the newest policy is refused here, the program enforces the last good state: {'; '.join(refused)}"
        if refused
        else ""
    )
    return {**answer, "installed": seen, "agrees": same, "installed_note": note}


def imagine(node: str, stored: Iterable[Entry], interfaces: Sequence[Interface], query: TraceQuery) -> DesiredState:
    """The desired state that the stored documents, with those of the query laid over them, would give this node.

    An interface that the host does not have is imagined, with the packet's local address on it.
    """
    engine = Engine(node)
    for entry in stored:
        absorb(engine, entry.key, entry.value)
    for resource in decode_files(query["files"]):
        absorb(engine, key_of(resource), encode(resource))
    packet, direction = question(query)
    known = {interface.name: interface for interface in interfaces}
    if query["interface"] not in known:
        local = packet.destination if direction is Direction.INGRESS else packet.source
        net = Net(packet.version, local, WIDTH[packet.version])
        index = max((one.index for one in interfaces), default=0) + 1
        known[query["interface"]] = Interface(name=query["interface"], index=index, addresses=frozenset({net}))
    for interface in known.values():
        engine.set_interface(interface.name, interface)
    engine.in_sync()
    engine.flush()
    return engine.desired()
