"""The packets of a test through the evaluator, one after another, and what was expected of each.

The connection table is empty for each packet but for the entry of the packet that it names. A packet leaves an entry
where it was allowed, is tracked, and opens a flow or belongs to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from tortie.apps.policytest.document import PolicyTest, Unloadable
from tortie.apps.policytest.packets import Probe, read_packets
from tortie.apps.policytest.world import World, build
from tortie.model.conntrack import ConnectionTable, Relation, can_open
from tortie.model.packet import ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6, SYN, Direction, Packet
from tortie.model.passage import Passage, pass_through
from tortie.model.verdict import RuleRef, Verdict
from tortie.resources.problems import Problems

UNSUPPORTED = "unsupported"
PROGRAM = "the compiled program"


class ProgramAnswer(NamedTuple):
    """What the compiled program, or another dataplane (`by`), did, or why none was asked.

    `is_tracked` None unless it is allowed; `rule` None where a reason alone decided.
    """

    verdict: str | None
    is_tracked: bool | None
    rule: str | None
    unsupported: str
    by: str = PROGRAM


class Shown(Protocol):
    """What became of a packet, by whoever shows it."""

    @property
    def verdict(self) -> Verdict:
        """Allow or Deny."""

    @property
    def is_tracked(self) -> bool:
        """Means nothing where it is denied."""

    @property
    def is_rejected(self) -> bool:
        """The sender is told of the denial."""

    @property
    def rule(self) -> RuleRef | None:
        """What decided, None where a reason alone did."""


def answer_of(shown: Shown, by: str) -> ProgramAnswer:
    """The same in the words of tests."""
    return ProgramAnswer(
        "reject" if shown.is_rejected else shown.verdict.value,
        shown.is_tracked if shown.verdict is Verdict.ALLOW else None,
        rule_name(shown.rule) if shown.rule is not None else None,
        "",
        by,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A packet with what became of it. `entry` opens the flow that it leaves in the table.

    `programs` None: the programs are not part of the test. `is_of_programs`: they are all of it, and what they were not
    asked is neither as expected nor otherwise.
    """

    probe: Probe
    relation: Relation
    passage: Passage
    entry: Packet | None
    programs: ProgramAnswer | None = None
    is_of_programs: bool = False

    @property
    def verdict(self) -> str:
        """As tests call it: allow, deny or reject; unsupported where no program was asked."""
        if self.programs is not None and self.is_of_programs:
            return self.programs.verdict or UNSUPPORTED
        return "reject" if self.passage.is_rejected else self.passage.verdict.value

    @property
    def is_tracked(self) -> bool | None:
        """None unless it is allowed."""
        if self.programs is not None and self.is_of_programs:
            return self.programs.is_tracked
        return self.passage.is_tracked if self.passage.verdict is Verdict.ALLOW else None

    @property
    def rule(self) -> str | None:
        """What decided, as tests call it; None where a reason alone did."""
        if self.programs is not None and self.is_of_programs:
            return self.programs.rule
        decided = self.passage.decided
        return rule_name(decided.trace.rule) if decided is not None and decided.trace.rule is not None else None


@dataclass(frozen=True, slots=True)
class Ran:
    """A test that was run."""

    test: PolicyTest
    world: World
    judged: tuple[Judged, ...]


def run(test: PolicyTest) -> Ran:
    """What comes of the test. Raises: Unloadable."""
    world, probes = load(test)
    judged: list[Judged] = []
    for probe in probes:
        judged.append(_judge(probe, judged, world))
    return Ran(test, world, tuple(judged))


def load(test: PolicyTest) -> tuple[World, list[Probe]]:
    """What the test describes and tries; nothing was tried yet. Raises: Unloadable."""
    world = build(test, passes_on=any(packet.fields["direction"] == "forward" for packet in test.packets))
    problems = Problems(test.source)
    probes = read_packets(test, world, problems)
    if problems:
        raise Unloadable(problems.listed())
    return world, probes


def _judge(probe: Probe, earlier: Sequence[Judged], world: World) -> Judged:
    named = None if probe.named is None else earlier[probe.named]
    relation = _relation(probe, named)
    passage = pass_through(probe.packet, probe.way, world.host, relation)
    return Judged(probe, relation, passage, _entry(probe.packet, relation, passage, named))


