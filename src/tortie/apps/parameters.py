"""Where each parameter of an agent gets its value from: the same levels and readings as in the agent, told in full."""

from collections.abc import Iterable, Mapping, Sequence

from tortie.apps.answers import ConfigAnswer, ConfigQuery, SayingAnswer, SettingAnswer, UnknownSettingAnswer
from tortie.apps.decoding import decode_files, key_of
from tortie.apps.failure import Code, Failure
from tortie.model.selector import InvalidSelector
from tortie.model.settings import NODE_PREFIX, applying, overlaps
from tortie.resources.codec import decode_stored
from tortie.resources.felix import PARAMETERS, UnknownParameter, find
from tortie.resources.felix.conflicts import conflicts
from tortie.resources.felix.levels import Level, Saying, document_level, read, supplied_level
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.settings import settings_of
from tortie.resources.fields import suggest
from tortie.resources.kind import Resource
from tortie.resources.lowering import Meaningless
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Entry, Key, Store

SETTINGS, NODE, CLUSTER = "FelixConfiguration", "Node", "ClusterInformation"
WINS, OVERRIDDEN, IGNORED, ELSEWHERE = "wins", "overridden", "ignored", "elsewhere"
DEFAULT = "default"


async def explain(
    store: Store, query: ConfigQuery, node: str, told: Sequence[Level], notes: Sequence[str] = ()
) -> ConfigAnswer:
    """The parameters that the query asks for, as they are for this node with the documents of the store.

    Raises: Failure USAGE for a word that names no parameter, INVALID for documents of the query; StoreError.
    """
    wanted = _wanted(query["parameters"])  # before anything is read
    entries = [entry for kind in (SETTINGS, NODE, CLUSTER) for entry in (await store.list(kind))[0]]
    found, damaged = _resources(entries, query)
    documents, meaningless = _levels(found)
    node_document = found.get(Key(NODE, "", node))
    labels = None if node_document is None else node_document.labels
    scopes = [level.scope for level in documents.values() if level.scope is not None]
    applied = applying(scopes, node, labels)
    chosen = [documents[scope.name] for scope in applied]
    # Only whoever asks for a parameter by its name wants to know what documents of other nodes say of it.
    others = [level for level in documents.values() if level.scope not in applied] if wanted else []
    levels = [*told, *_by_strength(chosen, node_document, found.get(Key(CLUSTER, "", DEFAULT)))]
    answers = [_setting(parameter, levels, others) for parameter in wanted or PARAMETERS]
    return {
        "node": node,
        "parameters": [one for one in answers if wanted or query["everything"] or _is_set(one)],
        "unknown": [] if wanted else _unknown(levels),
        "notes": [*notes, *damaged, *meaningless, *overlaps(scopes, labels), *conflicts(levels)],
    }


def _wanted(words: Iterable[str]) -> list[Parameter[object]]:
    try:
        return list({found.name: found for found in map(find, words)}.values())
    except UnknownParameter as error:
        raise Failure(Code.USAGE, str(error)) from None


def _resources(entries: Iterable[Entry], query: ConfigQuery) -> tuple[dict[Key, Resource], list[str]]:
    """The stored documents with those of the query laid over them, and which ones cannot be read."""
    found: dict[Key, Resource] = {}
    notes = []
    for entry in entries:
        try:
            found[entry.key] = decode_stored(entry.value)
        except InvalidDocument as error:
            notes.append(f"{entry.key}: {error}; it counts as absent")
    for resource in decode_files(query["files"]):
        found[key_of(resource)] = _aged(resource, found.get(key_of(resource)))
    return found, notes


def _aged(new: Resource, old: Resource | None) -> Resource:
    """The document as old as the one that it takes the place of."""
    metadata, before = new.body.get("metadata"), old.body.get("metadata") if old is not None else None
    if not isinstance(metadata, dict) or not isinstance(before, dict) or "creationTimestamp" not in before:
        return new
    aged = {**metadata, "creationTimestamp": before["creationTimestamp"]}
    return new._replace(body={**new.body, "metadata": aged})


