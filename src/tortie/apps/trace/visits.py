"""The classes of policy that a packet came to, with the rules that it met there: as JSON, and in lines. Pure.

One telling for `trace`, failed tests and counter-examples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tortie.apps.sentences import because, place, shown_index
from tortie.apps.trace.answers import StepAnswer, VisitAnswer
from tortie.apps.trace.conditions import counted, why_not
from tortie.apps.trace.origins import Origins
from tortie.model.ipset import IPSet
from tortie.model.packet import Packet
from tortie.model.passage import Passage, Visit
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, RuleRef

NO_MATCH, CONTINUE = "no match", "continue"
"""Outcomes of what was considered and not met. Source: model/verdict.py, Step."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What rules are told with: where each stands, and the sets that they refer to."""

    origins: Origins
    sets: Mapping[str, IPSet]


def visit_answer(visit: Visit, packet: Packet, book: Rulebook, *, tells_all: bool) -> VisitAnswer:
    """A visit as JSON; `tells_all`: with the rules that do not match, and why."""
    endpoint, found = visit.endpoint, visit.trace
    steps = [step for step in found.steps if tells_all or step.outcome != NO_MATCH]
    return {
        "interface": visit.interface,
        "direction": visit.direction.value,
        "endpoint": None if endpoint is None else endpoint.endpoint,
        "is_workload": endpoint is not None and endpoint.is_workload,
        "stage": found.stage.value,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "because": _because(visit, packet),
        "steps": [step_answer(visit, step.rule, step.outcome, packet, book) for step in steps],
        "unmatched": sum(step.outcome == NO_MATCH for step in found.steps),
    }


def _because(visit: Visit, packet: Packet) -> str:
    found, endpoint = visit.trace, visit.endpoint
    if found.rule is None and found.reason in (Reason.NO_MATCH, Reason.FORWARDED) and endpoint is not None:
        has_policy = bool(endpoint.stage(found.stage, visit.direction))
        return "no rule decides" if has_policy else "it has no policy of this class"
    return because(found.reason, found.rule, packet)


def step_answer(visit: Visit, rule: RuleRef, outcome: str, packet: Packet, book: Rulebook) -> StepAnswer:
    """A rule as JSON; rules count from 0 in their direction, as in the document's list."""
    return {
        **plain_step(visit.trace.stage, replace(rule, policy=book.origins.named(rule.policy)), outcome),
        "origin": book.origins.place(rule, visit.direction),
        "why_not": _why_not(visit, rule, packet, book) if outcome == NO_MATCH else "",
        "is_met": outcome not in (NO_MATCH, CONTINUE),
    }


def plain_step(stage: Stage, rule: RuleRef, outcome: str) -> StepAnswer:
    """The same of a rule that was met, and of which nobody knows where it stands."""
    return {
        "stage": stage.value,
        "tier": rule.tier,
        "policy": str(rule.policy),
        "rule": shown_index(rule),
        "outcome": outcome,
        "origin": "",
        "why_not": "",
        "is_met": True,
    }


def _why_not(visit: Visit, ref: RuleRef, packet: Packet, book: Rulebook) -> str:
    endpoint = visit.endpoint
    rule = None if endpoint is None else endpoint.rule(visit.trace.stage, visit.direction, ref)
    return "" if rule is None else why_not(rule, packet, book.sets)


def passage_lines(told: Passage, packet: Packet, book: Rulebook) -> Iterator[str]:
    """Everything that was considered on a packet's way. `told`: a passage that tells all."""
    for visit in told.visits:
        yield from visit_lines(visit_answer(visit, packet, book, tells_all=True), tells_all=True)
    if not told.visits:
        yield because(told.reason, None, packet)


def visit_lines(visit: VisitAnswer, *, tells_all: bool) -> Iterator[str]:
    """A visit in lines, the rules below it."""
    stage = "workload" if visit["is_workload"] else visit["stage"]
    yield f"{stage} {visit['direction']} at {visit['interface']}, {visit['endpoint'] or 'no endpoint'}"
    for step in visit["steps"]:
        if tells_all or step["is_met"]:
            origin = f" ({step['origin']})" if step["origin"] else ""
            why = f" because of {step['why_not']}" if step["why_not"] else ""
            yield f"  {_what(step)}{origin}: {step['outcome']}{why}"
    if visit["unmatched"] and not tells_all:
        yield f"  {counted(visit['unmatched'], 'rule')} did not match (--all says why)"
    if not any(step["outcome"] in ("allow", "deny") for step in visit["steps"]):
        yield f"  {visit['verdict']}: {visit['because']}"


def _what(step: StepAnswer) -> str:
    if step["rule"] is None and step["outcome"] == CONTINUE:
        name = step["policy"].partition("(")[2][:-1]
        return f"end of tier {step['tier']}" if step["tier"] else f"end of profile {name}"
    return place(step["tier"], step["policy"], step["rule"])
