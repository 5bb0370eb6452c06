"""Tiers, profiles and their rules in order: what they decide about one packet, and what is met on the way.

One walk serves every stage, whole packets and fragments. A later fragment shows no ports, so a rule that asks for them
may or may not have met the packet it belongs to: the walk then collects every verdict that was possible, and the packet
gets one only if it is the only one; else it is dropped.

Source: reference dataplane-policy.md A.6, resources.md section 7; semantics.md, row "Fragments".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Packet
from tortie.model.policy import PolicyKey, Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Step, Trace, Verdict

DENY_ALL = Rule(Action.DENY)
"""The rule that stands behind a tier, for a missing profile, and at the end of everything."""


class RuleList(NamedTuple):
    """The rules of one policy of a tier, or of a profile, in one direction."""

    tier: str
    policy: PolicyKey
    rules: tuple[Rule, ...]

    def numbered(self) -> Iterator[tuple[RuleRef, Rule]]:
        """The rules with their names."""
        return ((RuleRef(self.tier, self.policy, index), rule) for index, rule in enumerate(self.rules))


class Group(NamedTuple):
    """A tier, a profile, or the default of an endpoint: a Pass out of it goes on with the next one.

    `end` is what its end is called, and `denies`, whether the end denies what no rule decided.
    """

    end: RuleRef
    lists: tuple[RuleList, ...] = ()
    denies: bool = False

    @property
    def rules(self) -> Iterator[tuple[RuleRef, Rule]]:
        """The rules of all lists."""
        return (each for listed in self.lists for each in listed.numbered())

    def all_rules(self) -> Iterator[tuple[RuleRef, Rule]]:
        """The rules, with the one that stands for an end that denies."""
        yield from self.rules
        if self.denies:
            yield self.end, DENY_ALL


@dataclass(frozen=True, slots=True)
class Given:
    """What holds for the whole host while a packet is judged.

    `tells_all`: rules that do not match and tiers that let go become steps too, for people who ask why.
    """

    sets: Mapping[str, IPSet]
    failsafes: Failsafes
    drops_invalid: bool = True
    tells_all: bool = False


def walk(packet: Packet, groups: Sequence[Group], stage: Stage, given: Given) -> Trace:
    """What the groups decide; to continue where all of them let go. Steps are the rules that surely hold."""
    possible: set[Verdict] = set()
    steps: list[Step] = []
    for group in groups:
        may_have_passed = False
        for ref, rule in group.all_rules():
            holds = rule.holds(packet, given.sets)
            if holds is False:
                if given.tells_all:
                    steps.append(Step(ref, "no match"))
                continue
            step = Step(ref, rule.action.value.lower())
            match rule.action:
                case Action.LOG:
                    if holds:
                        steps.append(step)
                case Action.PASS:
                    if holds:
                        steps.append(step)
                        break
                    may_have_passed = True
                case Action.ALLOW | Action.DENY:
                    possible.add(Verdict.ALLOW if rule.action is Action.ALLOW else Verdict.DENY)
                    if len(possible) > 1:
                        return _conclude(possible, None, steps, stage)
                    if holds and may_have_passed:
                        break
                    if holds:
                        return _conclude(possible, ref, [*steps, step], stage)
                case _:
                    assert_never(rule.action)
        else:
            if given.tells_all:
                steps.append(Step(group.end, "continue"))
    possible.add(Verdict.CONTINUE)
    return _conclude(possible, None, steps, stage)


def _conclude(possible: set[Verdict], last: RuleRef | None, steps: list[Step], stage: Stage) -> Trace:
    """The one possible verdict, or a drop where policy could have depended on ports that are not there.

    `last` is what surely ended the walk; without one, the end of the last group was reached.
    """
    if len(possible) > 1:
        return reasoned(Verdict.DENY, Reason.FRAGMENT, stage, steps=steps)
    (verdict,) = possible
    reason = Reason.NO_MATCH if verdict is Verdict.CONTINUE else last.reason if last is not None else Reason.POLICY
    return reasoned(verdict, reason, stage, rule=last, steps=steps)


def reasoned(
    verdict: Verdict, reason: Reason, stage: Stage, *, rule: RuleRef | None = None, steps: Sequence[Step] = ()
) -> Trace:
    """A trace; without a rule, the reason says it all."""
    return Trace(verdict=verdict, reason=reason, stage=stage, rule=rule, steps=tuple(steps))
