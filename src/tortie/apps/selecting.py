"""Which endpoints and network sets a selector matches, and why it does not match the others.

From documents alone, so that it works on a datastore, on files, and in an agent; what a thing's labels are is the
calculation's own rule (`calc.inheritance`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tortie.apps.answers import LabelAnswer, SelectedAnswer, SelectorAnswer
from tortie.apps.failure import Code, Failure
from tortie.calc.inheritance import effective, of_network_set
from tortie.model.blame import blame
from tortie.model.endpoint import HostEndpoint, NetworkSet, WorkloadEndpoint
from tortie.model.policy import Profile
from tortie.model.selector import InvalidSelector, Selector, parse_selector
from tortie.resources.codec import decode_stored, lower
from tortie.resources.fields import suggest
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Store

SELECTED = ("HostEndpoint", "WorkloadEndpoint", "Pod", "NetworkSet", "GlobalNetworkSet")
"""Kinds whose documents selectors match, in the order in which they are shown."""
PARENTS = ("Namespace", "ServiceAccount", "Profile")
"""Kinds whose documents give labels to others, the strongest last."""


def parsed(expression: str) -> Selector:
    """The selector that a user typed. Raises: Failure USAGE with the column."""
    try:
        return parse_selector(expression)
    except InvalidSelector as error:
        remedy = """write it as in policies, role == "web" && has(zone) or all()"""
        raise Failure(Code.USAGE, f"invalid selector: column {error.column}: {error}; {remedy}") from None


async def select_stored(store: Store, expression: str) -> SelectorAnswer:
    """The answer for what is stored; a damaged document is named, and hides none of the others."""
    selector = parsed(expression)
    resources: list[Resource] = []
    damaged: dict[str, str] = {}
    for kind in (*SELECTED, *PARENTS):
        entries, _ = await store.list(kind)
        for entry in entries:
            try:
                resources.append(decode_stored(entry.value))
            except InvalidDocument as error:
                damaged[str(entry.key)] = str(error)
    answer = select(resources, selector)
    return {**answer, "damaged": {**damaged, **answer["damaged"]}}


def select(resources: Iterable[Resource], selector: Selector) -> SelectorAnswer:
    """The answer for these documents; others than endpoints, sets and what gives them labels count for nothing."""
    found: list[_Labelled] = []
    inherited: dict[str, Mapping[str, str]] = {}
    damaged: dict[str, str] = {}
    listed = [one for one in resources if one.kind in (*SELECTED, *PARENTS)]
    for resource in sorted(listed, key=lambda one: PARENTS.index(one.kind) if one.kind in PARENTS else -1):
        try:
            value = lower(resource)
        except InvalidDocument as error:
            damaged[str(resource)] = str(error)
            continue
        match value:
            case HostEndpoint() | WorkloadEndpoint():
                found.append(_Labelled(resource, value.labels, value.profiles))
            case NetworkSet():
                found.append(_Labelled(resource, *of_network_set(value.namespace, value.labels)))
            case Profile():
                inherited[value.name] = value.labels_to_apply
            case None:
                continue  # a pod without an address of its own
            case _:
                raise AssertionError(f"{resource} is nothing that selectors match")
    found.sort(key=lambda one: (SELECTED.index(one.resource.kind), one.resource.namespace, one.resource.name))
    labels = [effective(one.own, one.parents, inherited) for one in found]
    answers = [_answer(one, held, inherited, selector) for one, held in zip(found, labels, strict=True)]
    matches = [one for one in answers if not one["why_not"]]
    known = {key: "" for held in labels for key in held}
    return {
        "selector": selector.canonical,
        "id": selector.unique_id,
        "matches": matches,
        "others": [one for one in answers if one["why_not"]],
        "hints": [] if matches else hints(selector, known),
        "damaged": damaged,
    }


class _Labelled(NamedTuple):
    """What a selector may match: its own labels, and the profiles that it inherits from."""

    resource: Resource
    own: Mapping[str, str]
    parents: tuple[str, ...]


def _answer(
    one: _Labelled, labels: Mapping[str, str], inherited: Mapping[str, Mapping[str, str]], selector: Selector
) -> SelectedAnswer:
    return {
        "kind": one.resource.kind,
        "namespace": one.resource.namespace,
        "name": one.resource.name,
        "labels": {key: _label(key, value, one.own, one.parents, inherited) for key, value in sorted(labels.items())},
        "why_not": [] if selector.matches(labels) else [str(each) for each in blame(selector, labels)],
    }


def _label(
    key: str,
    value: str,
    own: Mapping[str, str],
    parents: Sequence[str],
    inherited: Mapping[str, Mapping[str, str]],
) -> LabelAnswer:
    source = None if key in own else next(parent for parent in parents if key in inherited.get(parent, {}))
    return {"value": value, "profile": source}


def hints(selector: Selector, known: Mapping[str, str]) -> list[str]:
    """Labels that nothing has although the selector names them, with the one that was probably meant."""
    return [
        f"nothing has a label {key!r}; {hint}"
        for key in selector.keys
        if key not in known and (hint := suggest(key, known))
    ]
