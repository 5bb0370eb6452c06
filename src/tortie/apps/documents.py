"""What documents say of themselves, whoever wrote them: nothing of it need be there."""

from typing import Any

from tortie.apps.answers import Document


def metadata_of(document: Document) -> dict[str, Any]:
    """Its metadata; nothing where that is no mapping."""
    found = document.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(document: Document) -> str:
    """Its name, without the namespace."""
    return str(metadata_of(document).get("name", ""))


def called(document: Document) -> str:
    """`name`, or `namespace/name`."""
    namespace = metadata_of(document).get("namespace")
    return f"{namespace}/{name_of(document)}" if namespace else name_of(document)