def _relation(probe: Probe, named: Judged | None) -> Relation:
    state = probe.spec.fields.get("state")
    if state is not None:
        return Relation(str(state).lower())
    table = ConnectionTable()
    if named is not None and named.entry is not None:
        table.follow(named.entry, Direction.INGRESS, "", 0.0)
    return table.relation(probe.packet)


def _entry(packet: Packet, relation: Relation, passage: Passage, named: Judged | None) -> Packet | None:
    if passage.verdict is Verdict.DENY or not passage.is_tracked:
        return None
    match relation:
        case Relation.NEW:
            return packet if can_open(packet) else None
        case Relation.ESTABLISHED:
            return named.entry if named is not None and named.entry is not None else opener_of(packet)
        case _:
            return None


def opener_in(judged: Sequence[Judged], one: Judged) -> Packet:
    """The first packet of the connection that this one of a test is of."""
    named = None if one.probe.named is None else judged[one.probe.named].entry
    return named if named is not None else opener_of(one.probe.packet)


def forced(one: Judged, opener: Packet | None) -> str:
    """Why no table of connections makes the packet what the test says; empty where one with that connection does."""
    table = ConnectionTable()
    if opener is not None:
        table.follow(opener, Direction.INGRESS, "", 0.0)
    return "" if one.relation is table.relation(one.probe.packet) else "the test forces a state"


def opener_of(packet: Packet) -> Packet:
    """A packet that opens the flow which this one is said to belong to."""
    if packet.protocol in (ICMP, ICMPV6) and packet.icmp_type in ICMP_REPLIES[packet.protocol]:
        asked = ICMP_REQUESTS[packet.protocol][ICMP_REPLIES[packet.protocol].index(packet.icmp_type)]
        return replace(packet, source=packet.destination, destination=packet.source, icmp_type=asked)
    return replace(packet, tcp_flags=SYN, is_sctp_init=True)


def complaints(one: Judged) -> list[str]:
    """What was expected and is not so; the programs are expected to do what the evaluator says."""
    return [*_unmet(one), *_disagreement(one)]


def _disagreement(one: Judged) -> list[str]:
    programs = one.programs
    mine = (one.verdict, one.is_tracked, one.rule)
    if programs is None or one.is_of_programs or programs.unsupported or programs[:3] == mine:
        return []
    theirs = _answer_text(*programs[:3])
    return [f"{programs.by} says {theirs}, and the evaluator {_answer_text(*mine)}: please report it"]


def _answer_text(verdict: str | None, is_tracked: bool | None, rule: str | None) -> str:
    tracked = {None: "", True: ", tracked", False: ", untracked"}[is_tracked]
    return f"{verdict}{tracked}{f' by {rule}' if rule else ''}"


def _unmet(one: Judged) -> list[str]:
    fields = one.probe.spec.fields
    found: list[str] = []
    if one.verdict == UNSUPPORTED:
        return found
    if (wanted := fields.get("expect")) not in (None, one.verdict):
        found.append(f"expected {wanted}, got {one.verdict}")
    if (tracked := fields.get("tracked")) not in (None, one.is_tracked):
        got = {None: "it is not allowed at all", True: "it is tracked", False: "it is not tracked"}[one.is_tracked]
        found.append(f"expected it to be {'tracked' if tracked else 'untracked'}, but {got}")
    if (rule := fields.get("rule")) is not None and not _names(str(rule), one.rule):
        reason = "no rule" if one.is_of_programs else one.passage.reason.value
        found.append(f"expected {rule} to decide, but {one.rule or reason} did")
    return found


def _names(expected: str, rule: str | None) -> bool:
    """Whether the expectation is the rule, or the policy or profile that it stands in."""
    return rule is not None and expected in (rule, rule.rpartition("/")[0])


def rule_name(rule: RuleRef) -> str:
    """`policy/0`, `namespace/policy/0`, `profile name/0`; `tier name`, `profile name` and `endpoint name` for ends."""
    key = rule.policy
    name = f"{key.namespace}/{key.name}" if key.namespace else key.name
    match key.kind:
        case "Tier":
            return f"tier {name}"
        case "HostEndpoint" | "WorkloadEndpoint":
            return f"endpoint {name}"
        case "Profile":
            return f"profile {name}" if rule.index < 0 else f"profile {name}/{rule.index}"
        case _:
            return f"{name}/{rule.index}"
