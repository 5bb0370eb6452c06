"""The schema of whole documents in the structural form of Kubernetes: what editors, API servers and people are told.

Made of what the decoders of a kind carry; nothing about a field is said here. What comes of it: `jsonschema.py` for
editors, `crd.py` for API servers, `apps.ctl.fields` for people.
"""

from tortie.resources.fields import Decoder, Field, Schema, object_of, object_schema
from tortie.resources.kind import Kind
from tortie.resources.metadata import METADATA, metadata_schema
from tortie.resources.values import text


def document_schema(kind: Kind) -> Schema:
    """The schema of a document of the kind."""
    metadata = Decoder(METADATA.read, metadata_schema(kind))
    fields: dict[str, Field] = {
        "apiVersion": Field(text, "The API group and version of the kind.", is_required=True),
        "kind": Field(text, "The kind.", is_required=True),
        "metadata": Field(metadata, "Name and labels.", is_required=not kind.is_name_computed),
    }
    if kind.fields:
        spec = object_of(kind.fields, is_open=kind.is_open)
        is_needed = any(each.is_required for each in kind.fields.values())
        fields["spec"] = Field(spec, "What is wanted.", is_required=is_needed)
    fields.update(kind.top)
    if kind.status is not None:
        fields["status"] = Field(object_of(kind.status, is_open=kind.is_open), "What controllers say of it.")
    schema = object_schema(fields, kind.laws, is_open=kind.is_open)
    return {"description": kind.doc, **schema} if kind.doc else schema
