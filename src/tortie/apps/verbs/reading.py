"""Get: resources of a kind as documents and as cells of a table. A damaged document hides none of the others."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tortie.apps.answers import Document, GetAnswer
from tortie.apps.failure import Code, Failure
from tortie.apps.namespaces import namespace_asked
from tortie.apps.requests import GetQuery
from tortie.apps.verbs.stored import TIER, shown, stored
from tortie.resources.codec import decode_stored
from tortie.resources.kind import NAME, NAMESPACE, Body, Column, GeneralCell, Kind, Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Entry, Key, Store


def _provided(kind: Kind) -> dict[Key, Resource]:
    """Resources that are in no datastore and exist all the same (reference cli.md section 6)."""
    if kind.name != "Profile":
        return {}
    from tortie.model.policy import DEFAULT_ALLOW  # the model takes long to load

    spec: Body = {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
    body: Body = {"apiVersion": kind.api_version, "kind": kind.word, "metadata": {"name": DEFAULT_ALLOW}, "spec": spec}
    return {Key(kind.name, "", DEFAULT_ALLOW): Resource(kind=kind.name, namespace="", name=DEFAULT_ALLOW, body=body)}


class Found(NamedTuple):
    """Resources with the revisions that wrote them, and what is wrong with the others.

    `damaged`: name -> why; `missing`: names that do not exist; `revision`: the datastore's when this was read.
    """

    resources: list[tuple[Resource, int]]
    damaged: dict[str, str]
    missing: list[str]
    revision: int


async def get(store: Store, kind: Kind, query: GetQuery) -> GetAnswer:
    """The resources of a kind that the query asks for, with their resourceVersion.

    Raises: Failure USAGE; StoreError.
    """
    columns = _columns(kind, query)
    found = await find(store, kind, query)
    cells = [await _cell(store, column) for column in columns]
    return {
        "kind": kind.name,
        "api_version": kind.api_version,
        "word": kind.word,
        "revision": found.revision,
        "items": [document(resource, at) for resource, at in found.resources],
        "table": {
            "heading": [column.heading for column in columns],
            "rows": [[cell(resource) for cell in cells] for resource, _ in found.resources],
        },
        "missing": found.missing,
        "damaged": found.damaged,
    }


async def _cell(store: Store, column: Column) -> Callable[[Resource], str]:
    """The cell of the column for any resource."""
    if not isinstance(column.cell, GeneralCell):
        return column.cell
    general, cell = column.cell
    entry = await stored(store, Key(general, "", "default"))
    said: Resource | None = Resource(kind=general, namespace="", name="default", body={})
    if entry is not None:
        said = next((one for one, _ in decoded([entry])[0]), None)
    return lambda resource: cell(resource, said)


def document(resource: Resource, revision: int) -> Document:
    """The resource as users see it; one that is in no datastore (revision 0) has no resourceVersion."""
    return shown(resource.body, revision) if revision else {**resource.body}


async def find(store: Store, kind: Kind, query: GetQuery) -> Found:
    """The resources that the query asks for. Raises: Failure USAGE; StoreError."""
    namespace = namespace_asked(kind, query.namespace, everywhere=query.all_namespaces, names=query.name)
    if query.name and query.selector:
        raise Failure(Code.USAGE, "give names or --selector, not both: a name says already which resource is meant")
    if not query.name:
        return await _all(store, kind, namespace, query.selector)
    _, revision = await store.list("")
    found, provided = Found([], {}, [], revision), _provided(kind)
    for key in dict.fromkeys(Key(kind.name, namespace or "", name) for name in query.name):
        entry = await stored(store, key)
        if entry is not None:
            resources, damaged = decoded([entry])
            found.resources.extend(resources)
            found.damaged.update(damaged)
        elif key in provided:
            found.resources.append((provided[key], 0))
        else:
            found.missing.append(called(key))
    return found


async def _all(store: Store, kind: Kind, namespace: str | None, selector: str) -> Found:
    entries, revision = await store.list(kind.name, namespace)
    resources, damaged = decoded(entries)
    resources += [(one, 0) for one in _provided(kind).values()]
    if selector:
        from tortie.apps.verbs.labels import parse_labels

        wanted = parse_labels(selector)
        resources = [one for one in resources if wanted.matches(one[0].labels)]
    if kind.name == TIER:
        resources.sort(key=lambda one: _tier_rank(one[0]))
    return Found(resources, damaged, [], revision)


def decoded(entries: Iterable[Entry]) -> tuple[list[tuple[Resource, int]], dict[str, str]]:
    """The resources with their revisions, and by name what is wrong with the others."""
    found: list[tuple[Resource, int]] = []
    damaged: dict[str, str] = {}
    for entry in entries:
        try:
            found.append((decode_stored(entry.value), entry.revision))
        except InvalidDocument as error:
            damaged[called(entry.key)] = str(error)
    return found, damaged


def called(key: Key) -> str:
    """`name`, or `namespace/name`."""
    return f"{key.namespace}/{key.name}" if key.namespace else key.name


def _tier_rank(tier: Resource) -> float:
    order = tier.spec.get("order")
    return order if isinstance(order, int | float) else math.inf


def _columns(kind: Kind, query: GetQuery) -> Sequence[Column]:
    """The columns of the view; a namespace is told where it was asked about (reference cli.md section 7)."""
    where = [NAMESPACE] if kind.is_namespaced else []
    if query.view == "custom":
        known = {one.heading: one for one in (NAME, *kind.columns, *kind.wide, *where, *kind.extra)}
        if not query.column:
            raise Failure(Code.USAGE, "need to specify at least one column, as in -o custom-columns=NAME")
        unknown = [heading for heading in query.column if heading.upper() not in known]
        if unknown:
            raise Failure(
                Code.USAGE, f"unknown heading {unknown[0][:60]}, valid values are: {', '.join(known)} (of {kind.name})"
            )
        return [known[heading.upper()] for heading in query.column]
    if query.view not in ("table", "wide"):
        raise Failure(Code.USAGE, f"view: {query.view[:40]!r} is unknown; use table, wide or custom")
    columns = kind.wide if query.view == "wide" else kind.columns
    return [*(where if query.namespace or query.all_namespaces else []), *columns]
