"""An endpoint for people: everything that holds on it, in order, and what its policy makes of packets. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from tortie.apps.explain.answers import ClassAnswer, EndpointExplained, PathAnswer, UseAnswer
from tortie.apps.explain.node import Node, Standing
from tortie.apps.explain.rows import rows_of, shown_net
from tortie.apps.explain.study import Path, Question, RuleUse
from tortie.apps.packets import protocol_name
from tortie.apps.sentences import shown_index
from tortie.apps.trace.conditions import words
from tortie.model.desired import EndpointState
from tortie.model.failsafe import FailsafePort
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.stages import stage_groups
from tortie.model.verdict import RuleRef
from tortie.model.walk import Group

FAILSAFES = "failsafes"
"""What takes packets from rules without being one."""


def explained(node: Node, one: Standing) -> EndpointExplained:
    """The endpoint, or the interface without one, by itself."""
    interface, state = node.view.interfaces.get(one.interface), one.state
    found: EndpointExplained = {
        "kind": "",
        "name": "",
        "interface": one.interface,
        "addresses": [shown_net(net) for net in sorted(interface.addresses)] if interface is not None else [],
        "is_wildcard": False,
        "labels": {},
        "profiles": [],
        "problem": None,
        "classes": [],
        "paths": [],
    }
    if state is None:
        return found
    found["kind"] = "WorkloadEndpoint" if state.is_workload else "HostEndpoint"
    found["name"], found["is_wildcard"] = state.endpoint, state.is_wildcard
    found["profiles"] = [profile.name for profile in state.profiles]
    if (labelled := node.labelled(state)) is not None:
        found["labels"] = {key: node.things.label(labelled, key) for key in sorted(labelled.labels)}
        if state.is_workload:
            found["addresses"] = [shown_net(net) for net in labelled.nets]
    return found


def path_answer(node: Node, state: EndpointState, path: Path, question: Question) -> PathAnswer:
    """What the endpoint makes of the packets in question."""
    found = node.study(state, path, question)
    never = [one for one in found.uses if one.never_matches and one.ref.index >= 0]
    return {
        "path": path.name.lower(),
        "port": question.port_word,
        "outcomes": rows_of(found, path.direction, node.names),
        "never": [_use(node, state, one, path.direction) for one in never],
    }


def classes(node: Node, state: EndpointState, paths: Iterable[Path]) -> Iterator[ClassAnswer]:
    """Everything that holds at the endpoint, in the order in which packets meet it."""
    uses: dict[tuple[Stage, Direction], dict[RuleRef, RuleUse]] = {}
    for path in paths:
        for use in node.study(state, path, Question()).uses:
            known = uses.setdefault((use.stage, path.direction), {})
            if use.ref not in known or use.meets:  # met on one path is met
                known[use.ref] = use
    for direction in Direction:
        for stage in Stage:
            if (found := uses.get((stage, direction))) is not None:
                yield _class(node, state, (stage, direction), found)


def _class(
    node: Node, state: EndpointState, where: tuple[Stage, Direction], uses: Mapping[RuleRef, RuleUse]
) -> ClassAnswer:
    stage, direction = where
    failsafes = node.view.host.failsafes
    ports = failsafes.inbound if direction is Direction.INGRESS else failsafes.outbound
    has_failsafes = not state.is_workload and stage is not Stage.FORWARD
    return {
        "stage": stage.value,
        "direction": direction.value,
        "failsafes": [shown_failsafe(one) for one in ports] if has_failsafes else [],
        "tiers": [
            {
                "name": _group_name(group),
                "rules": [_use(node, state, uses[ref], direction) for ref, _ in group.rules],
                "end": "deny" if group.denies else "continue",
            }
            for group in stage_groups(state, stage, direction)
        ],
    }


def _group_name(group: Group) -> str:
    key = group.end.policy
    return f"{key.kind.lower()} {key.name}" if key.kind in ("Tier", "Profile") else "default"


def _use(node: Node, state: EndpointState, use: RuleUse, direction: Direction) -> UseAnswer:
    origins, ref = node.view.origins, use.ref
    return {
        "tier": ref.tier,
        "policy": str(origins.named(ref.policy)),
        "rule": shown_index(ref),
        "words": words(use.rule),
        "origin": origins.place(ref, direction),
        "never_matches": not use.meets,
        "taken_by": takers(node, use),
        "hits": node.hits_of(ref, direction, () if state.is_workload else (use.stage,)),
    }


def takers(node: Node, use: RuleUse) -> list[str]:
    """What has the packets of a rule that never matches."""
    return [FAILSAFES if ref is None else node.names.called(ref) for ref in use.taken_by]


def shown_failsafe(one: FailsafePort) -> str:
    """`tcp/22`, with the network where it is not open for everyone."""
    net = "" if one.net is None else f" with {one.net}"
    return f"{protocol_name(one.protocol).lower()}/{one.port}{net}"
