"""Cases for every field of a kind: what it accepts, what it refuses with which code, and what it counts as if absent.

A kind's cases stand in `kind_cases/<kind>.py` as `CASES`; `test_resource_fields.py` runs them all, and fails for a
field, however deep, that lacks an accepted or a refused case. Fields are found in the kind's schema, which is made
where they are read, so that no field can be left out.

Paths are those of the document, `[]` for the items of a list: `spec.ingress[].source.nets`.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from tortie.resources.fields import object_schema
from tortie.resources.kind import Kind, Resource
from tortie.resources.kinds import KINDS

Spec = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Absent:
    """What is read where nothing is kept."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Reads:
    """A value that is kept in another form than it is given in, or not at all (ABSENT)."""

    given: object
    kept: object


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that is refused with that code. `at`: where below the field, such as `[0]`, or a whole path."""

    given: object
    code: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class FieldCase:
    """A field's cases. `around`: what has to stand beside it in the document, from `spec` or `status` on.

    `is_possible` False: the field exists, and no value is accepted where it stands.
    """

    path: str
    accepted: Sequence[object]
    refused: Sequence[Refused]
    around: Spec = field(default_factory=dict)
    is_possible: bool = True


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole specification that is refused for what holds between its fields."""

    spec: Spec
    code: str
    path: str


@dataclass(frozen=True, slots=True)
class KindCases:
    """The cases of a kind. `base`: the least specification that is valid; `defaults`: what it is kept as.

    `top`: what has to stand beside the specification.
    """

    kind: str
    fields: Sequence[FieldCase]
    defaults: Spec
    base: Spec = field(default_factory=dict)
    refused: Sequence[Whole] = ()
    name: str = "thing"
    top: Spec = field(default_factory=dict)


def below(place: str, cases: Sequence[FieldCase], around: object = None) -> tuple[FieldCase, ...]:
    """The cases of a shared part, such as a rule, as they are at that place; `around`: what stands there at least."""
    return tuple(
        replace(
            case,
            path=f"{place}.{case.path}" if case.path else place,
            around=put({}, place, _merged(around, case.around)),
            refused=[
                each if not each.at[:1].isalpha() else replace(each, at=f"{item_path(place)}.{each.at}")
                for each in case.refused
            ],
        )
        for case in cases
    )


def _merged(around: object, more: Spec) -> object:
    return {**around, **more} if isinstance(around, Mapping) else dict(more)


_STEPS = re.compile(r"([^.\[\]]+)|(\[\])")


def steps(path: str) -> list[str]:
    """The keys of a path, `[]` for the first item of a list."""
    return [key or mark for key, mark in _STEPS.findall(path)]


def put(body: Mapping[str, object], path: str, value: object) -> dict[str, object]:
    """The body with the value at that path; what is missing on the way there is made, what is there stays."""
    return cast(dict[str, object], _put(deepcopy(body), steps(path), value))


def _put(at: object, keys: list[str], value: object) -> object:
    if not keys:
        return value
    if keys[0] == "[]":
        items = list(at) if isinstance(at, Sequence) else []
        return [_put(items[0] if items else None, keys[1:], value), *items[1:]]
    entries = dict(at) if isinstance(at, Mapping) else {}
    entries[keys[0]] = _put(entries.get(keys[0]), keys[1:], value)
    return entries


def find(body: object, path: str) -> object:
    """What stands at that path; ABSENT if nothing does."""
    for key in steps(path):
        if key == "[]":
            body = body[0] if isinstance(body, list) and body else ABSENT
        else:
            body = body.get(key, ABSENT) if isinstance(body, dict) else ABSENT
    return body


def item_path(path: str) -> str:
    """The path as problems say it, for the first item of every list."""
    return path.replace("[]", "[0]")


def document_of(cases: KindCases, case: FieldCase | None = None, value: object = None) -> str:
    """A document of the kind, as JSON, with that value in that field."""
    kind = KINDS[cases.kind]
    metadata = {"name": cases.name, **({"namespace": "ns"} if kind.is_namespaced else {})}
    body: dict[str, object] = {"apiVersion": kind.api_version, "kind": kind.word, "metadata": metadata}
    body.update(deepcopy(dict(cases.top)))
    body["spec"] = deepcopy(cases.base)
    if case is not None:
        for top, part in case.around.items():
            body[top] = _overlaid(body.get(top), part)
        body = put(body, case.path, value)
    return json.dumps(body)


def _overlaid(under: object, over: object) -> object:
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        return {**under, **over}
    return over


def field_paths(kind: Kind) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every field of the kind with its schema, the deepest ones too."""
    yield from _paths("", object_schema(kind.top))
    yield from _paths("spec", object_schema(kind.fields))
    if kind.status is not None:
        yield from _paths("status", object_schema(kind.status))


def _paths(path: str, schema: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            below = f"{path}.{name}" if path else name
            yield below, inner
            yield from _paths(below, inner)
    items = schema.get("items")
    if isinstance(items, Mapping):
        yield from _paths(f"{path}[]", items)


def uncovered(cases: KindCases) -> list[str]:
    """What the cases lack: fields without an accepted, a refused case or a doc, and cases of no field."""
    kind = KINDS[cases.kind]
    known = dict(field_paths(kind))
    accepted = {case.path for case in cases.fields if case.accepted or not case.is_possible}
    refused = {case.path for case in cases.fields if case.refused}
    return [
        *(f"{path} has no accepted case" for path in known if path not in accepted),
        *(f"{path} has no refused case" for path in known if path not in refused),
        *(f"{path} has no doc" for path, schema in known.items() if not schema.get("description")),
        *(f"{path} is no field" for path in sorted(accepted | refused) if path not in known),
    ]


def spec_of(resource: Resource) -> dict[str, object]:
    """The specification as it is kept."""
    return dict(resource.spec)


def all_cases() -> dict[str, KindCases]:
    """The cases of every kind that has some, by its name."""
    folder = Path(__file__).parent / "kind_cases"
    modules = sorted(each.name for each in pkgutil.iter_modules([str(folder)]))
    found = [importlib.import_module(f"kind_cases.{name}") for name in modules]
    return {each.CASES.kind: each.CASES for each in found if hasattr(each, "CASES")}
