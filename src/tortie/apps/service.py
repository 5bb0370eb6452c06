"""What can be done with documents in a datastore: apply, delete, get. No socket, no terminal.

The agent's API and the command line on a datastore file both call this, so a document means the same in both. One
apply is one transaction: all documents or none. What was read is a precondition of what is written, so two writers
never undo each other; who gave no resourceVersion is judged again (up to `ATTEMPTS`), who gave one gets the conflict.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

from tortie.apps.answers import Change, Document, GetAnswer, SourceText, WriteAnswer
from tortie.apps.decoding import decode_files, invalid, key_of, part, problem_at, stored_body
from tortie.apps.failure import Code, Failure
from tortie.apps.fitting import misfits
from tortie.apps.lint import lint
from tortie.resources.codec import decode_stored, decode_text, encode
from tortie.resources.kind import API_VERSION, Body, Kind, Resource
from tortie.resources.kinds import KINDS
from tortie.resources.problems import InvalidDocument, Problem
from tortie.store.protocol import Conflict, Delete, Entry, Key, NotFound, Put, Store, Write

ATTEMPTS = 5
TIER = "Tier"
TIERED = tuple(kind.name for kind in KINDS.values() if "tier" in kind.fields and kind.api_version == API_VERSION)
"""The kinds whose documents are in a tier."""
BUILT_IN_TIERS = {"default": (1_000_000, "Deny"), "kube-admin": (1_000, "Pass"), "kube-baseline": (10_000_000, "Pass")}
"""Order and default action. Source: reference resources.md sections 4 and 8.5."""
AUTHORED = ("name", "namespace", "labels", "annotations")
"""Metadata that comes from the author; the rest is the server's."""


@dataclass(slots=True)
class _Plan:
    """What one apply would write, judged against what was read. `is_pinned`: the author said what he expects."""

    writes: list[Write] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    is_pinned: bool = False


async def apply(store: Store, files: Sequence[SourceText], *, dry_run: bool = False) -> WriteAnswer:
    """What became of every document of these files: created, configured or unchanged.

    Raises: Failure INVALID or CONFLICT; StoreError.
    """
    resources = decode_files(files)
    warnings = await lint(store, resources)
    plan, revision = await _committed(store, resources, dry_run=dry_run)
    return {
        "revision": revision,
        "is_dry_run": dry_run,
        "changes": plan.changes,
        "warnings": warnings,
        "enforced": [],
        "forgotten": 0,
        "kept_because": None,
    }


async def _committed(store: Store, resources: Sequence[Resource], *, dry_run: bool) -> tuple[_Plan, int]:
    for attempt in range(ATTEMPTS):
        plan = await _plan(store, resources)
        if dry_run or not plan.writes:
            _, revision = await store.list(TIER)
            return plan, revision
        try:
            return plan, await store.commit(plan.writes)
        except Conflict:
            if plan.is_pinned or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _plan(store: Store, resources: Sequence[Resource]) -> _Plan:
    plan = _Plan()
    missing = await _missing_tiers(store)
    plan.writes.extend(missing.values())
    tiers = {resource.name for resource in resources if resource.kind == TIER} | missing.keys()
    problems: list[Problem] = []
    guards: dict[Key, Put] = {}
    for resource in resources:
        old = await _stored(store, key_of(resource))
        new = _merged(resource, old)
        if resource.kind in TIERED and (tier := _tier_of(resource.body)) not in tiers:
            guard = await _stored(store, Key(TIER, "", tier))
            if guard is not None:
                # An unchanged write that must find the tier as it was read: nobody deletes it in between.
                guards[guard.key] = Put(guard.key, guard.value, guard.revision)
            elif old is None or _tier_of(stored_body(old.value)) != tier:
                message, remedy = f"tier {tier!r} does not exist", "create it first or in the same apply"
                problems.append(problem_at(resource, "TT1903", "spec.tier", message, remedy))
        _weigh(plan, resource, old, new)
    problems += await misfits(store, resources)
    if problems:
        raise invalid(problems)
    if plan.writes:
        plan.writes.extend(guards.values())
    return plan


