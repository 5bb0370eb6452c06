"""Delete: all that is asked for or nothing, with what goes with it; never a tier from under its policies."""

from collections.abc import Sequence
from typing import NamedTuple

from tortie.apps.answers import Change, WriteAnswer
from tortie.apps.decoding import invalid, key_of
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import Verb, WriteOptions
from tortie.apps.verbs.cascading import dependants
from tortie.apps.verbs.stored import TIER, is_tiered, stored, stored_body, tier_of
from tortie.apps.verbs.writing import change_of, not_found, out_of_date, refusals, why_unwritable, write_answer
from tortie.model.names import BUILT_IN_TIERS
from tortie.resources.kind import Kind, Resource
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Delete, Entry, Key, Store


class Wanted(NamedTuple):
    """A resource to delete; `version`: the only one that may go."""

    key: Key
    version: str | None = None


def wanted_by_name(kind: Kind, namespace: str, names: Sequence[str]) -> list[Wanted]:
    """The resources of these names. Raises: Failure FORBIDDEN for one that people cannot write."""
    for name in names:
        if reason := why_unwritable(kind, name):
            text = f"operation delete is not supported on {kind.name}({name}): {reason}; it can be read with get"
            raise Failure(Code.FORBIDDEN, text)
    return [Wanted(Key(kind.name, namespace, name)) for name in dict.fromkeys(names)]


def wanted_by_document(resources: Sequence[Resource]) -> list[Wanted]:
    """The resources that these documents name. Raises: Failure INVALID."""
    problems = [problem for one in resources for problem in refusals(one, Verb.DELETE)]
    if problems:
        raise invalid(problems)
    return [Wanted(key_of(one), one.resource_version) for one in resources]


async def delete(store: Store, wanted: Sequence[Wanted], options: WriteOptions) -> WriteAnswer:
    """Remove them, and what goes with them. Raises: Failure NOT_FOUND naming every one that is not there, CONFLICT;
    StoreError."""
    writes: dict[Key, Delete] = {}
    changes: list[Change] = []
    gone: list[Entry] = []
    missing: list[Key] = []
    for key, version in wanted:
        old = await stored(store, key)
        if old is None:
            missing.append(key)
            changes.append(change_of(key, "absent", None, None, options))
            continue
        if version is not None and version != str(old.revision):
            raise out_of_date(key, version, old.revision)
        writes[key] = Delete(key, old.revision if version is not None else None)
        changes.append(change_of(key, "deleted", old, None, options))
        gone.append(old)
    if missing and not options.skip:
        raise _not_there(missing)
    for one in [one for old in gone for one in await dependants(store, old)]:
        if one.key not in writes:
            writes[one.key] = Delete(one.key)
            changes.append(change_of(one.key, "deleted", one, None, options))
    await _check_tiers(store, {*writes})
    is_written = bool(writes) and not options.dry_run
    revision = await store.commit([*writes.values()]) if is_written else (await store.list(TIER))[1]
    return write_answer(revision, changes, is_dry_run=options.dry_run)


def _not_there(missing: list[Key]) -> Failure:
    """Not found; or, where nobody could ever make one of that name, why."""
    for key in missing:
        if reason := KINDS[key.kind].check_name(key.name):
            return Failure(Code.NOT_FOUND, f"there is no {key} to delete: {reason}; nothing was changed")
    return not_found(missing, "correct the name, or use --skip-not-exists")


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
    for kind in filter(is_tiered, KINDS.values()):
        for entry in (await store.list(kind.name))[0]:
            tier = tier_of(stored_body(entry.value))
            if tier in tiers and entry.key not in going:
                text = f"cannot delete tier {tier!r}: {entry.key} is in it; delete or move its policies first"
                raise Failure(Code.FAILED, text)
