"""Apply, create and replace: one transaction for all documents, or nothing.

    documents ── decoded ──▶ plan: what is stored beside what is given ──▶ commit, with what was read as precondition
                               ▲                                             │
                               └────────── somebody was faster ◀─────────────┘

Two writers never undo each other; who gave no resourceVersion is judged again (up to `ATTEMPTS`), who gave one gets the
conflict.
"""

from collections.abc import Sequence

from tortie.apps.answers import Change, WriteAnswer
from tortie.apps.decoding import invalid, key_of, problem_at
from tortie.apps.failure import Code, Failure
from tortie.apps.linting.warnings import warnings
from tortie.apps.requests import Verb, WriteOptions
from tortie.apps.verbs.fitting import misfits
from tortie.apps.verbs.initial import missing_documents, new_identity
from tortie.apps.verbs.stored import TIER, is_tiered, part, shown, stored, stored_body, tier_of
from tortie.resources.codec import encode
from tortie.resources.kind import Body, Kind, Resource
from tortie.resources.kinds import KINDS
from tortie.resources.problems import Problem
from tortie.store.protocol import Conflict, Entry, Key, Put, Store, Write

ATTEMPTS = 5
AUTHORED = ("name", "namespace", "labels", "annotations")
"""Metadata that comes from the author; the rest is the server's."""
RESERVED = {
    "NetworkPolicy": ("knp.default.", "kubernetes network policies must be managed through the kubernetes API"),
}
"""How names begin that are not for people, and why (reference cli.md section 6)."""


class _Plan:
    """What one transaction would write, judged against what was read. `is_pinned`: the author said what he expects.

    A key has one write: a built-in tier that the author gives himself takes the place of the one that would be added.
    """

    def __init__(self, verb: Verb, options: WriteOptions) -> None:
        self.verb, self.options = verb, options
        self.writes: dict[Key, Write] = {}
        self.guards: dict[Key, Put] = {}
        self.changes: list[Change] = []
        self.problems: list[Problem] = []
        self.existing: list[Key] = []
        self.missing: list[Key] = []
        self.is_pinned = False

    def judged(self) -> "_Plan":
        """The plan, where nothing is wrong with any document. Raises: Failure."""
        if self.problems:
            raise invalid(self.problems)
        if self.existing:
            text = "resource already exists: " + ", ".join(map(str, self.existing))
            raise Failure(
                Code.CONFLICT, f"{text}; nothing was changed: use apply to change it, or --skip-exists to leave it"
            )
        if self.missing:
            raise not_found(self.missing, "use apply or create to make it")
        if self.writes:
            self.writes.update(self.guards)
        return self


async def write(store: Store, verb: Verb, resources: Sequence[Resource], options: WriteOptions) -> WriteAnswer:
    """What became of every resource: created, configured or unchanged.

    Raises: Failure INVALID, CONFLICT or NOT_FOUND; StoreError.
    """
    told = [finding.warning for finding in await warnings(store, resources)]
    plan, revision = await _committed(store, verb, resources, options)
    return write_answer(revision, plan.changes, is_dry_run=options.dry_run, warnings=told)


def write_answer(
    revision: int, changes: list[Change], *, is_dry_run: bool, warnings: list[str] | None = None
) -> WriteAnswer:
    """The answer before anybody was asked what he made of it."""
    return {
        "revision": revision,
        "is_dry_run": is_dry_run,
        "changes": changes,
        "warnings": warnings or [],
        "enforced": [],
        "forgotten": 0,
        "kept_because": None,
    }


async def _committed(
    store: Store, verb: Verb, resources: Sequence[Resource], options: WriteOptions
) -> tuple[_Plan, int]:
    for attempt in range(ATTEMPTS):
        plan = await _plan(store, verb, resources, options)
        if options.dry_run or not plan.writes:
            _, revision = await store.list(TIER)
            return plan, revision
        try:
            return plan, await store.commit([*plan.writes.values()])
        except Conflict:
            if plan.is_pinned or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _plan(store: Store, verb: Verb, resources: Sequence[Resource], options: WriteOptions) -> _Plan:
    plan = _Plan(verb, options)
    initial = await missing_documents(store) if resources else {}
    plan.writes.update(initial)
    tiers = {key.name for key in (*initial, *map(key_of, resources)) if key.kind == TIER}
    for resource in resources:
        plan.problems += refusals(resource, verb)
        old = await stored(store, key_of(resource))
        if is_tiered(KINDS[resource.kind]):
            await _check_tier(store, plan, resource, old, tiers)
        _weigh(plan, resource, old)
    plan.problems += await misfits(store, resources)
    return plan.judged()


