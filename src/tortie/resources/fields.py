"""Reading nodes by a table of fields: the shapes that every kind shares. What a single value means is in `values.py`.

A decoder turns a node into its canonical JSON value, or notes why it cannot and answers BAD; ABSENT stands for a value
that counts as not given. Null never reaches a decoder: it means absent everywhere. Beside the reading it carries the
schema that other programs are told: both are made in one place, so that they do not part.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple, assert_never

from tortie.resources import nodes
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Position, Problems, shorten

Json = bool | int | float | str | list["Json"] | dict[str, "Json"]


class Missing(Enum):
    """Why a decoder has no value."""

    ABSENT = "absent"
    BAD = "bad"


ABSENT, BAD = Missing.ABSENT, Missing.BAD
Reader = Callable[[Node, str, Problems], Json | Missing]
Schema = Mapping[str, object]
"""A part of an OpenAPI v3 schema in the structural form that Kubernetes takes."""


class Decoder(NamedTuple):
    """How a value is read, and the schema that describes it as far as a schema can.

    The schema accepts everything that the reader accepts; what it cannot say only the reader refuses. Null is left out:
    it means absent for every field, and `jsonschema.py` adds it. Patterns are such as Go, browsers and Python share.
    """

    read: Reader
    schema: Schema

    def __call__(self, node: Node, path: str, problems: Problems) -> Json | Missing:
        """What was read."""
        return self.read(node, path, problems)


def decoder(**schema: object) -> Callable[[Reader], Decoder]:
    """Makes a decoder of a function that reads."""
    return lambda read: Decoder(read, schema)


class Law(NamedTuple):
    """What holds between the fields of an object, as an expression for API servers (CEL), and its message."""

    rule: str
    message: str


class Field(NamedTuple):
    """How a field is read, what it means, whether it has to be there, and what an absent one counts as."""

    decode: Decoder
    doc: str = ""
    is_required: bool = False
    default: Json | Missing = ABSENT


Fields = Mapping[str, Field]


class Scope(NamedTuple):
    """A mapping that was read, for checks across its fields: they name a field by its keys and find its place."""

    node: nodes.Mapping
    path: str
    problems: Problems

    def concern(self, *keys: str | int) -> bool:
        """Whether the field was refused already, so that nothing follows from its value."""
        return self.problems.concern(join(self.path, *keys))

    def has(self, key: str) -> bool:
        """Whether the field is given at all."""
        return self.node.get(key) is not None

    def report(
        self, code: str, keys: tuple[str | int, ...], message: str, *, found: str = "", expected: str = "", remedy: str
    ) -> None:
        """Note a problem at that field, or at the nearest thing around it that is there."""
        at: Node = self.node
        for key in keys:
            inner: Node | None = None
            if isinstance(at, nodes.Mapping) and isinstance(key, str):
                inner = at.get(key)
            elif isinstance(at, nodes.Sequence) and isinstance(key, int) and key < len(at.items):
                inner = at.items[key]
            if inner is None:
                break
            at = inner
        path = join(self.path, *keys)
        self.problems.add(code, at, path, message, found=found, expected=expected, remedy=remedy)


def join(path: str, *keys: str | int) -> str:
    """The path of what lies below."""
    for key in keys:
        if isinstance(key, int):
            path = f"{path}[{key}]"
        elif key.isidentifier() and len(key) <= 60:
            path = f"{path}.{key}" if path else key
        else:
            path = f'{path}["{shorten(key)}"]'
    return path


def describe(node: Node) -> str:
    """The node in an error's "found"."""
    match node:
        case nodes.Mapping():
            return "a mapping"
        case nodes.Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return f"the boolean {shorten(node.text)}"
        case Scalar(value=str()):
            return f'"{shorten(node.text)}"'
        case Scalar():
            return f"the number {shorten(node.text)}"
        case _:
            assert_never(node)


def refuse_type(node: Node, path: str, problems: Problems, expected: str, remedy: str = "") -> Missing:
    """BAD, with the problem that the node is of another type."""
    problems.add("TT1103", node, path, "wrong type", found=describe(node), expected=expected, remedy=remedy)
    return BAD


def suggest(word: str, known: Mapping[str, object] | list[str]) -> str:
    """`did you mean X?`, or nothing where no known word is near."""
    import difflib  # only a mistake needs it

    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word[:64].lower(), lower, n=1, cutoff=0.7)
    return f"did you mean {lower[near[0]]}?" if near else ""


def refuse_unknown(key: Scalar, path: str, problems: Problems, known: Mapping[str, object]) -> str:
    """Note an unknown field; the known field that was probably meant."""
    if problems.is_full:
        problems.add("TT1101", key, path, "unknown field")
        return ""
    hint = suggest(key.text, known)
    remedy = hint or "remove it, or move it to its place"
    problems.add("TT1101", key, path, f'unknown field "{shorten(key.text)}"', remedy=remedy)
    return hint.removeprefix("did you mean ").removesuffix("?")


