"""What one endpoint's policy makes of all packets: which outcome each gets, by which rule, and which rules get none.

    base ─▶ class after class: what its failsafes exempt ─▶ what its rules decide ─▶ the rest goes on to the next class

The packets are first ones of connections (whole, and of ICMP those that ask), to which no connection table has anything
to say. Exact over the whole header space; the meaning is that of `model/stages.py`, and a test compares the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tortie.model.address import Net
from tortie.model.desired import EndpointState
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.host import Host
from tortie.model.packet import ICMP, ICMP_REQUESTS, ICMPV6, Direction, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.space import PacketSpace, RuleReach, Space, reach
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
    """Packets that get one verdict for one reason. `rule`: what decides, as in a Trace; `decider` its matches."""

    verdict: Verdict
    stage: Stage
    reason: Reason
    space: Space
    rule: RuleRef | None = None
    decider: Rule | None = None

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
    """Every outcome in the order of the walk, and every rule in its place. `base`: the packets in question."""

    base: Space
    outcomes: tuple[Outcome, ...]
    uses: tuple[RuleUse, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """The packets in question; None: all. `destinations`: networks that they go to."""

    protocols: tuple[int, ...] | None = None
    port: int | None = None
    destinations: tuple[Net, ...] | None = None


def study(endpoint: EndpointState, path: Path, host: Host, question: Question) -> Study:
    """What the endpoint's policy on that path makes of the packets in question."""
    return _Study(endpoint, path, host, question).run()


class _Left(NamedTuple):
    """The packets in question, and those of them that come to a class."""

    base: Space
    left: Space


@dataclass(slots=True)
class _Study:
    endpoint: EndpointState
    path: Path
    host: Host
    question: Question
    outcomes: list[Outcome] = field(default_factory=list)
    uses: list[RuleUse] = field(default_factory=list)

    def run(self) -> Study:
        direction = self.path.direction
        walks = {stage: _kept(stage_groups(self.endpoint, stage, direction)) for stage in self.path.stages}
        packets = self._packet_space(group for groups in walks.values() for group in groups)
        base = left = self._base(packets)
        for stage, groups in walks.items():
            left = self._stage(stage, groups, _Left(base, left), packets)
        if left:
            self.outcomes.append(Outcome(Verdict.ALLOW, self.path.stages[-1], Reason.FORWARDED, left))
        return Study(base, tuple(self.outcomes), tuple(self.uses))

    def _stage(self, stage: Stage, groups: Sequence[Group], coming: _Left, packets: PacketSpace) -> Space:
        """What no rule of the class decides. Failsafes let packets past a class, and in the normal one for good."""
        taken: list[tuple[RuleRef | None, Space]] = [(one.rule, one.space) for one in self.outcomes]
        exempt = coming.left & self._exempt(stage, packets)
        if exempt:
            taken.append((None, exempt))
            if stage is Stage.NORMAL:
                self.outcomes.append(Outcome(Verdict.ALLOW, stage, Reason.FAILSAFE, exempt))
        asked = coming.left - exempt
        found = reach(groups, packets)
        decided = [_outcome(stage, one, asked) for one in found if one.rule.action in _DECIDING]
        self.outcomes += [one for one in decided if one.space]
        for one in found:
            meets, holds = one.meets & asked, one.holds.surely & coming.base
            takers = () if meets else tuple(ref for ref, space in taken if space & holds)
            self.uses.append(RuleUse(one.ref, one.rule, stage, holds, meets, takers))
            if one.rule.action is not Action.LOG:
                taken.append((one.ref, meets))
        rest = asked - packets.union(one.space for one in decided)
        return rest if stage is Stage.NORMAL else rest | exempt

    def _exempt(self, stage: Stage, packets: PacketSpace) -> Space:
        """What the failsafes keep from the class. Source: model/stages.py."""
        if self.endpoint.is_workload or stage is Stage.FORWARD:
            return packets.nothing
        opened, replies = _lists(self.host.failsafes, self.path.direction)
        remote = Side.SOURCE if self.path.direction is Direction.INGRESS else Side.DESTINATION
        found = packets.failsafes(opened, port=Side.DESTINATION, remote=remote)
        if stage is Stage.UNTRACKED:
            found |= packets.failsafes(replies, port=Side.SOURCE, remote=remote)
        return found

    def _packet_space(self, groups: Iterable[Group]) -> PacketSpace:
        rules = [rule for group in groups for _, rule in group.rules]
        failsafes = (*self.host.failsafes.inbound, *self.host.failsafes.outbound)
        nets: list[Sequence[Net]] = [(entry.net,) for entry in failsafes if entry.net is not None]
        if self.question.destinations is not None:
            nets.append(self.question.destinations)
        return PacketSpace(self.host.sets, rules, nets)

    def _base(self, packets: PacketSpace) -> Space:
        """The packets in question: first ones of connections."""
        question = self.question
        others = packets.protocols(ICMP, ICMPV6)
        asking = packets.icmp(ICMP_REQUESTS[ICMP]) & packets.protocols(ICMP)
        asking |= packets.icmp(ICMP_REQUESTS[ICMPV6]) & packets.protocols(ICMPV6)
        found = (packets.everything - packets.later_fragments - others) | asking
        found -= packets.essential
        if question.protocols is not None:
            found &= packets.protocols(*question.protocols)
        if question.port is not None:
            found &= packets.ports(Side.DESTINATION, [(question.port, question.port)])
        if question.destinations is not None:
            found &= packets.nets(Side.DESTINATION, question.destinations)
        return found


_DECIDING = (Action.ALLOW, Action.DENY)


def _kept(groups: Iterable[Group]) -> list[Group]:
    """The groups with their rules as lists: they are gone through more than once."""
    return [group._replace(rules=tuple(group.rules)) for group in groups]


def _outcome(stage: Stage, one: RuleReach, asked: Space) -> Outcome:
    verdict = Verdict.ALLOW if one.rule.action is Action.ALLOW else Verdict.DENY
    return Outcome(verdict, stage, one.ref.reason, one.meets & asked, one.ref, one.rule)


def _lists(failsafes: Failsafes, direction: Direction) -> tuple[Sequence[FailsafePort], Sequence[FailsafePort]]:
    """The ports that stay open in that direction, and those whose replies do."""
    if direction is Direction.INGRESS:
        return failsafes.inbound, failsafes.outbound
    return failsafes.outbound, failsafes.inbound
