"""Selectors that match nothing: of policies, and of the rules in them.

A policy that selects nothing judges no packet, and a rule whose selector matches nothing holds for none. Said of every
selector that contradicts itself, and of others only where all that it could match is known (`world.py`).
"""

from collections.abc import Iterable, Iterator, Mapping

from tortie.apps.linting.bodies import POLICIES, entity
from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.scopes import is_satisfiable
from tortie.apps.linting.subject import Subject, Way
from tortie.apps.linting.world import Enforced, World
from tortie.apps.selecting import hints
from tortie.model.ipset import SelectorSet
from tortie.model.matches import PortMatch, SetMatch
from tortie.model.packet import Direction, Side
from tortie.model.rule import Rule
from tortie.model.selector import Selector

_POLICY_FIELDS = ("selector", "namespaceSelector", "serviceAccountSelector")
_RULE_FIELDS = ("selector", "notSelector", "namespaceSelector", "serviceAccounts")


def _look(world: World) -> Iterator[Suspicion]:
    for enforced in world.policies:
        subject = enforced.subject
        if subject is None or subject.resource.kind not in POLICIES:
            continue
        yield from _of_policy(world, enforced, subject)
        for direction in Direction:
            rules = enforced.policy.ingress if direction is Direction.INGRESS else enforced.policy.egress
            for index, rule in enumerate(rules):
                yield from _of_rule(world, subject, (direction.value, index), rule)


def _of_policy(world: World, enforced: Enforced, subject: Subject) -> Iterator[Suspicion]:
    selector = enforced.policy.selector
    way = _first_of(subject, ("spec",), _POLICY_FIELDS)
    then = "the policy applies to nothing"
    if not is_satisfiable(selector):
        yield _contradiction(subject, way, selector, then)
    elif _knows_endpoints(world, enforced) and not any(selector.matches(one.labels) for one in world.endpoints):
        count = len(world.endpoints)
        yield Suspicion(
            subject=subject,
            way=way,
            found=f"{selector} matches none of {count} endpoint{'' if count == 1 else 's'}",
            why=then,
            remedy=_remedy(selector, [one.labels for one in world.endpoints]),
        )


def _of_rule(world: World, subject: Subject, where: tuple[str, int], rule: Rule) -> Iterator[Suspicion]:
    told: set[Side] = set()
    for side, selector, negated in _peers(rule):
        if side in told:
            continue
        way = _first_of(subject, ("spec", *where, side.value), _RULE_FIELDS)
        then = "nothing is excluded" if negated else "the rule holds for no packet"
        if not is_satisfiable(selector):
            found: Suspicion | None = _contradiction(subject, way, selector, then)
        else:
            found = _of_peers(world, subject, way, selector, then)
        if found is not None:
            told.add(side)
            yield found


def _of_peers(world: World, subject: Subject, way: Way, selector: Selector, then: str) -> Suspicion | None:
    if not (_knows_peers(world, subject, way) and world.knows_labels):
        return None
    matched = world.selected(selector)
    if any(one.has_address for one in matched):
        return None
    if matched:
        names = ", ".join(map(str, matched[:3]))
        return Suspicion(
            subject=subject,
            way=way,
            found=f"{selector} matches {names}{', ...' if len(matched) > 3 else ''}, of which no address is known",
            why=then,
            remedy="give it addresses: expectedIPs of an endpoint, nets of a set",
        )
    return Suspicion(
        subject=subject,
        way=way,
        found=f"{selector} matches none of {len(world.labelled)} endpoints and network sets",
        why=then,
        remedy=_remedy(selector, [one.labels for one in world.labelled]),
    )


def _peers(rule: Rule) -> Iterator[tuple[Side, Selector, bool]]:
    """The selectors by which the rule finds its peers, and whether these are excluded."""
    for match in rule.matches:
        if isinstance(match, SetMatch) and isinstance(match.source, SelectorSet):
            yield match.side, match.source.selector, match.negated
        elif isinstance(match, PortMatch) and not match.ranges and not match.negated:
            yield from ((match.side, source.selector, False) for source in match.named[:1])  # they share one


def _knows_endpoints(world: World, enforced: Enforced) -> bool:
    """Whether every endpoint that the policy could apply to is here, with all its labels."""
    policy = enforced.policy
    spec = enforced.subject.resource.spec if enforced.subject else {}
    is_of_workloads = policy.key.namespace or any(spec.get(field) for field in _POLICY_FIELDS[1:])
    return world.knows_labels and (world.knows_workloads if is_of_workloads else world.knows_endpoints)


def _knows_peers(world: World, subject: Subject, way: Way) -> bool:
    """Whether everything that the side of the rule could match is here."""
    resource = subject.resource
    _, direction, index, side, *_ = way
    rules = resource.spec.get(str(direction))
    rule = rules[index] if isinstance(rules, list) and isinstance(index, int) else {}
    said = entity(rule, str(side)) if isinstance(rule, dict) else {}
    is_of_workloads = resource.namespace or said.get("namespaceSelector") or said.get("serviceAccounts")
    return world.knows_workloads if is_of_workloads else world.knows_endpoints


def _first_of(subject: Subject, way: Way, fields: tuple[str, ...]) -> Way:
    """The way to the first of these fields that is written, else to what they would be fields of."""
    return next(((*way, field) for field in fields if subject.part((*way, field)) is not None), way)


def _contradiction(subject: Subject, way: Way, selector: Selector, then: str) -> Suspicion:
    return Suspicion(
        subject=subject,
        way=way,
        found=f"no labels at all fulfil {selector}",
        why=then,
        remedy="write || where any of several values will do",
    )


def _remedy(selector: Selector, labels: Iterable[Mapping[str, str]]) -> str:
    known = {key: "" for held in labels for key in held}
    found = hints(selector, known)
    return "; ".join(found) if found else "correct it, or bring what it is meant to match"


CHECK: Check[World] = Check("TT2003", "a selector that matches nothing", _look)