def _weigh(plan: _Plan, resource: Resource, old: Entry | None, new: bytes) -> None:
    """Add the resource to the plan. A resourceVersion counts for an update only (reference cli.md section 6)."""
    key = key_of(resource)
    if old is not None and resource.resource_version is not None:
        plan.is_pinned = True
        if resource.resource_version != str(old.revision):
            raise out_of_date(key, resource.resource_version, old.revision)
    action = "created" if old is None else "unchanged" if old.value == new else "configured"
    if action != "unchanged":
        # A built-in tier that the author gives himself takes the place of the one that would be added.
        plan.writes[:] = [write for write in plan.writes if write.key != key]
        plan.writes.append(Put(key, new, old.revision if old is not None else 0))
    plan.changes.append(_change(key, action))


def out_of_date(key: Key, given: str, latest: int) -> Failure:
    """The conflict of a document that was read before somebody else changed it."""
    text = f"update conflict: {key}: resourceVersion {given!r} is out of date (latest: {latest})"
    return Failure(Code.CONFLICT, f"{text}; get it again and repeat the change")


def _merged(resource: Resource, old: Entry | None) -> bytes:
    """The document to store: the author's part of it, under the identity that it has or now gets."""
    metadata = cast(Body, resource.body["metadata"])
    kept = {name: metadata[name] for name in AUTHORED if metadata.get(name)}
    stored = {} if old is None else part(stored_body(old.value), "metadata")
    identity: Body = {name: stored[name] for name in ("uid", "creationTimestamp") if name in stored}
    if not identity:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        identity = {"uid": str(uuid.uuid4()), "creationTimestamp": now}
    kept.update(identity)
    return encode(replace(resource, body={**resource.body, "metadata": kept}))


async def _missing_tiers(store: Store) -> dict[str, Put]:
    """Writes that create the built-in tiers where they are not yet: the first write initialises a datastore."""
    entries, _ = await store.list(TIER)
    present = {entry.key.name for entry in entries}
    return {
        name: Put(Key(TIER, "", name), _merged(_tier(name, order, action), None), 0)
        for name, (order, action) in BUILT_IN_TIERS.items()
        if name not in present
    }


def _tier(name: str, order: int, action: str) -> Resource:
    text = json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": TIER,
            "metadata": {"name": name},
            "spec": {"order": order, "defaultAction": action},
        }
    )
    (resource,), _ = decode_text(text, "built-in")
    return resource


async def initialise(store: Store) -> None:
    """Create what every datastore holds. A conflict means that somebody else just did."""
    missing = await _missing_tiers(store)
    if missing:
        try:
            await store.commit(list(missing.values()))
        except Conflict:
            return


async def delete_named(store: Store, kind: Kind, names: Sequence[str], *, skip_missing: bool = False) -> WriteAnswer:
    """Remove these resources, all or none. Raises: Failure NOT_FOUND naming every one that is not there; StoreError."""
    return await _delete(store, [(Key(kind.name, "", name), None) for name in dict.fromkeys(names)], skip_missing)


async def delete_files(store: Store, files: Sequence[SourceText], *, skip_missing: bool = False) -> WriteAnswer:
    """Remove the resources that these files name; a resourceVersion in one of them is a precondition."""
    resources = decode_files(files)
    return await _delete(store, [(key_of(one), one.resource_version) for one in resources], skip_missing)


