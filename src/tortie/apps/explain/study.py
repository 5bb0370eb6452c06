"""What one endpoint's policy makes of all packets: which outcome each gets, by which rule, and which rules get none.

The packets are first ones of connections (whole, and of ICMP those that ask), to which no connection table has anything
to say. Exact over the whole header space; the meaning is that of `model/stages.py`, and a test compares the two.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from tortie.apps.packets import protocol_name
from tortie.model.address import Net
from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.host import Host, ToHost
from tortie.model.matches import NetMatch, PortMatch, ProtocolMatch
from tortie.model.packet import ICMP, ICMP_REQUESTS, ICMPV6, Direction, Side
from tortie.model.passage import Way
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.space import PacketSpace, Space, reach
from tortie.model.space.passing import Crossing, Outcomes
from tortie.model.space.staging import Fate
from tortie.model.stages import stage_groups
from tortie.model.verdict import Reason, RuleRef, Verdict
from tortie.model.walk import Group


class Path(Enum):
    """What packets do at an endpoint. Value: direction, and the classes in the order in which they are met there."""

    TO_HOST = (Direction.INGRESS, (Stage.UNTRACKED, Stage.PRE_DNAT, Stage.NORMAL))
    FROM_HOST = (Direction.EGRESS, (Stage.UNTRACKED, Stage.NORMAL))
    FORWARD_IN = (Direction.INGRESS, (Stage.UNTRACKED, Stage.PRE_DNAT, Stage.FORWARD))
    FORWARD_OUT = (Direction.EGRESS, (Stage.FORWARD,))
    TO_WORKLOAD = (Direction.INGRESS, (Stage.NORMAL,))
    FROM_WORKLOAD = (Direction.EGRESS, (Stage.NORMAL,))

    def __init__(self, direction: Direction, stages: tuple[Stage, ...]) -> None:
        self.direction, self.stages = direction, stages


@dataclass(frozen=True, slots=True)
class Outcome:
    """Packets that get one verdict for one reason. `rule`: what decides, as in a Trace; `decider` its matches.

    `is_rejected`: the sender is told.
    """

    verdict: Verdict
    stage: Stage
    reason: Reason
    space: Space
    rule: RuleRef | None = None
    decider: Rule | None = None
    is_rejected: bool = False

    @property
    def is_tracked(self) -> bool:
        """Whether an allowed packet is one of connection tracking's."""
        return self.verdict is Verdict.ALLOW and self.stage is not Stage.UNTRACKED


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A rule in its class: the packets that it holds for, and those of them that it meets.

    `taken_by`: where it meets none, what has them; None stands for failsafes. Empty: its matches exclude each other, or
    it is about none of the packets in question.
    """

    ref: RuleRef
    rule: Rule
    stage: Stage
    holds: Space
    meets: Space
    taken_by: tuple[RuleRef | None, ...] = ()

    @property
    def never_matches(self) -> bool:
        """Whether it is about such packets and meets none of them."""
        return not self.meets and bool(self.holds)


@dataclass(frozen=True, slots=True)
class Study:
    """Every outcome in the order of the walk, and every rule in its place.

    `base`: the packets in question, out of all `packets` as these rules tell them apart.
    """

    packets: PacketSpace
    base: Space
    outcomes: tuple[Outcome, ...]
    uses: tuple[RuleUse, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """The packets in question; None: all. `destinations`: networks that they go to. `groups`: others that are not asked
    about, and that rules may be for all the same: which of them never match is told of these, too."""

    protocols: tuple[int, ...] | None = None
    port: int | None = None
    destinations: tuple[Net, ...] | None = None
    groups: tuple[Net, ...] = ()

    def to(self, destinations: tuple[Net, ...] | None, groups: tuple[Net, ...] = ()) -> "Question":
        """The same about packets to these networks."""
        return replace(self, destinations=destinations, groups=groups)

    @property
    def port_word(self) -> str:
        """`tcp/5432`; empty where it is about every port."""
        if self.port is None or self.protocols is None:
            return ""
        return f"{'/'.join(protocol_name(one).lower() for one in self.protocols)}/{self.port}"


def study(endpoint: EndpointState, path: Path, host: Host, question: Question) -> Study:
    """What the endpoint's policy on that path makes of the packets in question."""
    endpoint = _narrowed(endpoint, question)
    stages = {stage: stage_groups(endpoint, stage, path.direction) for stage in path.stages}
    order: dict[RuleRef, tuple[Stage, Rule]] = {}
    for stage, groups in stages.items():
        for group in groups:
            for ref, rule in group.all_rules():
                order.setdefault(ref, (stage, rule))
    crossing = Crossing(_alone(endpoint, host), _way(path), nets=[question.destinations or (), question.groups])
    packets = crossing.packets
    met = _base(question, packets)
    base = met
    if question.destinations is not None:
        asked = packets.nets(Side.DESTINATION, question.destinations)
        base, met = met & asked, met & (asked | packets.nets(Side.DESTINATION, question.groups))
    found = [*_outcomes(crossing.outcomes(Relation.NEW, met), path, order)]
    outcomes = (replace(one, space=one.space & base) for one in found) if question.groups else found
    return Study(packets, base, tuple(one for one in outcomes if one.space), tuple(_uses(stages, found, met, packets)))


