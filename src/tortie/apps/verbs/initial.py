"""What every datastore holds: the first write, or an agent's start, puts it there (reference resources.md section 4).

The built-in tiers, and ClusterInformation `default`, which gives the datastore an id and says that it may be used.
"""

import time
import uuid

from tortie.apps.moments import utc
from tortie.apps.verbs.stored import TIER, part, stored, stored_body
from tortie.model.names import BUILT_IN_TIERS
from tortie.resources.codec import encode
from tortie.resources.kind import Body, Resource
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Conflict, Key, Put, Store

CLUSTER = "ClusterInformation"


async def missing_documents(store: Store) -> dict[Key, Put]:
    """Writes that make a datastore complete; none where it is."""
    entries, _ = await store.list(TIER)
    present = {entry.key.name for entry in entries}
    found: dict[Key, Put] = {}
    for name, (order, action) in BUILT_IN_TIERS.items():
        if name not in present:
            key = Key(TIER, "", name)
            found[key] = Put(key, _document(key, {"order": order, "defaultAction": action}, {}), 0)
    if CLUSTER in KINDS and (put := await _cluster(store)):
        found[put.key] = put
    return found


async def _cluster(store: Store) -> Put | None:
    """The cluster's information with an id and a readiness, where it lacks one of them."""
    key = Key(CLUSTER, "", "default")
    entry = await stored(store, key)
    body = {} if entry is None else stored_body(entry.value)
    spec = part(body, "spec")
    if spec.get("clusterGUID") and spec.get("datastoreReady") is not None:
        return None
    guid = spec.get("clusterGUID") or uuid.uuid4().hex
    ready = spec.get("datastoreReady")
    whole: Body = {**spec, "clusterGUID": guid, "datastoreReady": True if ready is None else ready}
    return Put(key, _document(key, whole, part(body, "metadata")), 0 if entry is None else entry.revision)


def new_identity() -> Body:
    """What a document gets when it is created."""
    return {"uid": str(uuid.uuid4()), "creationTimestamp": utc(time.time())}


def _document(key: Key, spec: Body, metadata: Body) -> bytes:
    kind = KINDS[key.kind]
    named: Body = {**new_identity(), **metadata, "name": key.name}
    body: Body = {"apiVersion": kind.api_version, "kind": kind.word, "metadata": named, "spec": spec}
    return encode(Resource(kind=key.kind, namespace="", name=key.name, body=body))


async def initialise(store: Store) -> None:
    """Create what every datastore holds. A conflict means that somebody else just did."""
    missing = await missing_documents(store)
    if missing:
        try:
            await store.commit(list(missing.values()))
        except Conflict:
            return
