"""The `metadata` of every kind: names, labels, annotations, and what a server adds.

Source: reference resources.md section 1.
"""

import re

from tortie.resources.fields import (
    ABSENT,
    Decoder,
    Field,
    Fields,
    Json,
    Missing,
    Schema,
    decoder,
    join,
    list_of,
    map_of,
    object_of,
    require,
    suggest,
)
from tortie.resources.kind import Body, Kind
from tortie.resources.nodes import Mapping, Node, Scalar
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import SUBDOMAIN, enum, integer, name, optional_text, pattern, text

MAX_ANNOTATIONS = 256 * 1024
OURS = "tortie.io/"
"""How keys of annotations begin that mean something to tortie alone."""
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z"
_LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})\Z"


def is_qualified(key: str) -> bool:
    """Whether a label can have that key."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (0 < len(prefix) <= 253 and re.match(SUBDOMAIN, prefix)):
        return False
    return re.match(_QUALIFIED, name) is not None


def check_label_key(key: Scalar, path: str, problems: Problems) -> None:
    """Note a key that is no label's."""
    if not is_qualified(key.text):
        expected = "an optional lower-case DNS prefix and /, then up to 63 of a-z, A-Z, 0-9, -, _, ."
        problems.add("TT1113", key, path, "invalid label key", found=f'"{shorten(key.text)}"', expected=expected)


def check_annotation_key(key: Scalar, path: str, problems: Problems) -> None:
    """Note a key that is no annotation's; upper-case domains are fine here."""
    if not is_qualified(key.text.lower()):
        expected = "an optional DNS prefix and /, then up to 63 of a-z, A-Z, 0-9, -, _, ."
        problems.add("TT1114", key, path, "invalid annotation key", found=f'"{shorten(key.text)}"', expected=expected)


_LABEL = "up to 63 of a-z, A-Z, 0-9, -, _, . that begin and end with a letter or digit, or nothing"
label_value = pattern("TT1113", _LABEL_VALUE, _LABEL)
"""Decoder of the value of a label."""
labels = map_of(check_label_key, label_value, null="")
_annotations = map_of(check_annotation_key, text, null="")


@decoder(**_annotations.schema)
def annotations(node: Node, path: str, problems: Problems) -> Json | Missing:
    """Annotations within their total size."""
    result = _annotations(node, path, problems)
    if isinstance(result, dict):
        size = sum(len(key.encode()) + len(str(value).encode()) for key, value in result.items())
        if size > MAX_ANNOTATIONS:
            expected = f"at most {MAX_ANNOTATIONS} bytes of keys and values"
            problems.add("TT1114", node, path, "annotations are too large", found=f"{size} bytes", expected=expected)
    return result


time = pattern("TT1116", _TIME, "a time as in RFC 3339")
"""Decoder of a time."""
_any = Decoder(lambda node, path, problems: ABSENT, {"x-kubernetes-preserve-unknown-fields": True})
_anything: Fields = {
    # What a server sets is checked lightly and not kept, so that a document exported elsewhere applies here.
    "uid": Field(optional_text),
    "generation": Field(integer(0)),
    "creationTimestamp": Field(time),
    "deletionTimestamp": Field(time),
    "deletionGracePeriodSeconds": Field(integer()),
    "generateName": Field(optional_text),
    "ownerReferences": Field(_any),
    "finalizers": Field(list_of(text)),
    "managedFields": Field(_any),
    "selfLink": Field(optional_text),
}
_fields: Fields = {
    "name": Field(optional_text, "The name, which is unique among the resources of its kind (and namespace)."),
    "namespace": Field(name, "The namespace, for kinds that have one."),
    "labels": Field(labels, "What selectors look at."),
    "annotations": Field(annotations, "Notes that nothing selects by."),
    "resourceVersion": Field(optional_text, "Write only if the stored resource still has this version."),
    **_anything,
}
METADATA = object_of(_fields)
"""Decoder of what all kinds have in common; names, and annotations that mean something, are checked by the kinds."""


def metadata_schema(kind: Kind) -> Schema:
    """The schema of the metadata of documents of the kind, with the annotations that mean something there."""
    if not kind.annotations:
        return METADATA.schema
    known = object_of(kind.annotations).schema["properties"]
    given = Decoder(annotations.read, {**annotations.schema, "properties": known})
    doc = "Notes that nothing selects by; some of them mean something here."
    return object_of({**_fields, "annotations": Field(given, doc)}).schema


condition = object_of(
    {
        "type": Field(text, "What the condition is about.", is_required=True),
        "status": Field(enum("True", "False", "Unknown"), "Whether it holds.", is_required=True),
        "reason": Field(optional_text, "Why, as one word."),
        "message": Field(optional_text, "Why, for people."),
        "observedGeneration": Field(integer(0), "The generation of the object that this was said of."),
        "lastTransitionTime": Field(time, "When `status` changed last."),
    }
)
"""One of `status.conditions`. Source: Kubernetes API conventions, "typical status properties"."""


def read_metadata(node: Node, kind: Kind, problems: Problems) -> tuple[Body, str | None]:
    """What of the metadata is kept, and the resource version the document was exported with."""
    path = "metadata"
    read = METADATA(node, path, problems)
    metadata: Body = read if isinstance(read, dict) else {}
    version = metadata.pop("resourceVersion", None)
    for key in _anything:
        metadata.pop(key, None)
    _check_name(metadata, node, kind, problems)
    _check_annotations(node, kind, problems)
    if "namespace" in metadata and not kind.is_namespaced:
        message = f"namespace should not be specified for a non-namespaced resource: {kind.name} has none"
        at = node.get("namespace") if isinstance(node, Mapping) else None
        problems.add("TT1117", at or node, join(path, "namespace"), message, remedy="remove it")
    return metadata, version if isinstance(version, str) else None


def _check_annotations(node: Node, kind: Kind, problems: Problems) -> None:
    """Judge the annotations that mean something. One of ours that is not known is refused: nothing would come of it."""
    path = "metadata.annotations"
    given = node.get("annotations") if isinstance(node, Mapping) else None
    for word, (key, value) in given.entries.items() if isinstance(given, Mapping) else ():
        field = kind.annotations.get(word)
        if field is not None and not (isinstance(value, Scalar) and value.value is None):
            field.decode(value, join(path, word), problems)
        elif field is None and word.startswith(OURS):
            hint = "" if problems.is_full else suggest(word, kind.annotations)
            words = ", ".join(known for known in kind.annotations if known.startswith(OURS))
            expected = f"one of {words}" if words else f"none: a {kind.name} has no annotations of tortie's"
            message = f'unknown annotation "{shorten(word)}"'
            problems.add("TT1114", key, join(path, word), message, expected=expected, remedy=hint or "remove it")


def _check_name(metadata: Body, node: Node, kind: Kind, problems: Problems) -> None:
    path = "metadata.name"
    given = metadata.get("name")
    if not isinstance(given, str):
        if isinstance(node, Mapping) and not problems.concern(path) and not kind.is_name_computed:
            require(node, path, problems)
        return
    at = node.get("name") if isinstance(node, Mapping) else None
    where = at or node
    found = f'"{shorten(given)}"'
    if len(given) > 253:
        message = f"name is too long by {len(given) - 253} bytes"
        problems.add("TT1112", where, path, message, found=found, expected="at most 253 characters")
    elif re.match(SUBDOMAIN, given) is None:
        message = "name must consist of lower case alphanumeric characters, '-' or '.'"
        problems.add("TT1112", where, path, message, found=found, expected="for example web-1")
    elif reason := kind.check_name(given):
        problems.add("TT1112", where, path, reason, found=found)
