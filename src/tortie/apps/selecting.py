"""Which endpoints and network sets a selector matches, and why it does not match the others.

From documents alone, so that it works on a datastore, on files, and in an agent; what a thing's labels are is the
calculation's own rule (`calc.inheritance`).
"""

from collections.abc import Iterable, Mapping, Sequence

from tortie.apps.answers import LabelAnswer, SelectedAnswer, SelectorAnswer
from tortie.apps.failure import Code, Failure
from tortie.calc.inheritance import effective, of_network_set, of_workload
from tortie.model.blame import blame
from tortie.model.selector import InvalidSelector, Selector, parse_selector
from tortie.resources.codec import decode_stored
from tortie.resources.fields import suggest
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Store

SELECTED = ("HostEndpoint", "WorkloadEndpoint", "NetworkSet", "GlobalNetworkSet")
"""Kinds whose documents selectors match, in the order in which they are shown."""
PARENT = "Profile"


def parsed(expression: str) -> Selector:
    """The selector that a user typed. Raises: Failure USAGE with the column."""
    try:
        return parse_selector(expression)
    except InvalidSelector as error:
        raise Failure(Code.USAGE, f"invalid selector: column {error.column}: {error}") from None


async def select_stored(store: Store, expression: str) -> SelectorAnswer:
    """The answer for what is stored; a damaged document is named, and hides none of the others."""
    selector = parsed(expression)
    resources: list[Resource] = []
    damaged: dict[str, str] = {}
    for kind in (*SELECTED, PARENT):
        entries, _ = await store.list(kind)
        for entry in entries:
            try:
                resources.append(decode_stored(entry.value))
            except InvalidDocument as error:
                damaged[str(entry.key)] = str(error)
    return {**select(resources, selector), "damaged": damaged}


def select(resources: Iterable[Resource], selector: Selector) -> SelectorAnswer:
    """The answer for these documents; others than endpoints, sets and profiles count for nothing."""
    by_kind: dict[str, list[Resource]] = {}
    for resource in resources:
        by_kind.setdefault(resource.kind, []).append(resource)
    inherited = {profile.name: _applied(profile) for profile in by_kind.get(PARENT, ())}
    matches: list[SelectedAnswer] = []
    others: list[SelectedAnswer] = []
    known: dict[str, str] = {}
    for kind in SELECTED:
        for resource in by_kind.get(kind, ()):
            own, parents = _labels(resource)
            labels = effective(own, parents, inherited)
            known.update(labels)
            holds = selector.matches(labels)
            why = [] if holds else [str(each) for each in blame(selector, labels)]
            (matches if holds else others).append(
                {
                    "kind": kind,
                    "namespace": resource.namespace,
                    "name": resource.name,
                    "labels": {
                        key: _label(key, value, own, parents, inherited) for key, value in sorted(labels.items())
                    },
                    "why_not": why,
                }
            )
    return {
        "selector": selector.canonical,
        "id": selector.unique_id,
        "matches": matches,
        "others": others,
        "hints": [] if matches else _hints(selector, known),
        "damaged": {},
    }


def _labels(resource: Resource) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Its own labels, and the profiles that it inherits from."""
    spec = resource.spec
    listed = spec.get("profiles")
    profiles = tuple(map(str, listed)) if isinstance(listed, list) else ()
    match resource.kind:
        case "NetworkSet" | "GlobalNetworkSet":
            return of_network_set(resource.namespace, resource.labels)
        case "WorkloadEndpoint":
            orchestrator, account = str(spec.get("orchestrator") or ""), str(spec.get("serviceAccountName") or "")
            return of_workload(resource.namespace, resource.labels, orchestrator, account), profiles
        case _:
            return resource.labels, profiles


def _applied(profile: Resource) -> Mapping[str, str]:
    applied = profile.spec.get("labelsToApply")
    return {key: str(value) for key, value in applied.items()} if isinstance(applied, dict) else {}


def _label(
    key: str,
    value: str,
    own: Mapping[str, str],
    parents: Sequence[str],
    inherited: Mapping[str, Mapping[str, str]],
) -> LabelAnswer:
    source = None if key in own else next(parent for parent in parents if key in inherited.get(parent, {}))
    return {"value": value, "profile": source}


def _hints(selector: Selector, known: Mapping[str, str]) -> list[str]:
    """Labels that nothing has although the selector names them, with the one that was probably meant."""
    return [
        f"nothing has a label {key!r}; {hint}"
        for key in selector.keys
        if key not in known and (hint := suggest(key, known))
    ]
