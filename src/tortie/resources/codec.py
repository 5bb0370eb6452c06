"""Documents to resources and back: the one door of this package.

    text ──decode_text──▶ Resource ──encode──▶ bytes in a store ──decode_stored──▶ Resource ──lower──▶ model value

`decode_text` judges what people write and finds every problem; `decode_stored` and `lower` read what it accepted, fast,
and still refuse what they do not understand.
"""

import json
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple, NoReturn

from tortie.resources.fields import BAD, Missing, describe, join, read_object, refuse_unknown, suggest
from tortie.resources.kind import Body, Draft, Kind, Lowered, Resource
from tortie.resources.kinds import KINDS, WORDS
from tortie.resources.metadata import read_metadata
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import InvalidDocument, Problem, Problems, shorten

MAX_LISTED = 1_000
"""Problems of one text, after which nobody reads on."""
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_LIST_TOP = ("apiVersion", "kind", "metadata", "items")
_MIXED_LIST = ("v1", "List")
QUESTIONS = {"PolicyTest": "tortie test", "PolicyAssertion": "tortie assert"}
"""Kinds of documents that ask about policy and are no resources, each with the command that answers them."""


class Reading(NamedTuple):
    """One document of a text: what it says it is, and its resources; none of them where anything is wrong with it.

    `line` is where it begins. `kind` and `name` are as written; None where they are not, or cannot be read.
    """

    source: str
    line: int
    kind: str | None
    name: str | None
    resources: tuple[Resource, ...]
    problems: tuple[Problem, ...]

    @property
    def is_question(self) -> bool:
        """Whether the document asks about policy, and is no resource."""
        return self.kind in QUESTIONS


def read_text(text: str | bytes, source: str) -> Iterator[Reading]:
    """Every document of the text in its order. A text of which the problems fill screens is not read to its end."""
    return (reading for reading, _ in read_trees(text, source))


def read_trees(text: str | bytes, source: str) -> Iterator[tuple[Reading, Node | None]]:
    """The same, each beside the tree that it was read from, for who asks where something stands; None: it has none."""
    from tortie.resources.document import read_documents  # loads the YAML library, which no other command needs

    listed = 0
    for document in read_documents(text, source):
        if listed >= MAX_LISTED:
            yield _unread(source, document.line), None
            return
        root = document.root
        found = [] if root is None else [*_read_root(root, document.problems)]
        reading = Reading(
            source=source,
            line=root.line if isinstance(root, Mapping | Sequence) else document.line,
            kind=_said(root, "kind"),
            name=_said(root, "metadata", "name"),
            resources=() if document.problems else tuple(each._replace(source=source) for each in found),
            problems=tuple(document.problems.listed()),
        )
        yield reading, root
        listed += len(reading.problems)


def resource_nodes(root: Node) -> Iterator[tuple[tuple[str | int, ...], Mapping]]:
    """Where each resource of a document stands, in the order in which they are read: the way to it, and its node."""
    if isinstance(root, Sequence):
        for index, item in enumerate(root.items):
            yield from (((index, *way), node) for way, node in resource_nodes(item))
    elif isinstance(root, Mapping):
        items = root.get("items")
        if _word(root.get("kind")).endswith("List") and isinstance(items, Sequence):
            yield from ((("items", *way), node) for way, node in resource_nodes(items))
        else:
            yield (), root


def _unread(source: str, line: int) -> Reading:
    """What stands for the rest of a text that was given up at that line."""
    message, remedy = "the text was not read from here on", "correct the problems before it first"
    problem = Problem(code="TT1010", message=message, source=source, line=line, remedy=remedy)
    return Reading(source=source, line=line, kind=None, name=None, resources=(), problems=(problem,))


def decode_text(text: str | bytes, source: str) -> tuple[list[Resource], list[Problem]]:
    """Every valid resource of the text in its order, and every problem of the others."""
    readings = [*read_text(text, source)]
    return [each for one in readings for each in one.resources], [each for one in readings for each in one.problems]


def _said(node: Node | None, *keys: str) -> str | None:
    """The text at that place of the document."""
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return _word(node) or None


def decode_node(node: Node, problems: Problems) -> list[Resource]:
    """The resources of a document that stands inside another one; what is wrong with them is noted."""
    return list(_read_root(node, problems))


def encode(resource: Resource) -> bytes:
    """The resource as canonical JSON: sorted keys, no blanks, without its resource version."""
    return _encoder.encode(resource.body).encode()


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{shorten(word)} is no finite number")


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


