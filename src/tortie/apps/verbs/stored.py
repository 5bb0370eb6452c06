"""Documents of a datastore as the verbs read them: damaged ones stand in nobody's way."""

import json

from tortie.apps.answers import Document
from tortie.model.names import DEFAULT_TIER
from tortie.resources.kind import API_VERSION, Body, Kind
from tortie.store.protocol import Entry, Key, NotFound, Store

TIER = "Tier"


async def stored(store: Store, key: Key) -> Entry | None:
    """The newest version; None where there is none."""
    try:
        return await store.get(key)
    except NotFound:
        return None


def stored_body(value: bytes) -> Body:
    """A stored document; empty where it is damaged, so that it can still be replaced, deleted and passed over."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def part(body: Body, name: str) -> Body:
    """A mapping in a stored document, `metadata` or `spec`; empty where it is absent or damaged."""
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def shown(body: Body, revision: int) -> Document:
    """A stored document as users see it: with the revision that wrote it."""
    return {**body, "metadata": {**part(body, "metadata"), "resourceVersion": str(revision)}}


def is_tiered(kind: Kind) -> bool:
    """Whether the kind's documents are in a tier; Kubernetes' own have one of another sort."""
    return kind.api_version == API_VERSION and "tier" in kind.fields


def tier_of(body: Body) -> str:
    """The tier that a policy is in."""
    return str(part(body, "spec").get("tier") or DEFAULT_TIER)
