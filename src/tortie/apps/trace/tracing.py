"""What happens to a packet on its way through a host: every stage with the rules it met, and why, with names. Pure."""

from dataclasses import dataclass

from tortie.apps.failure import Code, Failure
from tortie.apps.packets import describe, parse_packet
from tortie.apps.sentences import because
from tortie.apps.trace.answers import TraceAnswer, TraceQuery
from tortie.apps.trace.hints import forgotten_request
from tortie.apps.trace.hostview import Documents, HostView, Scene, imagine, staged_in
from tortie.apps.trace.stagedtrace import staged_answer
from tortie.apps.trace.visits import Rulebook, step_answer, visit_answer
from tortie.apps.trace.ways import UNKNOWN, Chosen, choose, stage_set
from tortie.model.conntrack import ConnectionTable, Relation, has_possible_flags, is_icmp_error
from tortie.model.packet import TCP, Direction, Packet
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """A packet that the user asks about, what it is to connections, and where it arrives and leaves, if he says so."""

    packet: Packet
    relation: Relation
    arrives: str | None
    leaves: str | None
    tells_all: bool = False


@dataclass(frozen=True, slots=True)
class Traced:
    """A packet with what became of it on a host."""

    asked: Asked
    view: HostView
    chosen: Chosen
    passage: Passage

    @property
    def way(self) -> Way:
        """Where it arrives and leaves."""
        return self.chosen.way


def question(query: TraceQuery) -> Asked:
    """What the user asks. Raises: Failure USAGE."""
    packet = parse_packet(
        query["source"],
        query["destination"],
        query["protocol"],
        query["source_port"],
        flags=query["flags"],
        is_established=query["is_established"],
    )
    state, relation = query["relation"], relation_of(packet, is_established=query["is_established"])
    if state is not None:
        found = next((one for one in Relation if one.value == state.lower()), None)
        if found is None:
            known = ", ".join(one.value for one in Relation)
            raise Failure(Code.USAGE, f"{state[:40]!r} is nothing that a packet is to connections; use one of {known}")
        relation = found
    return Asked(packet, relation, query["arrives"], query["leaves"], query["everything"])


def relation_of(packet: Packet, *, is_established: bool) -> Relation:
    """What the packet is taken for: the first one of a flow, or one of a flow that is known."""
    if not is_established:
        return ConnectionTable().relation(packet)
    if packet.protocol == TCP and not has_possible_flags(packet):
        return Relation.INVALID
    return Relation.RELATED if is_icmp_error(packet) else Relation.ESTABLISHED


def trace_documents(documents: Documents, scene: Scene, asked: Asked) -> TraceAnswer:
    """The answer for what these documents make of a host, and of the same with its staged policies carried out."""
    scene = stage_set(scene, asked.packet, asked.arrives, asked.leaves)
    traced = trace(imagine(documents, scene), asked)
    answer = answer_of(traced)
    if staged := staged_in(documents):
        later = trace(imagine(documents, scene, staged), asked)
        answer["staged"] = staged_answer(asked.packet, traced.passage, later.passage, staged, later.view.origins)
    return answer


def trace(view: HostView, asked: Asked) -> Traced:
    """The packet through the host. Raises: Failure USAGE where nobody can tell which way."""
    chosen = choose(asked.packet, asked.arrives, asked.leaves, view)
    passage = pass_through(asked.packet, chosen.way, view.host, asked.relation, tells_all=True)
    return Traced(asked, view, chosen, passage)


def answer_of(traced: Traced) -> TraceAnswer:
    """The answer as JSON; nobody has asked an installed program yet."""
    passage, way, view, packet = traced.passage, traced.way, traced.view, traced.asked.packet
    decided = passage.decided
    deciding = None if decided is None else decided.trace.rule
    book = Rulebook(view.origins, view.host.sets)
    visits = [visit_answer(one, packet, book, tells_all=traced.asked.tells_all) for one in passage.visits]
    rule = None
    if decided is not None and deciding is not None:
        rule = step_answer(decided, deciding, passage.verdict.value, packet, book)
    return {
        "packet": describe(packet),
        "interface": way.arrives or way.leaves or UNKNOWN,
        "direction": direction_of(way),
        "endpoint": _endpoint_named(traced),
        "relation": traced.asked.relation.value,
        "verdict": passage.verdict.value,
        "reason": passage.reason.value,
        "because": because(passage.reason, deciding, packet),
        "hint": _hint(traced),
        "stage": _stage(passage).value,
        "rule": rule,
        "is_tracked": passage.verdict is Verdict.ALLOW and passage.is_tracked,
        "steps": [step for visit in visits for step in visit["steps"] if step["is_met"]],
        "installed": None,
        "installed_note": "no agent was asked",
        "agrees": None,
        "is_rejected": passage.is_rejected,
        "arrives": way.arrives,
        "leaves": None if way.leaves == UNKNOWN else way.leaves,
        "visits": visits,
        "node": view.node,
        "revision": view.revision,
        "notes": [*traced.chosen.notes, *view.notes],
        "staged": None,
    }


def direction_of(way: Way) -> str:
    """`ingress`, `egress` or `forward`."""
    if way.arrives is None:
        return Direction.EGRESS.value
    return Direction.INGRESS.value if way.leaves is None else "forward"


def _stage(passage: Passage) -> Stage:
    if passage.decided is not None:
        return passage.decided.trace.stage
    return Stage.UNTRACKED if passage.reason is Reason.ESSENTIAL_ICMPV6 else Stage.NORMAL


def _endpoint_named(traced: Traced) -> str | None:
    """The endpoint of the interface where the packet comes to policy, or whichever was asked first."""
    name = traced.way.arrives or traced.way.leaves or UNKNOWN
    endpoint = traced.view.host.endpoints.get(name) or traced.view.host.workloads.get(name)
    if endpoint is None:
        endpoint = next((visit.endpoint for visit in traced.passage.visits if visit.endpoint is not None), None)
    return None if endpoint is None else endpoint.endpoint


def _hint(traced: Traced) -> str | None:
    """A mistake that the verdict of the host's own endpoint gives away."""
    decided = traced.passage.decided
    if decided is None or decided.endpoint is None or decided.endpoint.is_workload:
        return None
    host = traced.view.host
    return forgotten_request(
        traced.asked.packet, decided.direction, decided.endpoint, host.sets, host.failsafes, decided.trace
    )
