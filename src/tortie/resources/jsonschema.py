"""JSON Schema (draft 2020-12) of every document that is accepted: for editors, and for checks where tortie is not.

It promises that what the decoder accepts is valid. What no schema can say (a selector, a range of ports) only the
decoder refuses.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from tortie.resources.fields import Schema
from tortie.resources.kind import Kind
from tortie.resources.schema import document_schema
from tortie.resources.values import SUBDOMAIN, anchored

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Part = dict[str, object]


def json_schema(kinds: Iterable[Kind]) -> Part:
    """The schema of documents of these kinds: a resource, a list of resources of one kind, or an array of both."""
    known = list(kinds)
    singles = [*dict.fromkeys(kind.word for kind in known)]
    words = [*singles, *(f"{word}List" for word in singles)]
    versions = [*dict.fromkeys(kind.api_version for kind in known)]
    choices: list[Part] = []
    definitions: dict[str, Part] = {}
    for kind in known:
        definitions[kind.name] = _definition(kind)
        definitions[f"{kind.name}List"] = _list_definition(kind)
        choices += [
            _choice(kind.api_version, kind.word, kind.name),
            _choice(kind.api_version, f"{kind.word}List", f"{kind.name}List"),
        ]
    resource: Part = {
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"description": "The API group and version of the kind.", "enum": versions},
            "kind": {"description": "The kind of the resource, or of the resources of a list.", "enum": words},
        },
        "allOf": choices,
    }
    title = known[0].name if len(known) == 1 else "Resources of tortie"
    return {
        "$schema": DIALECT,
        "title": title,
        "if": {"type": "array"},
        "then": {"items": {"$ref": "#"}},
        "else": {"$ref": "#/$defs/resource"},
        "$defs": {"resource": resource, **_shared(definitions)},
    }


def _shared(definitions: Mapping[str, Part]) -> Part:
    """The definitions, in which an object that is there several times, such as a rule, has one of its own."""
    times = Counter(_body(part) for definition in definitions.values() for part in _objects(definition))
    names: dict[str, str] = {}
    found: Part = {}

    def shared(value: object, key: str, *, is_root: bool = False) -> object:
        if isinstance(value, list):
            return [shared(each, key) for each in value]
        if not isinstance(value, Mapping):
            return value
        inner = {
            name: shared(each, key if name in ("items", "properties") else name) if name != "enum" else each
            for name, each in value.items()
        }
        body = _body(value)
        if is_root or times[body] < 2:
            return inner
        if body not in names:
            known = sum(1 for name in names.values() if name.partition(".")[0] == key)
            names[body] = f"{key}.{known + 1}"
            found[names[body]] = {name: each for name, each in inner.items() if name != "description"}
        said = {name: inner[name] for name in ("description",) if name in inner}
        return {**said, "$ref": f"#/$defs/{names[body]}"}

    roots = {name: shared(each, name, is_root=True) for name, each in definitions.items()}
    return {**roots, **found}


def _objects(part: object) -> Iterator[Mapping[str, object]]:
    """Every schema of an object with fields, in whatever it stands."""
    if isinstance(part, list):
        for each in part:
            yield from _objects(each)
    elif isinstance(part, Mapping):
        if isinstance(part.get("properties"), Mapping) and "type" in part:
            yield part
        for each in part.values():
            yield from _objects(each)


def _body(part: Mapping[str, object]) -> str:
    """What makes two schemas of objects the same, whatever is said of them."""
    return json.dumps({name: each for name, each in part.items() if name != "description"})


def _choice(version: str, word: str, name: str) -> Part:
    said = {"apiVersion": {"const": version}, "kind": {"const": word}}
    return {"if": {"properties": said, "required": [*said]}, "then": {"$ref": f"#/$defs/{name}"}}


def _definition(kind: Kind) -> Part:
    """A resource. In a list it may leave out what the list says, so neither word is required here."""
    schema = translate(document_schema(kind))
    properties = cast(dict[str, Part], schema["properties"])
    properties["apiVersion"] = {**properties["apiVersion"], "type": "string", "const": kind.api_version}
    properties["kind"] = {**properties["kind"], "type": "string", "const": kind.word}
    metadata = properties["metadata"]
    inner = cast(dict[str, Part], metadata["properties"])
    if not kind.is_name_computed:
        form = anchored(SUBDOMAIN.removesuffix(r"\Z"))
        inner["name"] = {**inner["name"], "type": "string", "maxLength": 253, "pattern": form}
        metadata["required"] = ["name"]
    if not kind.is_namespaced:
        inner["namespace"] = {**inner["namespace"], "maxLength": 0}
    required = cast(list[str], schema["required"])
    schema["required"] = [each for each in required if each not in ("apiVersion", "kind")]
    return schema


def _list_definition(kind: Kind) -> Part:
    described = f"Resources of the kind {kind.word}."
    return {
        "type": "object",
        "description": described,
        "required": ["items"],
        "properties": {
            "apiVersion": {"const": kind.api_version},
            "kind": {"const": f"{kind.word}List"},
            "metadata": {},
            "items": {"type": "array", "items": {"$ref": f"#/$defs/{kind.name}"}},
        },
        "additionalProperties": False,
    }


def translate(schema: Schema) -> Part:
    """A structural schema in JSON Schema: without what only API servers know, with the strictness of the decoder."""
    result: Part = {}
    for key, value in schema.items():
        match key, value:
            case "properties", Mapping():
                required = cast(list[str], schema.get("required", []))
                result[key] = {name: _property(each, is_required=name in required) for name, each in value.items()}
                if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
                    result["additionalProperties"] = False
            case ("items", Mapping()):
                result[key] = translate(cast(Schema, value))
            case ("additionalProperties", Mapping()):
                result[key] = _nullable(translate(cast(Schema, value)))
            case (("anyOf" | "allOf" | "oneOf"), list()) if not schema.get("x-kubernetes-int-or-string"):
                result[key] = [translate(each) for each in value]
            case "x-kubernetes-list-type", "set":
                result["uniqueItems"] = True
            case "x-kubernetes-int-or-string", _:
                result["type"] = ["integer", "string"]
            case (("anyOf" | "format" | "nullable"), _):
                pass
            case _ if not key.startswith("x-kubernetes-"):
                result[key] = value
    return result


def _property(schema: Schema, *, is_required: bool) -> Part:
    """Null means absent, so only a required field must not be null."""
    return translate(schema) if is_required else _nullable(translate(schema))


def _nullable(schema: Part) -> Part:
    match schema.get("type"):
        case str(word):
            schema = {**schema, "type": [word, "null"]}
        case list(words) if "null" not in words:
            schema = {**schema, "type": [*words, "null"]}
    allowed = schema.get("enum")
    if isinstance(allowed, list) and None not in allowed:
        schema = {**schema, "enum": [*allowed, None]}
    return schema
