"""CustomResourceDefinitions (apiextensions.k8s.io/v1), for storing the kinds in an API server of Kubernetes.

Its schemas are structural. What a schema cannot say, the laws of a kind say in CEL; the agents check everything again.
Kinds of other API groups are Kubernetes' own and have none.
"""

from collections.abc import Mapping
from typing import cast

from tortie.resources.fields import Schema
from tortie.resources.kind import API_VERSION, Column, Kind
from tortie.resources.schema import document_schema

Part = dict[str, object]
_PRINTED = ("integer", "number", "boolean")
_AGE = {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def has_definition(kind: Kind) -> bool:
    """Whether the kind needs a definition: Kubernetes has those of other groups."""
    return kind.api_version == API_VERSION


def definition(kind: Kind) -> Part:
    """The CustomResourceDefinition of the kind."""
    schema = document_schema(kind)
    properties = cast(Mapping[str, Schema], schema["properties"])
    # API servers know metadata themselves, and let nobody describe it
    whole = {**schema, "properties": {**properties, "metadata": {"type": "object"}}}
    version: Part = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": whole},
        "additionalPrinterColumns": [*_columns(kind, properties), _AGE],
    }
    if kind.status is not None:
        version["subresources"] = {"status": {}}
    names = {
        "kind": kind.word,
        "listKind": f"{kind.word}List",
        "plural": kind.plural,
        "singular": kind.word.lower(),
        "shortNames": [*kind.short_names],
        "categories": ["tortie"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {key: value for key, value in names.items() if value},
            "scope": "Namespaced" if kind.is_namespaced else "Cluster",
            "versions": [version],
        },
    }


def _columns(kind: Kind, properties: Mapping[str, Schema]) -> list[Part]:
    """The columns that are one field; wide ones are for `kubectl get -o wide`."""
    listed: list[Part] = []
    narrow = {column.json_path for column in kind.columns}
    for column in kind.wide:
        if column.json_path:
            printed: Part = {"name": column.heading, "type": _type(column, properties), "jsonPath": column.json_path}
            listed.append(printed if column.json_path in narrow else {**printed, "priority": 1})
    return listed


def _type(column: Column, properties: Mapping[str, Schema]) -> str:
    found: Schema = {"properties": properties}
    for key in column.json_path.split(".")[1:]:
        found = cast(Mapping[str, Schema], found.get("properties", {})).get(key, {})
    kind = found.get("type")
    return str(kind) if kind in _PRINTED else "string"
