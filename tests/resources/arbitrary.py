"""Documents of every kind that lean towards what is accepted, and towards the edges of it.

The schema says only where fields are and what their lists and mappings hold; values come from everywhere, so that a
schema that is narrower than the decoder is found.
"""

import re
from collections.abc import Mapping
from random import Random

from tortie.resources.kind import Kind
from tortie.resources.schema import document_schema

WORDS = """
a web-1 t1.thing eth0 * cali+ default node.x Auto 0 1 4 80 "" TCP tcp UDP SCTP ICMP UDPLite ICMPv6 255 1:65535 http
100:200 10.0.0.0/8 10.0.0.1/8 10.0.0.1 fd00::/8 fd00::1 ::ffff:10.0.0.1 ::ffff:10.0.0.0/104 0.0.0.0/0 FD00::A:B/128
all() has(x) global() role=="web" 90s 1m30s 1.5h .5s 1µs 0 00 -1s 1. .* ^eth[0-9]$ [ /a /a?b GET 2026-01-02T03:04:05Z
2026-01-02t03:04:05.5+01:00 Allow Deny Log Pass Ingress Egress True False Unknown Enabled Disabled none None OFF dsr
AssumeNeededOnEveryNode EF ef Cs6 af11 Insert APPEND 1.10 65535.65535 64512 x=y 0x10 µ ü x_y.Z- Always Never CrossSubnet
"""
VALUES: list[object] = [
    *(word.strip('"') for word in WORDS.split()),
    *(None, True, False, 0, 1, -1, 4, 6, 4.0, 1.5, 80, 63, 64, 255, 256, 65535, 65536, 2**31, 2**32 - 1, 2**53, 2**63),
    *(
        [],
        {},
        [None],
        ["a"],
        ["a", "a"],
        {"a": None},
        {"a": "b"},
        {"a": 1},
        "a" * 64,
        "a" * 253,
        "a" * 254,
        " a",
        "a\n",
    ),
]


def arbitrary_document(rng: Random, kind: Kind, spec: Mapping[str, object]) -> object:
    """A document of the kind; often right, sometimes wrong in a field or two, or wrapped in lists.

    `spec`: what the least document of the kind has to say.
    """
    schema = document_schema(kind)
    body = {"apiVersion": kind.api_version, "kind": kind.word}
    body["metadata"] = {"name": rng.choice(("thing", "default", "node.x", "a.b")), **_some_metadata(rng)}
    for name in schema["properties"].keys() - body.keys():
        if rng.random() < 0.9:
            inner = schema["properties"][name]
            body[name] = _object(rng, inner, most=4) if "properties" in inner else _value(rng, inner)
    if spec and rng.random() < 0.9:
        body["spec"] = {**body.get("spec", {}), **spec}
    if kind.is_name_computed:
        del body["metadata"]["name"]
    if kind.is_namespaced:
        body["metadata"]["namespace"] = "ns"
    match rng.randrange(12):
        case 0:
            return [body]
        case 1:
            items = [{key: value for key, value in body.items() if key not in ("apiVersion", "kind")}]
            return {"apiVersion": kind.api_version, "kind": f"{kind.word}List", "items": items, "metadata": {}}
        case _:
            return body


def _some_metadata(rng: Random) -> dict[str, object]:
    pool = {
        "labels": ({"a": "b"}, {"a/b": None}, {}, {"x": ""}, None, {"a": 1}),
        "annotations": ({"A/b": "c d"}, {"a": None}, None),
        "uid": ("x", None),
        "resourceVersion": ("7", "", None),
        "ownerReferences": ([{"kind": "x"}], None, 1),
        "finalizers": (["a"], []),
        "generation": (1, 2.0, 0),
        "creationTimestamp": ("2026-01-02T03:04:05Z", None),
    }
    return {name: rng.choice(values) for name, values in pool.items() if rng.random() < 0.1}


def _value(rng: Random, schema: Mapping[str, object]) -> object:
    if rng.random() < 0.05:
        return rng.choice(VALUES)
    inner = schema.get("anyOf", [schema])[0].get("enum", schema.get("enum"))
    if inner and rng.random() < 0.9:
        word = rng.choice(inner)
        return rng.choice((word, word, word.lower(), word.upper())) if isinstance(word, str) else word
    match schema.get("type"):
        case "object" if "properties" in schema:
            return _object(rng, schema, most=2)
        case "object" if "additionalProperties" in schema:
            return {
                rng.choice(("a", "b/c")): _value(rng, schema["additionalProperties"]) for _ in range(rng.randrange(3))
            }
        case "array":
            return [_value(rng, schema["items"]) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
        case "boolean":
            return rng.random() < 0.5
        case "integer" | "number":
            numbers = [each for each in VALUES if isinstance(each, int | float) and not isinstance(each, bool)]
            low, high = schema.get("minimum", -1), schema.get("maximum", 2**63 - 1)
            return rng.choice([low, high, *(each for each in numbers if low <= each <= high)])
        case "string":
            form = re.compile(str(schema.get("pattern", ""))) if rng.random() < 0.8 else re.compile("")
            return rng.choice([each for each in VALUES if isinstance(each, str) and form.search(each)] or [""])
        case _:
            return rng.choice(VALUES)


def _object(rng: Random, schema: Mapping[str, object], most: int) -> dict[str, object]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    chosen = {*required, *rng.sample(sorted(properties), min(rng.randrange(most + 1), len(properties)))}
    return {name: _value(rng, properties[name]) for name in sorted(chosen)}