def refusals(resource: Resource, verb: Verb) -> list[Problem]:
    """Why this verb cannot be done to this document, whatever is stored."""
    kind = KINDS[resource.kind]
    if reason := why_unwritable(kind, resource.name):
        message = f"operation {verb.value} is not supported on {resource}: {reason}"
        other = "; tortie test and trace -f take it, to try policy" if kind.is_open else ""
        return [problem_at(resource, "TT1907", "metadata.name", message, f"remove the document{other}")]
    if verb is Verb.CREATE and resource.resource_version is not None:
        message = f"found {resource.resource_version!r}: the field must not be set for a Create request"
        return [problem_at(resource, "TT1906", "metadata.resourceVersion", message, "remove it")]
    return []


def why_unwritable(kind: Kind, name: str) -> str:
    """Why people cannot write a resource; empty: they can."""
    reserved, reason = RESERVED.get(kind.name, ("", ""))
    return kind.read_only or (reason if reserved and name.startswith(reserved) else "")


async def _check_tier(store: Store, plan: _Plan, resource: Resource, old: Entry | None, tiers: set[str]) -> None:
    """Note a policy that comes into a tier that does not exist; `tiers`: those that this transaction brings."""
    tier = tier_of(resource.body)
    if tier in tiers:
        return
    guard = await stored(store, Key(TIER, "", tier))
    if guard is not None:
        # An unchanged write that must find the tier as it was read: nobody deletes it in between.
        plan.guards[guard.key] = Put(guard.key, guard.value, guard.revision)
    elif old is None or tier_of(stored_body(old.value)) != tier:
        message, remedy = f"tier {tier!r} does not exist", "create it first or in the same apply"
        plan.problems.append(problem_at(resource, "TT1903", "spec.tier", message, remedy))


def _weigh(plan: _Plan, resource: Resource, old: Entry | None) -> None:
    """Add the resource to the plan. A resourceVersion counts for an update only (reference cli.md section 6)."""
    key = key_of(resource)
    if old is not None and plan.verb is Verb.CREATE and not plan.options.skip:
        plan.existing.append(key)
        return
    if old is None and plan.verb is Verb.REPLACE:
        plan.missing.append(key)
        return
    if old is not None and plan.verb is not Verb.CREATE and resource.resource_version is not None:
        plan.is_pinned = True
        if resource.resource_version != str(old.revision):
            raise out_of_date(key, resource.resource_version, old.revision)
    new = _merged(resource, old)
    # What exists and is to be left alone counts as handled.
    is_kept = old is not None and (old.value == new or plan.verb is Verb.CREATE)
    if not is_kept:
        plan.writes[key] = Put(key, new, old.revision if old is not None else 0)
    action = "created" if old is None else "unchanged" if is_kept else "configured"
    plan.changes.append(change_of(key, action, old, new if not is_kept else None, plan.options))


def change_of(key: Key, action: str, old: Entry | None, new: bytes | None, options: WriteOptions) -> Change:
    """What became of one document; `new` None: it is what it was, or is gone."""
    change: Change = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "action": action}
    if options.documents:
        before = None if old is None else shown(stored_body(old.value), old.revision)
        change["before"] = before
        change["after"] = {**stored_body(new)} if new is not None else None if action == "deleted" else before
    return change


def out_of_date(key: Key, given: str, latest: int) -> Failure:
    """The conflict of a document that was read before somebody else changed it."""
    text = f"update conflict: {key}: resourceVersion {given!r} is out of date (latest: {latest})"
    return Failure(Code.CONFLICT, f"{text}; get it again and repeat the change")


def not_found(keys: Sequence[Key], remedy: str) -> Failure:
    """The failure that names what is not there."""
    text = "resource does not exist: " + ", ".join(map(str, keys))
    return Failure(Code.NOT_FOUND, f"{text}; nothing was changed: {remedy}")


def _merged(resource: Resource, old: Entry | None) -> bytes:
    """The document to store: the author's part of it, under the identity and status that it has or now gets."""
    before = {} if old is None else stored_body(old.value)
    known = part(before, "metadata")
    given = part(resource.body, "metadata")
    identity: Body = {name: known[name] for name in ("uid", "creationTimestamp") if name in known}
    metadata = {name: given[name] for name in AUTHORED if given.get(name)} | (identity or new_identity())
    body: Body = {**resource.body, "metadata": metadata}
    if "status" not in body and (status := part(before, "status")):
        body["status"] = status
    return encode(resource._replace(body=body))
