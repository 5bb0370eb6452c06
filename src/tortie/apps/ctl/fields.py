"""Fields of documents for people who ask what can be written: `tortie explain-schema`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from tortie.apps.answers import Table
from tortie.apps.failure import Code, Failure
from tortie.resources.fields import Schema, suggest
from tortie.resources.kind import Kind
from tortie.resources.kinds import KINDS
from tortie.resources.schema import document_schema

_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "maxLength": "characters at most",
    "maxItems": "items at most",
    "pattern": "form",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A field, or the whole document (no name): its schema, and whether it has to be there."""

    name: str
    schema: Schema
    is_required: bool = False

    @property
    def doc(self) -> str:
        """What it means; empty where nobody said."""
        return str(self.schema.get("description", ""))

    @property
    def children(self) -> "list[Place]":
        """The fields below it; those of its items, where it is a list."""
        inner = self.schema if "properties" in self.schema else _inner(self.schema)
        properties = cast(Mapping[str, Schema], inner.get("properties", {}))
        required = cast(list[str], inner.get("required", []))
        return [Place(name, each, name in required) for name, each in properties.items()]


def find(kind: Kind, path: list[str]) -> Place:
    """The field at that path of the kind's documents. Raises: Failure USAGE that says which was probably meant."""
    place = Place("", document_schema(kind))
    for depth, name in enumerate(path):
        known = {each.name: each for each in place.children}
        if name not in known:
            where = ".".join(path[:depth]) or kind.word
            raise Failure(Code.USAGE, f"no field {name[:60]!r} in {where}; {_hint(name, known, path[:depth])}")
        place = known[name]
    return place


def _hint(name: str, known: Mapping[str, Place], above: list[str]) -> str:
    deeper = [each.name for each in known.values() if name in [child.name for child in each.children]]
    if deeper:
        return f"did you mean {'.'.join([*above, deeper[0], name])}?"
    return suggest(name, known) or (f"its fields: {', '.join(known)}" if known else "it has no fields")


def kinds() -> Table:
    """Every kind with what it can be called."""
    rows = [
        [each.name, ",".join(each.aliases), each.api_version, "yes" if each.is_namespaced else "no", each.doc]
        for each in KINDS.values()
    ]
    return {"heading": ["KIND", "ALSO CALLED", "APIVERSION", "NAMESPACED", "MEANING"], "rows": rows}


def explain(kind: Kind, path: list[str], *, is_recursive: bool) -> Iterator[str]:
    """The lines for the field at that path: what it is, and the fields below it."""
    place = find(kind, path)
    yield f"KIND:     {kind.word}"
    yield f"VERSION:  {kind.api_version}"
    if path:
        yield f"FIELD:    {'.'.join(path)} <{type_of(place.schema)}>{_marks(place)}"
    if place.doc:
        yield ""
        yield "DESCRIPTION:"
        yield f"  {place.doc}"
    if limits := dict.fromkeys(_limits(place.schema)):
        yield ""
        yield "VALUES:"
        yield from (f"  {line}" for line in limits)
    if place.children:
        yield ""
        yield "FIELDS:"
        yield from _fields(place, "  ", is_recursive)


def _fields(place: Place, indent: str, is_recursive: bool) -> Iterator[str]:
    for each in place.children:
        yield f"{indent}{each.name} <{type_of(each.schema)}>{_marks(each)}"
        if is_recursive:
            yield from _fields(each, f"{indent}  ", is_recursive)
            continue
        if each.doc:
            yield f"{indent}  {each.doc}"
        if words := _words(each.schema):
            yield f"{indent}  one of: {', '.join(words)}"


def _marks(place: Place) -> str:
    default = f" (default: {_shown(place.schema['default'])})" if "default" in place.schema else ""
    return f"{' required' if place.is_required else ''}{default}"


def type_of(schema: Schema) -> str:
    """The type in a word: `[]T` for a list, `map of T` for free keys."""
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match schema.get("type"):
        case "array":
            return f"[]{type_of(cast(Schema, schema['items']))}"
        case "object" if "additionalProperties" in schema:
            return f"map of {type_of(cast(Schema, schema['additionalProperties']))}"
        case str(word):
            return word
        case _:
            return "anything"


def _inner(schema: Schema) -> Schema:
    """The object that the schema is about: its items', or its values'."""
    for key in ("items", "additionalProperties"):
        if key in schema:
            return _inner(cast(Schema, schema[key]))
    return schema


def _words(schema: Schema) -> list[str]:
    """The values that are allowed, where there is a list of them."""
    inner = _inner(schema)
    choices = [inner, *cast(list[Schema], inner.get("anyOf", []))]
    return [_shown(word) for each in choices for word in cast(list[object], each.get("enum", []))]


def _limits(schema: Schema) -> Iterator[str]:
    if words := _words(schema):
        yield f"one of: {', '.join(words)}"
    inner = _inner(schema)
    for key, meaning in _BOUNDS.items():
        if key in schema or key in inner:
            yield f"{meaning}: {schema.get(key, inner.get(key))}"
    if schema.get("x-kubernetes-list-type") == "set":
        yield "each item once"
    for law in cast(list[Mapping[str, str]], inner.get("x-kubernetes-validations", [])):
        yield law["message"]


def _shown(value: object) -> str:
    return '""' if value == "" else str(value).lower() if isinstance(value, bool) else str(value)
