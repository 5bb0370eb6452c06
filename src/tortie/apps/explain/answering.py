"""What `tortie explain` answers: documents and a question in, an answer out. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tortie.apps.explain.answers import EndpointExplained, ExplainAnswer, ExplainQuery, PolicyExplained
from tortie.apps.explain.endpoints import classes, explained, path_answer
from tortie.apps.explain.finding import (
    answers_to,
    endpoint_named,
    policies_of,
    policies_staged,
    port_of,
    unknown_policy,
    unknown_port,
)
from tortie.apps.explain.node import Hits, Node, Standing
from tortie.apps.explain.policies import policy_explained
from tortie.apps.explain.study import Path, Question
from tortie.apps.failure import Code, Failure
from tortie.apps.labelled import PARENTS, SELECTED, Labelled, things_of
from tortie.apps.trace.hostview import Documents, Scene, imagine, staged_in
from tortie.apps.trace.staged import Staging
from tortie.model.endpoint import NetworkSet
from tortie.store.protocol import Key

SUBJECTS = ("port", "host", "policy", "endpoint")
INTO = (Path.TO_HOST, Path.FORWARD_IN, Path.FORWARD_OUT, Path.TO_WORKLOAD)
"""The paths that a port is asked about: who can reach it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What questions are asked about: documents, the node of whoever answers, and a scene for each node by its name."""

    documents: Documents
    node: str
    scene_of: Callable[[str], Scene]
    hits: Hits | None = None


def explain(told: Told, query: ExplainQuery) -> ExplainAnswer:
    """The answer. Raises: Failure USAGE for what cannot be explained, NOT_FOUND for what does not exist."""
    match query["subject"]:
        case "port":
            node = _node(told, query["node"] or told.node)
            return _answer(node, query, endpoints=_port(node, query["name"]))
        case "host":
            node = _node(told, query["name"] or query["node"] or told.node)
            return _answer(node, query, endpoints=_host(node))
        case "endpoint":
            return _endpoint(told, query)
        case "policy":
            return _policy(told, query)
        case word:
            raise Failure(Code.USAGE, f"{word[:40]!r} cannot be explained; use one of {', '.join(SUBJECTS)}")


def _node(told: Told, name: str, staged: Sequence[Staging] = ()) -> Node:
    """The node of that name; hits are known of whoever answers alone."""
    view = imagine(told.documents, told.scene_of(name), staged)
    things = things_of(told.documents.resources((*SELECTED, *PARENTS)))
    return Node(view, things, told.hits if name == told.node else None)


def _answer(
    node: Node,
    query: ExplainQuery,
    *,
    endpoints: Sequence[EndpointExplained] = (),
    policies: Sequence[PolicyExplained] = (),
    notes: Sequence[str] = (),
) -> ExplainAnswer:
    return {
        "subject": query["subject"],
        "name": query["name"],
        "node": node.view.node,
        "revision": node.view.revision,
        "notes": [*node.view.notes, *notes],
        "endpoints": list(endpoints),
        "policies": list(policies),
    }


def _port(node: Node, word: str) -> list[EndpointExplained]:
    """Every endpoint of the node with what becomes of packets to that port."""
    question, known = port_of(word), _port_names(node)
    if question is None and word not in known:
        raise unknown_port(word, known, node.view.node)
    found = []
    for one in node.standings():
        asked = [question] if question is not None else [*_named(node, one, word)]
        if asked:
            found.append(explained(node, one))
            found[-1]["paths"] = [
                path_answer(node, one.state, path, each)
                for each in asked
                for path in node.paths(one)
                if path in INTO and one.state is not None
            ]
    return found


def _port_names(node: Node) -> set[str]:
    standing = (node.labelled(one.state) for one in node.standings() if one.state is not None)
    return {port.name for one in standing if one is not None for port in one.ports}


def _named(node: Node, one: Standing, word: str) -> Iterator[Question]:
    """What the name stands for on that endpoint."""
    labelled = None if one.state is None else node.labelled(one.state)
    for port in () if labelled is None else labelled.ports:
        if port.name == word:
            yield Question((port.protocol,), port.port)


def _host(node: Node) -> list[EndpointExplained]:
    """Every interface with what is open to whom, and endpoints that govern none, with the reason."""
    found = []
    for one in node.standings():
        answer = explained(node, one)
        if one.state is not None:
            paths = [path for path in node.paths(one) if path in INTO]
            answer["paths"] = [path_answer(node, one.state, path, Question()) for path in paths]
        found.append(answer)
    shown = {one["name"] for one in found}
    return [*found, *(one for one in _without_interface(node) if one["name"] not in shown)]


def _without_interface(node: Node) -> Iterator[EndpointExplained]:
    for status in node.view.statuses:
        if status.problem:
            one = explained(node, Standing("", None))
            yield {**one, "kind": "HostEndpoint", "name": status.endpoint, "problem": status.problem}


def _endpoint(told: Told, query: ExplainQuery) -> ExplainAnswer:
    """Everything that holds on the endpoint, on each interface that it governs."""
    labelled: Labelled = endpoint_named(things_of(told.documents.resources((*SELECTED, *PARENTS))), query)
    assert not isinstance(labelled.value, NetworkSet)
    node = _node(told, labelled.value.node)
    found = []
    for one in node.standings():
        own = None if one.state is None else node.labelled(one.state)
        if one.state is None or own is None or _place(own) != _place(labelled):
            continue
        paths = node.paths(one)
        answer = explained(node, one)
        answer["classes"] = [*classes(node, one.state, paths)]
        answer["paths"] = [path_answer(node, one.state, path, Question()) for path in paths]
        found.append(answer)
    if not found:
        found = [one for one in _without_interface(node) if one["name"] == labelled.key.name]
    notes = () if found else (f"{labelled} governs no interface of node {labelled.value.node}",)
    return _answer(node, query, endpoints=found, notes=notes)


def _place(one: Labelled) -> tuple[bool, str, str]:
    """What a pod and a document of its endpoint have in common."""
    return one.key.kind == "HostEndpoint", one.key.namespace, one.value.name


def _policy(told: Told, query: ExplainQuery) -> ExplainAnswer:
    """Every policy of that name; a staged one as if it were carried out, where none is enforced."""
    policies = policies_of(told.documents)
    wanted = [key for key in policies if answers_to(key, query)]
    staged: list[Staging] = []
    if not wanted:
        staged = [one for one in staged_in(told.documents) if one.enforced and answers_to(Key(*one.staged), query)]
        made = policies_staged(staged)
        wanted, policies = [*made], policies | made
    if not wanted:
        raise unknown_policy(query, policies)
    notes = [f"{one.staged} is staged: told as if it were carried out" for one in staged]
    node = _node(told, query["node"] or told.node, staged)
    found = [policy_explained(node, policies[key], policies.values()) for key in wanted]
    return _answer(node, query, policies=found, notes=notes)