async def _delete(store: Store, wanted: Sequence[tuple[Key, str | None]], skip_missing: bool) -> WriteAnswer:
    writes: list[Write] = []
    missing: list[Key] = []
    for key, version in wanted:
        old = await _stored(store, key)
        if old is None:
            missing.append(key)
            continue
        if version is not None and version != str(old.revision):
            raise out_of_date(key, version, old.revision)
        writes.append(Delete(key, old.revision if version is not None else None))
    if missing and not skip_missing:
        raise not_found(missing)
    await _check_tiers(store, {write.key for write in writes})
    revision = await store.commit(writes) if writes else (await store.list(TIER))[1]
    changes = [_change(write.key, "deleted") for write in writes]
    return {
        "revision": revision,
        "is_dry_run": False,
        "changes": changes,
        "warnings": [],
        "enforced": [],
        "forgotten": 0,
        "kept_because": None,
    }


def not_found(keys: Iterable[Key]) -> Failure:
    """The failure that names what is not there."""
    return Failure(Code.NOT_FOUND, "resource does not exist: " + ", ".join(str(key) for key in keys))


async def _check_tiers(store: Store, going: set[Key]) -> None:
    """Refuse to delete a built-in tier, or one that still has policies after this delete.

    Because: a policy that is created at the same moment is not seen here; it then has a missing tier, which is a
    defined state (after all tiers, Deny) and shows in the status.
    """
    tiers = {key.name for key in going if key.kind == TIER}
    if not tiers:
        return
    if built_in := sorted(tiers & BUILT_IN_TIERS.keys()):
        raise Failure(Code.FAILED, f"cannot delete tier {built_in[0]!r}: it is built in; delete its policies instead")
    for kind in TIERED:
        policies, _ = await store.list(kind)
        for entry in policies:
            tier = _tier_of(stored_body(entry.value))
            if tier in tiers and entry.key not in going:
                text = f"cannot delete tier {tier!r}: {entry.key} is in it; delete or move its policies first"
                raise Failure(Code.FAILED, text)


async def get(store: Store, kind: Kind, names: Sequence[str], *, wide: bool = False) -> GetAnswer:
    """The named resources of a kind, all of them without names; with their resourceVersion.

    A damaged document hides none of the others; it is named, with what is wrong.
    """
    entries: Sequence[Entry]
    missing: list[str] = []
    if names:
        found = {name: await _stored(store, Key(kind.name, "", name)) for name in names}
        missing = [name for name, entry in found.items() if entry is None]
        entries = [entry for entry in found.values() if entry is not None]
        revision = max((entry.revision for entry in entries), default=0)
    else:
        entries, revision = await store.list(kind.name)
    resources, damaged = _decoded(entries)
    columns = kind.wide if wide else kind.columns
    rows = [[column.cell(resource) for column in columns] for resource, _ in resources]
    return {
        "kind": kind.name,
        "revision": revision,
        "items": [_shown(resource, revision) for resource, revision in resources],
        "table": {"heading": [column.heading for column in columns], "rows": rows},
        "missing": missing,
        "damaged": damaged,
    }


def _decoded(entries: Iterable[Entry]) -> tuple[list[tuple[Resource, int]], dict[str, str]]:
    """The resources with their revisions, and by name what is wrong with the others."""
    found: list[tuple[Resource, int]] = []
    damaged: dict[str, str] = {}
    for entry in entries:
        try:
            found.append((decode_stored(entry.value), entry.revision))
        except InvalidDocument as error:
            damaged[entry.key.name] = str(error)
    return found, damaged


def _shown(resource: Resource, revision: int) -> Document:
    """A stored document as users see it: with the revision that wrote it."""
    metadata = cast(Body, resource.body["metadata"])
    return {**resource.body, "metadata": {**metadata, "resourceVersion": str(revision)}}


async def _stored(store: Store, key: Key) -> Entry | None:
    try:
        return await store.get(key)
    except NotFound:
        return None


def _tier_of(body: Body) -> str:
    return str(part(body, "spec").get("tier") or "default")


def _change(key: Key, action: str) -> Change:
    return {"kind": key.kind, "namespace": key.namespace, "name": key.name, "action": action}
