"""What happens to one packet: the evaluator's answer, with names, and the installed program's beside it."""

from collections.abc import Iterable, Sequence

from tortie.apps.absorb import absorb
from tortie.apps.answers import InstalledAnswer, StepAnswer, TraceAnswer, TraceQuery
from tortie.apps.decoding import decode_files, key_of
from tortie.apps.failure import Code, Failure
from tortie.apps.hints import forgotten_request
from tortie.apps.packets import describe, parse_packet
from tortie.apps.sentences import because, shown_index
from tortie.calc import Engine
from tortie.dataplane.driver import InstalledVerdict
from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import ConnectionTable, Relation, has_possible_flags, is_icmp_error
from tortie.model.desired import DesiredState, EndpointState
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate, is_for_host
from tortie.model.packet import TCP, Direction, Packet
from tortie.model.policy import PolicyKey, Stage
from tortie.model.settings import FelixSettings
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict
from tortie.resources.codec import encode
from tortie.store.protocol import Entry

KNOWN = (Reason.ESTABLISHED, Reason.RELATED)
"""Reasons that ask no policy."""


def question(query: TraceQuery) -> tuple[Packet, Direction]:
    """The packet and direction that the user asks about. Raises: Failure USAGE."""
    packet = parse_packet(
        query["source"],
        query["destination"],
        query["protocol"],
        query["source_port"],
        flags=query["flags"],
        is_established=query["is_established"],
    )
    direction = next((one for one in Direction if one.value == query["direction"]), None)
    if direction is None:
        raise Failure(Code.USAGE, f"{query['direction']!r} is no direction; use ingress or egress")
    return packet, direction


def relation_of(packet: Packet, *, is_established: bool) -> Relation:
    """What the packet is taken for: the first one of a flow, or one of a flow that is known."""
    if not is_established:
        return ConnectionTable().relation(packet)
    if packet.protocol == TCP and not has_possible_flags(packet):
        return Relation.INVALID
    return Relation.RELATED if is_icmp_error(packet) else Relation.ESTABLISHED


def trace(desired: DesiredState, query: TraceQuery) -> tuple[TraceAnswer, Trace]:
    """The evaluator's answer for this desired state."""
    packet, direction = question(query)
    relation = relation_of(packet, is_established=query["is_established"])
    endpoint = desired.endpoints.get(query["interface"])
    hint, early = None, {}
    if endpoint is None:
        found = Trace(verdict=Verdict.ALLOW, reason=Reason.NO_ENDPOINT, stage=Stage.NORMAL)
    else:
        sets, failsafes = desired.sets, desired.failsafes
        found = evaluate(
            packet,
            direction,
            endpoint,
            sets,
            failsafes,
            relation,
            is_for_host=direction is Direction.EGRESS or is_for_host(packet, endpoint.interface, desired.addresses),
            drops_invalid=desired.tracking.drops_invalid,
        )
        early = _early_policies(endpoint, direction)
        hint = forgotten_request(packet, direction, endpoint, sets, failsafes, found)
    answer: TraceAnswer = {
        "packet": describe(packet),
        "interface": query["interface"],
        "direction": direction.value,
        "endpoint": None if endpoint is None else endpoint.endpoint,
        "relation": relation.value,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "because": because(found.reason, found.rule, packet),
        "hint": hint,
        "stage": found.stage.value,
        "rule": None if found.rule is None else step(found.stage, found.rule, found.verdict.value),
        "is_tracked": found.verdict is Verdict.ALLOW and found.is_tracked,
        "steps": [step(early.get(one.rule.policy, found.stage), one.rule, one.outcome) for one in found.steps],
        "installed": None,
        "installed_note": "no agent was asked",
        "agrees": None,
    }
    return answer, found


def _early_policies(endpoint: EndpointState, direction: Direction) -> dict[PolicyKey, Stage]:
    """The classes of policies that a packet meets before the last one it is asked in. No policy has two of them."""
    return {
        policy.key: stage
        for stage in (Stage.UNTRACKED, Stage.PRE_DNAT)
        for group in endpoint.stage(stage, direction)
        for policy in group.policies
    }


def step(stage: Stage, rule: RuleRef, outcome: str) -> StepAnswer:
    """A rule as JSON; rules count from 0 in their direction, as in the document's list."""
    return {
        "stage": stage.value,
        "tier": rule.tier,
        "policy": str(rule.policy),
        "rule": shown_index(rule),
        "outcome": outcome,
    }


def compare(
    answer: TraceAnswer, found: Trace, packet: Packet, installed: InstalledVerdict | None, refused: Sequence[str]
) -> TraceAnswer:
    """The answer with the installed program's verdict in it, and whether the two agree.

    `refused` reasons say that the program enforces an older state than the one that was evaluated. Where only one of
    the two takes the packet for part of a known connection, there is nothing to compare.
    """
    if installed is None:
        return {**answer, "installed_note": "no program is installed on this interface"}
    stage = found.stage if installed.is_tracked else Stage.UNTRACKED
    seen: InstalledAnswer = {
        "verdict": installed.verdict.value,
        "reason": installed.reason.value,
        "because": because(installed.reason, installed.rule, packet),
        "rule": None if installed.rule is None else step(stage, installed.rule, installed.verdict.value),
        "is_tracked": installed.verdict is Verdict.ALLOW and installed.is_tracked,
    }
    if (found.reason in KNOWN) != (installed.reason in KNOWN):
        note = (
            "it knows no such connection"
            if found.reason in KNOWN
            else "it knows this connection, and asked no policy: ask with --established, or about another --sport"
        )
        return {**answer, "installed": seen, "agrees": None, "installed_note": note}
    same = (seen["verdict"], seen["is_tracked"], installed.rule) == (
        answer["verdict"],
        answer["is_tracked"],
        found.rule,
    )
    if found.rule is None:
        same = same and installed.reason is found.reason
    note = (
        f"the newest policy is refused here, the program enforces the last good state: {'; '.join(refused)}"
        if refused
        else ""
    )
    return {**answer, "installed": seen, "agrees": same, "installed_note": note}


def imagine(
    node: str,
    stored: Iterable[Entry],
    interfaces: Sequence[Interface],
    query: TraceQuery,
    told: Sequence[FelixSettings] = (),
) -> DesiredState:
    """The desired state that the stored documents, with those of the query laid over them, would give this node.

    An interface that the host does not have is imagined, with the packet's local address on it. `told`: settings that
    an agent there has beside documents.
    """
    engine = Engine(node, told)
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