# Not msgspec, which is quicker with each document, and takes a command 8 ms to load.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def decode_stored(value: bytes, source: str = "datastore") -> Resource:
    """The resource of a stored document; its rules are checked when it is lowered.

    Raises: InvalidDocument.
    """
    try:
        body: Body = _decoder.decode(value.decode())
        if b"\\u" in value:
            json.dumps(body, ensure_ascii=False).encode()  # an escape may stand for half of a character
    except (ValueError, RecursionError) as error:
        raise InvalidDocument([_damaged(source, str(error))]) from None
    match body:
        case {
            "kind": str(word),
            "apiVersion": str(group),
            "metadata": {"name": str(name), **rest},
        } if isinstance(rest.get("namespace", ""), str) and _are_labels(rest.get("labels", {})):
            kind = WORDS.get((group, word))
        case _:
            raise InvalidDocument([_damaged(source, "no resource with kind, apiVersion and metadata")])
    if kind is None:
        what = f"kind {shorten(word)} of {shorten(group)} is not known here"
        raise InvalidDocument([_damaged(source, what)])
    return Resource(kind=kind.name, namespace=str(rest.get("namespace", "")), name=name, body=body, source=source)


def _are_labels(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def lower(resource: Resource) -> "Lowered | None":
    """The model's value of the resource; None for one of which nothing is enforced.

    Raises: InvalidDocument, for a stored document that validation would have refused.
    """
    lower_kind = KINDS[resource.kind].lower
    if lower_kind is None:
        return None
    # Who only reads documents does without the model.
    import msgspec

    from tortie.model.address import InvalidAddress
    from tortie.model.selector import InvalidSelector
    from tortie.resources.lowering import Meaningless

    try:
        return lower_kind(resource)
    except (msgspec.ValidationError, InvalidSelector, InvalidAddress, Meaningless, KeyError) as error:
        raise InvalidDocument([_damaged(resource.source or "datastore", f"{resource}: {error}")]) from None


def _damaged(source: str, message: str) -> Problem:
    remedy = "apply the document again"
    return Problem(code="TT1401", message=shorten(message, 200), source=source, remedy=remedy)


def _read_root(root: Node, problems: Problems) -> Iterator[Resource]:
    """The resources of one document: one, the items of a list kind, or the members of an array."""
    match root:
        case Sequence():
            for index, item in enumerate(root.items):
                with problems.inside(f"[{index}]"):
                    if isinstance(item, Scalar) and item.value is None:
                        problems.add("TT1011", item, "", "an empty item", remedy="remove it")
                    else:
                        yield from _read_root(item, problems)
        case Mapping():
            yield from _read_mapping(root, problems)
        case Scalar(value=None):
            problems.add("TT1011", root, "", "the document is empty", remedy="remove it and its ---")
        case _:
            found, expected = describe(root), "a resource with apiVersion, kind, metadata and spec"
            problems.add("TT1011", root, "", "not a resource", found=found, expected=expected)


def _read_mapping(node: Mapping, problems: Problems, item_of: Kind | None = None) -> Iterator[Resource]:
    """The resource, or those of a list kind; `item_of`: an item of a list, which may leave out what the list says."""
    named, version = node.get("kind"), node.get("apiVersion")
    word, group = _word(named), _word(version)
    if named is not None and word in QUESTIONS:
        message, remedy = f"a {word} is no resource, and is not stored", f"answer it with {QUESTIONS[word]}"
        problems.add("TT1013", named, "kind", message, remedy=remedy)
        return
    if (group, word) == _MIXED_LIST and item_of is None:
        yield from _read_mixed(node, problems)
        return
    is_list = item_of is None and word.endswith("List")
    single = word.removesuffix("List") if is_list else word
    # A wrong or missing apiVersion is a problem of its own; the rest of the document is judged all the same.
    kind = (WORDS.get((group, single)) or _meant_kind(single)) if named is not None else item_of
    fields = (*_TOP, *(kind.top if kind else ())) if not (kind and is_list) else _LIST_TOP
    is_open = kind is not None and kind.is_open
    meant = {
        refuse_unknown(key, join("", key.text), problems, dict.fromkeys(fields))
        for key, _ in node.entries.values()
        if key.text not in fields and not is_open
    }
    if version is not None or (item_of is None and "apiVersion" not in meant):
        versions = [kind.api_version] if kind else [*dict.fromkeys(group for group, _ in WORDS)]
        _check_word(version or node, "apiVersion", "TT1012", versions, problems)
    if kind is None or (item_of is not None and kind is not item_of):
        if named is not None or "kind" not in meant:
            words = [item_of.word] if item_of else sorted({word for _, word in WORDS})
            _check_word(named or node, "kind", "TT1013", words, problems)
        return
    if is_list:
        yield from _read_items(node, kind, problems)
        return
    resource = _read_resource(node, kind, problems)
    if resource is not None:
        yield resource


def _meant_kind(word: str) -> Kind | None:
    """The kind that a document with the wrong apiVersion is of; ours, where the word is several kinds'."""
    kinds = sorted(KINDS.values(), key=lambda kind: kind.name != word)
    return next((kind for kind in kinds if kind.word == word), None)


def _read_mixed(node: Mapping, problems: Problems) -> Iterator[Resource]:
    """The resources of a list of any kinds, as kubectl prints it; each item says what it is."""
    for key, _ in node.entries.values():
        if key.text not in _LIST_TOP:
            refuse_unknown(key, join("", key.text), problems, dict.fromkeys(_LIST_TOP))
    items = node.get("items")
    if isinstance(items, Sequence):
        yield from _read_root(items, problems)
    else:
        problems.add("TT1102", items or node, "items", "a List needs items", remedy="add items: with the resources")


def _word(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""


def _read_items(node: Mapping, kind: Kind, problems: Problems) -> Iterator[Resource]:
    items = node.get("items")
    if not isinstance(items, Sequence):
        message, remedy = "a list kind needs items", "add items: with the resources"
        problems.add("TT1102", items or node, "items", message, remedy=remedy)
        return
    for index, item in enumerate(items.items):
        with problems.inside(join("", "items", index)):
            if isinstance(item, Mapping):
                yield from _read_mapping(item, problems, kind)
            else:
                problems.add("TT1011", item, "", "not a resource", found=describe(item), expected=kind.word)


def _check_word(node: Node, path: str, code: str, known: list[str], problems: Problems) -> None:
    """Note that the node is none of the words; a mapping stands for the document that lacks the field."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value in known:
        return
    expected = ", ".join(known)
    if isinstance(node, Scalar):
        hint = "" if problems.is_full else suggest(node.text, known)
        problems.add(code, node, path, f"unknown {path}", found=describe(node), expected=expected, remedy=hint)
    elif isinstance(node, Mapping) and node.get(path) is None:
        problems.add(code, node, path, f"{path} is missing", expected=expected, remedy=f"add {path}:")
    else:
        problems.add(code, node, path, f"unknown {path}", found=describe(node), expected=expected)


def _read_resource(node: Mapping, kind: Kind, problems: Problems) -> Resource | None:
    """The resource, unless something is wrong with it."""
    if "status" in node.entries and kind.status is None and not kind.is_open:
        key = node.entries["status"][0]
        problems.add("TT1101", key, "status", f'unknown field "status": {kind.name} has none', remedy="remove it")
    metadata: Body = {}
    version: str | None = None
    metadata_node = node.get("metadata")
    if metadata_node is None and kind.is_name_computed:
        metadata_node = Mapping(node.line, node.column, {})
    if metadata_node is None:
        problems.add("TT1102", node, "metadata.name", "required field is missing", remedy="add metadata: with a name")
    else:
        metadata, version = read_metadata(metadata_node, kind, problems)
    beside: Body = {}
    if kind.top:
        own = Mapping(node.line, node.column, {key: each for key, each in node.entries.items() if key in kind.top})
        found = read_object(own, "", problems, kind.top)
        beside.update({} if isinstance(found, Missing) else found)
    if kind.status is not None and (status := node.get("status")) is not None:
        said = read_object(status, "status", problems, kind.status, is_open=kind.is_open)
        if kind.keeps_status and said and not isinstance(said, Missing):
            beside["status"] = said
    spec_node = node.get("spec") or Mapping(node.line, node.column, {})
    read = read_object(spec_node, "spec", problems, kind.fields, is_open=kind.is_open)
    spec: Body = {} if isinstance(read, Missing) else read
    if read is not BAD and isinstance(spec_node, Mapping):
        name = str(metadata.get("name", ""))
        kind.complete(Draft(name, metadata, spec, metadata_node or node, spec_node, problems))
    if problems:
        return None
    if kind.fields:
        beside["spec"] = spec
    return Resource(
        kind=kind.name,
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        body={"apiVersion": kind.api_version, "kind": kind.word, "metadata": metadata, **beside},
        resource_version=version,
        line=node.line,
    )
