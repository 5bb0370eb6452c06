"""A policy for people: what it selects, its place, and for each rule whether any packet on this node meets it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tortie.apps.explain.answers import PlacedRule, PolicyExplained, SelectedEndpoint
from tortie.apps.explain.endpoints import takers
from tortie.apps.explain.node import Node, Standing
from tortie.apps.explain.study import Question, RuleUse
from tortie.apps.labelled import ENDPOINTS
from tortie.apps.packets import describe
from tortie.apps.trace.conditions import words
from tortie.calc.order import policy_rank
from tortie.model.endpoint import NetworkSet
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey
from tortie.model.rule import Rule
from tortie.model.verdict import RuleRef

MEETS, NEVER, IDLE = "meets", "never", "idle"


@dataclass(frozen=True, slots=True)
class _Used:
    """A rule of the policy at one endpoint of this node."""

    standing: Standing
    direction: Direction
    use: RuleUse


def policy_explained(node: Node, policy: Policy, company: Iterable[Policy]) -> PolicyExplained:
    """The policy among all others (`company`)."""
    tier = sorted((one for one in company if one.tier == policy.tier), key=policy_rank)
    place = next(number for number, one in enumerate(tier) if one.key == policy.key)
    standings = [one for one in node.standings() if _governs(one, policy.key)]
    used = [*_uses(node, standings, policy.key)]
    return {
        "policy": str(node.view.origins.named(policy.key)),
        "tier": policy.tier,
        "order": policy.order,
        "selector": policy.selector.canonical,
        "classes": [stage.value for stage in policy.stages],
        "directions": [one.value for one in Direction if one in policy.governs],
        "before": _names(node, tier[:place]),
        "after": _names(node, tier[place + 1 :]),
        "selects": [*_selected(node, policy, standings)],
        "rules": [*_rules(node, policy, used)],
    }


def _names(node: Node, policies: Sequence[Policy]) -> list[str]:
    return [str(node.view.origins.named(one.key)) for one in policies]


def _governs(one: Standing, key: PolicyKey) -> bool:
    """Whether the policy holds at that endpoint."""
    tiers = () if one.state is None else (group for groups in one.state.tiers.values() for group in groups)
    return any(policy.key == key for group in tiers for policy in group.policies)


def _selected(node: Node, policy: Policy, standings: Sequence[Standing]) -> Iterator[SelectedEndpoint]:
    for one in node.things.selected(policy.selector):
        if one.key.kind not in ENDPOINTS or isinstance(one.value, NetworkSet):
            continue
        here = [each.interface for each in standings if each.state is not None and node.labelled(each.state) is one]
        why = {key: node.things.label(one, key) for key in policy.selector.keys if key in one.labels}
        yield {"name": str(one), "node": one.value.node, "why": why, "interfaces": here}


def _uses(node: Node, standings: Iterable[Standing], key: PolicyKey) -> Iterator[_Used]:
    """Every rule of the policy on every path through the endpoints where it holds."""
    for one in standings:
        if one.state is None:
            continue
        for path in node.paths(one):
            found = node.study(one.state, path, Question()).uses
            yield from (_Used(one, path.direction, use) for use in found if use.ref.policy == key)


def _rules(node: Node, policy: Policy, used: Sequence[_Used]) -> Iterator[PlacedRule]:
    for direction in Direction:
        for index, rule in enumerate(policy.rules(direction)):
            here = [one for one in used if one.direction is direction and one.use.ref.index == index]
            ref = RuleRef(policy.tier, policy.key, index)
            found = _rule(node, rule, here)
            found["direction"], found["rule"] = direction.value, index
            found["origin"] = node.view.origins.place(ref, direction)
            found["hits"] = node.hits_of(ref, direction, policy.stages)
            yield found


def _rule(node: Node, rule: Rule, used: Sequence[_Used]) -> PlacedRule:
    """What becomes of the rule; its place is put in by whoever knows it."""
    met = next((one.use.meets for one in used if one.use.meets), None)
    example = None if met is None else met.sample()
    return {
        "direction": "",
        "rule": 0,
        "words": words(rule),
        "origin": "",
        "hits": None,
        "use": IDLE if not used else NEVER if met is None else MEETS,
        "taken_by": {one.standing.interface: takers(node, one.use) for one in used} if met is None else {},
        "example": None if example is None else describe(example),
        "selections": node.names.selections(rule),
    }
