"""What a sequence of rules decides about every packet at once: `walk` (model/walk.py) over the whole space.

Each rule is a small map from its packets to what it adds to the walk (`Progress`). To add up is associative, so that
neighbours are joined first: a thousand rules take ten rounds, most of them of small maps.

A packet that shows its ports has been decided, passed on, or not been met. For a later fragment there is also what may
have happened: the verdict that some rule may have given, and whether some rule may have passed it on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import assert_never, cast

from tortie.model.rule import Action, Rule
from tortie.model.space.diagram import NOTHING, Diagram, Diagrams, Leaf, otherwise
from tortie.model.space.packetspace import PacketSpace
from tortie.model.space.space import Likely, Space
from tortie.model.verdict import Reason, RuleRef, Verdict
from tortie.model.walk import Group


class End(Enum):
    """How far a walk is. PASSED and LEFT have ended a group, DECIDED and TORN the walk."""

    OPEN = "open"
    PASSED = "passed"
    LEFT = "left"
    """A rule decides, unless an earlier one has passed the packet on: the next group is asked too."""
    DECIDED = "decided"
    TORN = "torn"
    """Both verdicts are possible."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What some rules in a row have done to a packet.

    `possible`: the verdict that one of them may have given. `rule`: the one that ended the group or the walk.
    """

    possible: Verdict | None = None
    may_have_passed: bool = False
    end: End = End.OPEN
    rule: RuleRef | None = None

    @property
    def ends_walk(self) -> bool:
        """Whether no later group is asked."""
        return self.end in (End.DECIDED, End.TORN)

    def then(self, later: "Progress") -> "Progress":
        """What these rules and later ones of the same group have done. Source: model/walk.py."""
        if self.end is not End.OPEN:
            return self
        possible = self.possible or later.possible
        if later.possible not in (None, possible) or later.end is End.TORN:
            return TORN
        is_left = later.end is End.DECIDED and self.may_have_passed
        may_have_passed = self.may_have_passed or later.may_have_passed
        return Progress(possible, may_have_passed, End.LEFT if is_left else later.end, later.rule)


TORN = Progress(end=End.TORN)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a walk comes to for a packet: as `Trace`, without the steps."""

    verdict: Verdict
    reason: Reason
    rule: RuleRef | None = None


def walk_all(groups: Sequence[Group], packets: PacketSpace, meant: Space) -> Diagram:
    """A map from the packets that are meant to the walk's `Decision`; those that all groups let go are not in it."""
    diagrams = packets.ground.diagrams
    made = (diagrams.fold(then, steps_of(group.all_rules(), packets, meant)) for group in groups)
    ended = (diagrams.relabel(one, after_group) for one in made)
    return diagrams.relabel(diagrams.fold(then, ended), _concluded)


def steps_of(rules: Iterable[tuple[RuleRef, Rule]], packets: PacketSpace, meant: Space) -> list[Diagram]:
    """A map from the packets that are meant to the `Progress` that each rule alone makes."""
    return [_step(ref, rule, packets.rule(rule, meant), packets.ground.diagrams) for ref, rule in rules]


def then(diagrams: Diagrams, one: Diagram, other: Diagram) -> Diagram | None:
    """First these rules, then those (a `Merge`)."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    if isinstance(one, Leaf):
        made = cast(Progress, one.value)
        if made.end is not End.OPEN:
            return one
        if isinstance(other, Leaf):
            return diagrams.leaf(made.then(cast(Progress, other.value)))
    return None


def after_group(value: object) -> Progress | None:
    """What is left of a group's progress for the next group; None where it is as if there had been no group."""
    made = cast(Progress, value)
    if made.ends_walk:
        return made
    return None if made.possible is None else Progress(made.possible)


def _step(ref: RuleRef, rule: Rule, likely: Likely, diagrams: Diagrams) -> Diagram:
    """What one rule does to the packets that it holds for, and may do to those that do not tell."""
    match rule.action:
        case Action.LOG:
            return NOTHING
        case Action.PASS:
            surely, maybe = Progress(end=End.PASSED, rule=ref), Progress(may_have_passed=True)
        case Action.ALLOW | Action.DENY:
            verdict = Verdict.ALLOW if rule.action is Action.ALLOW else Verdict.DENY
            surely, maybe = Progress(verdict, end=End.DECIDED, rule=ref), Progress(verdict)
        case _:
            assert_never(rule.action)
    unknown = likely.maybe - likely.surely
    held = diagrams.relabel(likely.surely.diagram, lambda _: surely)
    return diagrams.merge(otherwise, held, diagrams.relabel(unknown.diagram, lambda _: maybe)) if unknown else held


def _concluded(value: object) -> Decision:
    """What a walk that ended so decides; one verdict that was possible beside none at all is a fragment's."""
    made = cast(Progress, value)
    if made.end is not End.DECIDED or made.possible is None or made.rule is None:
        return Decision(Verdict.DENY, Reason.FRAGMENT)
    return Decision(made.possible, made.rule.reason, made.rule)
