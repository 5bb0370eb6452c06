"""A document of every kind with as many of its fields as can be filled from their schemas: for tests that damage them.

Nothing here knows a kind: whoever adds one has it damaged too.
"""

import json
import re
from collections.abc import Iterator, Mapping

from tortie.resources.codec import decode_text
from tortie.resources.fields import Json, Schema
from tortie.resources.kind import Kind
from tortie.resources.kinds import KINDS

TEXTS = [
    *("default", "web", "10.0.0.0/8", "10.0.0.1", "10.0.0.0/24", "fd00::/64", "has(a)", "role == 'web'", "90s", "eth0"),
    *("TCP", "80", "80:90", "Auto", "Enabled", "2026-01-02T03:04:05Z", "1.2", "64512", "64512:100", "tcp:22", "http"),
    *("/path", "a.b/c", "0x1", "00:00:5e:00:53:01", "node.web", "kns.default", "^eth.*", "k8s", "x"),
]
MOST_CANDIDATES = 40


def seeds() -> dict[str, str]:
    """JSON text by kind: the document with the fewest problems that was found, none for most kinds."""
    return {name: json.dumps(_best(KINDS[name])[1]) for name in KINDS if not KINDS[name].read_only}


def _best(kind: Kind) -> tuple[int, dict[str, Json]]:
    return min((_filled(kind, name) for name in ("web", "default")), key=lambda found: found[0])


def _filled(kind: Kind, name: str) -> tuple[int, dict[str, Json]]:
    """Field after field gets the value that leaves the fewest problems; it is left out where it only makes some."""
    metadata: dict[str, Json] = {"name": name, "labels": {"role": "web"}, "annotations": {"note": "text"}}
    if kind.is_name_computed:
        del metadata["name"]
    if kind.is_namespaced:
        metadata["namespace"] = "default"
    spec: dict[str, Json] = {}
    document: dict[str, Json] = {
        "apiVersion": kind.api_version,
        "kind": kind.word,
        "metadata": metadata,
        "spec": spec,
    }
    left = _problems(document)
    for field, read in kind.fields.items():
        tries: list[tuple[int, Json]] = []
        for value in _some(read.decode.schema):
            spec[field] = value
            tries.append((_problems(document), value))
            if tries[-1][0] < left or tries[-1][0] == 0:
                break
        spec.pop(field, None)
        count, value = min(tries, key=lambda found: found[0], default=(left + 1, ""))
        if count <= left:
            left, spec[field] = count, value
    return left, document


def _problems(document: Mapping[str, Json]) -> int:
    return len(decode_text(json.dumps(document), "seed.json")[1])


def _some(schema: Schema) -> list[Json]:
    return [value for _, value in zip(range(MOST_CANDIDATES), _candidates(schema), strict=False)]


def _candidates(schema: Schema) -> Iterator[Json]:
    """Values that a schema lets through, simple ones first."""
    match schema:
        case {"enum": [*values]}:
            yield from values
        case {"x-kubernetes-int-or-string": True}:
            yield from (80, "80:90", *TEXTS)
        case {"type": "boolean"}:
            yield from (True, False)
        case {"type": "integer" | "number"}:
            low = schema.get("minimum", 1)
            yield from (low if isinstance(low, int) else 1, 4, 64)
        case {"type": "string"}:
            form, longest = str(schema.get("pattern", "")), schema.get("maxLength", 1_000)
            yield from (text for text in TEXTS if _matches(form, text) and len(text) <= int(str(longest)))
        case {"type": "array", "items": items}:
            yield from ([value] for value in _some(dict(items)))  # type: ignore[call-overload]
            yield []
        case {"type": "object", "properties": properties} if isinstance(properties, Mapping):
            required = schema.get("required", [])
            names = [name for name in properties if isinstance(required, list) and name in required]
            firsts = {name: next(_candidates(properties[name]), "x") for name in properties}
            yield {name: firsts[name] for name in names}
            yield firsts
            for name, inner in properties.items():
                for value in _some(inner)[:4]:
                    yield {**{each: firsts[each] for each in names}, name: value}
        case {"additionalProperties": inner} if isinstance(inner, Mapping):
            yield from ({"web": value} for value in _some(inner))
        case _:
            yield from ("x", 1, {}, [])


def _matches(form: str, text: str) -> bool:
    try:
        return re.search(form, text) is not None
    except re.error:
        return True  # in another dialect than Python's
