"""The schema of whole documents in the structural form of Kubernetes: what editors, API servers and people are told.

Made of what the decoders of a kind carry; nothing about a field is said here. What comes of it: `jsonschema.py` for
editors, `crd.py` for API servers, `apps.ctl.explaining` for people.
"""

from tortie.resources.fields import Schema, object_schema
from tortie.resources.kind import Kind
from tortie.resources.metadata import SCHEMA as METADATA


def document_schema(kind: Kind) -> Schema:
    """The schema of a document of the kind."""
    spec = object_schema(kind.fields)
    properties: dict[str, Schema] = {
        "apiVersion": {"type": "string", "description": "The API group and version of the kind."},
        "kind": {"type": "string", "description": "The kind."},
        "metadata": {"description": "Name and labels.", **METADATA},
        "spec": {"description": "What is wanted.", **spec},
    }
    if kind.status is not None:
        properties["status"] = {"description": "What controllers say of it.", **object_schema(kind.status)}
    required = ["apiVersion", "kind", "metadata", *(["spec"] if "required" in spec else [])]
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": required}
    if kind.doc:
        schema["description"] = kind.doc
    if kind.laws:
        schema["x-kubernetes-validations"] = [{"rule": law.rule, "message": law.message} for law in kind.laws]
    return schema