def _narrowed(endpoint: EndpointState, question: Question) -> EndpointState:
    """The endpoint with rules about other ports as rules about nothing, each in its place.

    Because: most rules of a large policy are about other ports, and what holds for nobody costs nothing.
    """
    if question.port is None:
        return endpoint

    def kept(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(rule if _may_concern(rule, question) else Rule(rule.action, (_NOTHING,)) for rule in rules)

    def policies(groups: tuple[TierPolicies, ...]) -> tuple[TierPolicies, ...]:
        return tuple(
            TierPolicies(
                group.tier,
                tuple(replace(one, ingress=kept(one.ingress), egress=kept(one.egress)) for one in group.policies),
            )
            for group in groups
        )

    return replace(endpoint, tiers={place: policies(groups) for place, groups in endpoint.tiers.items()})


_NOTHING = NetMatch(Side.SOURCE, ())


def _may_concern(rule: Rule, question: Question) -> bool:
    """Whether no match alone tells that the rule is about other packets."""
    protocols, port = question.protocols, question.port
    for match in rule.matches:
        match match:
            case ProtocolMatch(protocol, False) if protocols is not None and protocol not in protocols:
                return False
            case PortMatch(Side.DESTINATION, ranges, (), False) if port is not None:
                if not any(span.first <= port <= span.last for span in ranges):
                    return False
            case _:
                pass
    return True


_IFACE, _BEYOND = "it", ""
"""The endpoint's interface in a host of its own, and one without any policy."""


def _alone(endpoint: EndpointState, host: Host) -> Host:
    """The host with nothing on it but this endpoint."""
    places: dict[str, EndpointState] = {_IFACE: endpoint}
    return replace(
        host,
        endpoints={} if endpoint.is_workload else places,
        workloads=places if endpoint.is_workload else {},
        wildcard=None,
        workload_prefixes=(),
        to_host=ToHost.ACCEPT,
    )


def _way(path: Path) -> Way:
    match path:
        case Path.TO_HOST:
            return Way(_IFACE, None)
        case Path.FROM_HOST:
            return Way(None, _IFACE)
        case Path.FORWARD_IN | Path.FROM_WORKLOAD:
            return Way(_IFACE, _BEYOND)
        case Path.FORWARD_OUT | Path.TO_WORKLOAD:
            return Way(_BEYOND, _IFACE)
        case _:
            assert_never(path)


def _base(question: Question, packets: PacketSpace) -> Space:
    """The packets in question, wherever they go: first ones of connections."""
    asking = packets.icmp(ICMP_REQUESTS[ICMP]) & packets.protocols(ICMP)
    asking |= packets.icmp(ICMP_REQUESTS[ICMPV6]) & packets.protocols(ICMPV6)
    found = (packets.everything - packets.later_fragments - packets.protocols(ICMP, ICMPV6)) | asking
    found -= packets.essential
    if question.protocols is not None:
        found &= packets.protocols(*question.protocols)
    if question.port is not None:
        found &= packets.ports(Side.DESTINATION, [(question.port, question.port)])
    return found


def _outcomes(found: Outcomes, path: Path, order: Mapping[RuleRef, tuple[Stage, Rule]]) -> Iterator[Outcome]:
    """Each fate with its packets, in the order of the rules; failsafes stand where the last class begins."""
    numbers = {ref: number for number, ref in enumerate(order)}
    last = path.stages[-1]
    start = next((number for number, (stage, _) in enumerate(order.values()) if stage is last), len(order))

    def place(fate: Fate) -> tuple[int, bool]:
        if fate.rule is not None:
            return numbers[fate.rule], True
        return (start, False) if fate.reason is Reason.FAILSAFE else (len(order), True)

    parts = found.parts()
    for fate in sorted(parts, key=place):
        stage, rule = (last, None) if fate.rule is None else order[fate.rule]
        yield Outcome(fate.verdict, stage, fate.reason, parts[fate], fate.rule, rule, fate.is_rejected)


def _uses(
    stages: Mapping[Stage, Sequence[Group]], outcomes: Sequence[Outcome], base: Space, packets: PacketSpace
) -> Iterator[RuleUse]:
    """Every rule in order, with what it meets: what it decides about, or comes to it to be passed on or logged."""
    final = {one.rule: one.space for one in outcomes if one.rule is not None}
    exempt = [one.space for one in outcomes if one.reason is Reason.FAILSAFE]
    taken: list[tuple[RuleRef | None, Space]] = [(None, space) for space in exempt]
    left = base
    for stage, groups in stages.items():
        asked = left - packets.union(exempt) if stage is not Stage.FORWARD else left
        for one in reach(groups, packets):
            holds = one.holds.surely & base
            decides = one.rule.action in (Action.ALLOW, Action.DENY)
            meets = final.get(one.ref, packets.nothing) if decides else one.meets & asked
            takers = () if meets else tuple(ref for ref, space in taken if space & holds)
            is_exempt = not meets and not takers and bool(holds)  # what is left are the replies of failsafe ports
            yield RuleUse(one.ref, one.rule, stage, holds, meets, (None,) if is_exempt else takers)
            if one.rule.action is not Action.LOG:
                taken.append((one.ref, meets))
        left -= packets.union(one.space for one in outcomes if one.stage is stage)
