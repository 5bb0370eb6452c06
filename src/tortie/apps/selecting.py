"""Which endpoints and network sets a selector matches, and why it does not match the others.

From documents alone, so that it works on a datastore, on files, and in an agent.
"""

from collections.abc import Iterable, Mapping

from tortie.apps.answers import SelectedAnswer, SelectorAnswer
from tortie.apps.failure import Code, Failure
from tortie.apps.labelled import PARENTS, SELECTED, Labelled, Things, things_of
from tortie.model.blame import blame
from tortie.model.selector import InvalidSelector, Selector, parse_selector
from tortie.resources.codec import decode_stored
from tortie.resources.fields import suggest
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Store


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
    """The answer for these documents; others than endpoints, sets and profiles count for nothing."""
    things = things_of(resources)
    answers = [_answer(one, things, selector) for one in things.labelled]
    matches = [one for one in answers if not one["why_not"]]
    known = {key: "" for one in things.labelled for key in one.labels}
    return {
        "selector": selector.canonical,
        "id": selector.unique_id,
        "matches": matches,
        "others": [one for one in answers if one["why_not"]],
        "hints": [] if matches else hints(selector, known),
        "damaged": {**things.damaged},
    }


def _answer(one: Labelled, things: Things, selector: Selector) -> SelectedAnswer:
    return {
        "kind": one.key.kind,
        "namespace": one.key.namespace,
        "name": one.key.name,
        "labels": {key: things.label(one, key) for key in sorted(one.labels)},
        "why_not": [] if selector.matches(one.labels) else [str(each) for each in blame(selector, one.labels)],
    }


def hints(selector: Selector, known: Mapping[str, str]) -> list[str]:
    """Labels that nothing has although the selector names them, with the one that was probably meant."""
    return [
        f"nothing has a label {key!r}; {hint}"
        for key in selector.keys
        if key not in known and (hint := suggest(key, known))
    ]