def _levels(found: Mapping[Key, Resource]) -> tuple[dict[str, Level], list[str]]:
    """What the settings among the documents say, by name, without those that an agent takes for absent."""
    levels: dict[str, Level] = {}
    notes = []
    for key, resource in sorted(found.items()):
        if key.kind != SETTINGS:
            continue
        try:
            level = document_level(resource)
            settings_of(level)
        except (Meaningless, InvalidSelector) as error:
            notes.append(f"{key}: {error}; it counts as absent: apply a corrected document")
        else:
            levels[key.name] = level
    return levels, notes


def _by_strength(chosen: Sequence[Level], node: Resource | None, cluster: Resource | None) -> list[Level]:
    """The levels of all documents, the strongest first: what concerns this node alone is stronger than the rest."""
    own = [level for level in chosen if level.scope is not None and level.scope.name.startswith(NODE_PREFIX)]
    others = [level for level in chosen if level not in own]
    by_node, by_cluster = ([] if one is None else [supplied_level(one)] for one in (node, cluster))
    return [*own, *by_node, *others, *by_cluster]


def _setting(parameter: Parameter[object], levels: Sequence[Level], others: Sequence[Level]) -> SettingAnswer:
    said = [one for level in levels for one in _said(parameter, level)]
    winner = next((one for one in said if one["state"] == WINS), None)
    for one in said:
        if one["state"] == WINS and one is not winner:
            one["state"] = OVERRIDDEN
    said += [
        _saying(parameter, level, saying, ELSEWHERE)
        for level in others
        if (saying := level.said(parameter)) is not None
    ]
    default = parameter.syntax.show(parameter.default)
    return {
        "name": parameter.name,
        "field": parameter.field,
        "annotation": parameter.annotation,
        "value": default if winner is None else winner["value"],
        "source": DEFAULT if winner is None else winner["source"],
        "place": "" if winner is None else winner["place"],
        "default": default,
        "form": parameter.syntax.form,
        "doc": parameter.doc,
        "is_used": parameter.is_used,
        "is_local": parameter.is_local,
        "is_fatal": parameter.is_fatal,
        "may_be_none": parameter.may_be_none,
        "said": said,
    }


def _said(parameter: Parameter[object], level: Level) -> list[SayingAnswer]:
    """What the level says of it: the saying that counts in the level, then those that it overrides."""
    sayings = level.sayings.get(parameter.name, ())
    reading = read(parameter, level)
    found = []
    for saying in sayings:
        if saying is not sayings[0]:
            found.append(_saying(parameter, level, saying, OVERRIDDEN))
        elif reading.counts:
            one = _saying(parameter, level, saying, WINS)
            found.append(
                {
                    **one,
                    "value": parameter.syntax.show(reading.text),
                    "problem": _problem(reading.problem, reading.is_fatal),
                }
            )
        else:
            one = _saying(parameter, level, saying, IGNORED)
            found.append({**one, "problem": reading.problem or "empty text says nothing"})
    return found


def _problem(problem: str, is_fatal: bool) -> str:
    return f"{problem}; no agent starts with it: correct or remove it" if is_fatal else problem


def _saying(parameter: Parameter[object], level: Level, saying: Saying, state: str) -> SayingAnswer:
    text = parameter.syntax.show(saying.text.strip())
    return {
        "source": level.source,
        "place": saying.place,
        "text": saying.text,
        "value": text,
        "state": state,
        "problem": "",
    }


def _is_set(setting: SettingAnswer) -> bool:
    return any(one["state"] != ELSEWHERE for one in setting["said"])


def _unknown(levels: Iterable[Level]) -> list[UnknownSettingAnswer]:
    names = [parameter.name for parameter in PARAMETERS]
    return [
        {"name": name, "source": level.source, "place": saying.place, "text": saying.text, "hint": suggest(name, names)}
        for level in levels
        for name, sayings in level.unknown.items()
        for saying in sayings
    ]