def read_object(
    node: Node, path: str, problems: Problems, fields: Fields, *, is_open: bool = False
) -> dict[str, Json] | Missing:
    """The object's fields that are valid; problems are noted for the others.

    `is_open`: the object belongs to others, who may give it any more fields; those are passed over.
    """
    if not isinstance(node, nodes.Mapping):
        return refuse_type(node, path, problems, "a mapping of fields")
    result: dict[str, Json] = {}
    meant: set[str] = set()
    for name, (key, value) in node.entries.items():
        field = fields.get(name)
        if field is None:
            if not is_open:
                meant.add(refuse_unknown(key, join(path, name), problems, fields))
        elif not (isinstance(value, Scalar) and value.value is None):
            decoded = field.decode(value, f"{path}.{name}" if path else name, problems)
            if not isinstance(decoded, Missing):
                result[name] = decoded
    for name, field in fields.items():
        if field.is_required and name not in meant and name not in result and not problems.concern(join(path, name)):
            require(node, join(path, name), problems)
        if not isinstance(field.default, Missing) and name not in result and not problems.concern(join(path, name)):
            from copy import deepcopy  # documents that were stored have their defaults

            result[name] = deepcopy(field.default)
    return result


def require(at: Position, path: str, problems: Problems) -> None:
    """Note that a field is missing."""
    problems.add("TT1102", at, path, "required field is missing", remedy="add it")


def object_schema(fields: Fields, laws: Iterable[Law] = (), *, is_open: bool = False) -> Schema:
    """The schema of an object with these fields."""
    schema: dict[str, object] = {"type": "object", "properties": {name: _described(fields[name]) for name in fields}}
    if required := [name for name, each in fields.items() if each.is_required]:
        schema["required"] = required
    if listed := [{"rule": law.rule, "message": law.message} for law in laws]:
        schema["x-kubernetes-validations"] = listed
    if is_open:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def _described(field: Field) -> Schema:
    doc: Schema = {"description": field.doc} if field.doc else {}
    default: Schema = {} if isinstance(field.default, Missing) else {"default": field.default}
    return {**doc, **field.decode.schema, **default}


def object_of(
    fields: Fields,
    check: Callable[[Scope, dict[str, Json]], None] | None = None,
    laws: Iterable[Law] = (),
    *,
    is_open: bool = False,
) -> Decoder:
    """Decoder of an object with these fields; `check` looks at what holds between them, `laws` say it in the schema."""

    @decoder(**object_schema(fields, laws, is_open=is_open))
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        result = read_object(node, path, problems, fields, is_open=is_open)
        if check is not None and isinstance(result, dict) and isinstance(node, nodes.Mapping):
            check(Scope(node, path, problems), result)
        return result

    return decode


def list_of(
    item: Decoder,
    *,
    limit: int | None = None,
    identity: Callable[[Json], object] | None = None,
    is_empty_kept: bool = False,
) -> Decoder:
    """Decoder of a list; `identity` makes it a set, whose items must differ in it. An empty list counts as absent."""
    schema: dict[str, object] = {"type": "array", "items": item.schema}
    if limit is not None:
        schema["maxItems"] = limit
    # API servers take no set of lists or mappings
    if identity is not None and item.schema.get("type") not in ("object", "array"):
        schema["x-kubernetes-list-type"] = "set"

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        if not isinstance(node, nodes.Sequence):
            return refuse_type(node, path, problems, "a list", "write it as a list: [...] or lines that begin with -")
        if not node.items and not is_empty_kept:
            return ABSENT
        if limit is not None and len(node.items) > limit:
            problems.add(
                "TT1110", node, path, "too many items", found=str(len(node.items)), expected=f"at most {limit}"
            )
            return BAD
        result: list[Json] = []
        seen: set[object] = set()
        for index, each in enumerate(node.items):
            below = f"{path}[{index}]"
            if isinstance(each, Scalar) and each.value is None:
                refuse_type(each, below, problems, "a value", "remove the empty item")
                continue
            decoded = item(each, below, problems)
            if isinstance(decoded, Missing):
                if decoded is ABSENT:
                    refuse_type(each, below, problems, "a value", "remove the empty item")
                continue
            if identity is not None:
                key = identity(decoded)
                if key in seen:
                    problems.add(
                        "TT1111", each, below, "listed twice", found=describe(each), remedy="remove one of them"
                    )
                seen.add(key)
            result.append(decoded)
        return result

    return decode


def map_of(check_key: Callable[[Scalar, str, Problems], None], value: Decoder, *, null: Json | None = None) -> Decoder:
    """Decoder of a mapping with free keys; `null` stands for a null value (None: such a key counts as absent)."""

    value_schema = value.schema if null is None else {**value.schema, "nullable": True}

    @decoder(type="object", additionalProperties=value_schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        if not isinstance(node, nodes.Mapping):
            return refuse_type(node, path, problems, "a mapping of names to values")
        result: dict[str, Json] = {}
        for name, (key, each) in node.entries.items():
            below = join(path, name)
            check_key(key, below, problems)
            if isinstance(each, Scalar) and each.value is None:
                if null is not None:
                    result[name] = null
                continue
            decoded = value(each, below, problems)
            if not isinstance(decoded, Missing):
                result[name] = decoded
        return result or ABSENT

    return decode
