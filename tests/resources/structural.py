"""The rules for schemas in CustomResourceDefinitions, checked without an API server.

Source: Kubernetes documentation, "Specifying a structural schema" and "Schema" of apiextensions.k8s.io/v1.
"""

import re
from collections.abc import Iterator, Mapping

from jsonschema import Draft202012Validator

from tortie.resources.jsonschema import translate

FORBIDDEN = {
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "uniqueItems",
    "writeOnly",
    "xml",
}
KNOWN = {
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}
NOT_IN_A_JUNCTOR = {"additionalProperties", "default", "description", "nullable", "type"}
TYPES = {"array", "boolean", "integer", "number", "object", "string"}
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# What Go's expressions lack: look-around, back references, atoms, flags that other dialects spell otherwise.
NOT_IN_GO = re.compile(r"\(\?(?!:)|\\[1-9zZ]|[*+?}]\+")
MOST_REPETITIONS = 1000


def faults(schema: Mapping[str, object], path: str = "") -> Iterator[str]:
    """What an API server would refuse."""
    unknown = schema.keys() - KNOWN
    if unknown:
        yield f"{path}: {'forbidden' if unknown & FORBIDDEN else 'unknown'} {sorted(unknown)}"
    yield from _type_faults(schema, path)
    yield from _value_faults(schema, path)
    for name, inner in schema.get("properties", {}).items():
        yield from faults(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from faults(schema[key], f"{path}[{key}]")
    is_int_or_string = schema.get("x-kubernetes-int-or-string", False)
    for key in ("allOf", "anyOf", "oneOf"):
        if not (key == "anyOf" and is_int_or_string and schema[key] == INT_OR_STRING):
            for each in schema.get(key, []):
                yield from _junctor_faults(each, schema, f"{path}[{key}]")


def _type_faults(schema: Mapping[str, object], path: str) -> Iterator[str]:
    is_free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if str(schema.get("type")) not in TYPES and not is_free:
        yield f"{path}: no type"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{path}: properties beside additionalProperties"
    if schema.get("additionalProperties") is False:
        yield f"{path}: additionalProperties: false"
    if (schema.get("type") == "array") != ("items" in schema):
        yield f"{path}: a list without items, or items without a list"
    if set(schema.get("required", [])) - set(schema.get("properties", {})):
        yield f"{path}: requires what it does not have"
    if schema.get("x-kubernetes-list-type") == "set" and schema["items"].get("type") in ("array", "object"):
        yield f"{path}: a set of lists or objects"


def _value_faults(schema: Mapping[str, object], path: str) -> Iterator[str]:
    if pattern := schema.get("pattern"):
        if NOT_IN_GO.search(pattern):
            yield f"{path}: a pattern that Go does not know: {pattern}"
        if any(int(count) > MOST_REPETITIONS for count in re.findall(r"(?<=[{,])([0-9]+)(?=[},])", pattern)):
            yield f"{path}: a pattern that repeats more often than Go allows"
        if not (pattern.startswith("^") and pattern.endswith("$")):
            yield f"{path}: a pattern that is not anchored: {pattern}"
    if "default" in schema and not Draft202012Validator(translate(schema)).is_valid(schema["default"]):
        yield f"{path}: its default is not valid"
    for law in schema.get("x-kubernetes-validations", []):
        if not law.get("rule") or not law.get("message") or "\n" in law["message"]:
            yield f"{path}: a law without rule or with a message of several lines"


def _junctor_faults(part: Mapping[str, object], outside: Mapping[str, object], path: str) -> Iterator[str]:
    """Junctors may only narrow what is said outside them."""
    if wrong := part.keys() & NOT_IN_A_JUNCTOR:
        yield f"{path}: {sorted(wrong)} inside"
    if "pattern" in part:
        yield from _value_faults({"pattern": part["pattern"]}, path)
    for name, inner in part.get("properties", {}).items():
        known = outside.get("properties", {}).get(name)
        if known is None:
            yield f"{path}.{name}: not outside"
        else:
            yield from _junctor_faults(inner, known, f"{path}.{name}")
    for key in ("allOf", "anyOf", "oneOf"):
        for each in part.get(key, []):
            yield from _junctor_faults(each, outside, f"{path}[{key}]")
