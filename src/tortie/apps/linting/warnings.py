"""What `apply` and `describe` tell of documents: the findings that can be had for little, through the same checks.

A check is loaded only where a document gives it something to look at, so that an ordinary `apply` loads none of them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tortie.apps.linting.bodies import is_for_workloads, is_set, one_sided
from tortie.resources.kind import API_VERSION, Resource
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Store

if TYPE_CHECKING:
    from tortie.apps.linting.finding import Finding

POLICY = "GlobalNetworkPolicy"
UNTRACKED = b'"doNotTrack":true'
"""How an untracked policy is stored: documents are, without blanks."""
CONCERNS: tuple[tuple[str, Callable[[Resource], bool]], ...] = (
    ("settings", lambda one: one.kind == "FelixConfiguration"),
    ("staged", lambda one: KINDS[one.kind].is_staged),
    ("unconverted", lambda one: KINDS[one.kind].api_version != API_VERSION),
    ("pre_dnat", lambda one: is_set(one, "preDNAT")),
    ("forward", lambda one: is_set(one, "applyOnForward") and is_for_workloads(one) is not None),
)
"""Checks by their files, and the documents that they look at."""


async def warnings(store: Store, resources: Sequence[Resource]) -> "list[Finding]":
    """Findings about these resources; the policies that are stored already count as their company."""
    found: list[Finding] = []
    for module, concerns in CONCERNS:
        if concerned := [one for one in resources if concerns(one)]:
            found += _findings(module, concerned, ())
    if any(one_sided(one) for one in resources):
        found += await _without_return(store, resources)
    return found


async def _without_return(store: Store, resources: Sequence[Resource]) -> "list[Finding]":
    """Untracked policies without a way back; what is stored is read only where the documents themselves have none."""
    untracked = [one for one in resources if is_set(one, "doNotTrack")]
    found = _findings("return_rule", untracked, ())
    return _findings("return_rule", untracked, await _stored_untracked(store, resources)) if found else []


async def _stored_untracked(store: Store, new: Sequence[Resource]) -> list[Resource]:
    """The untracked policies that are stored, without those that are about to be others."""
    from tortie.resources.codec import decode_stored
    from tortie.resources.problems import InvalidDocument

    given = {one.name for one in new if one.kind == POLICY}
    company = []
    entries, _ = await store.list(POLICY, holding=UNTRACKED)
    for entry in entries:
        if entry.key.name not in given:
            try:
                company.append(decode_stored(entry.value))
            except InvalidDocument:
                continue  # damaged, and counts as absent
    return company


def _findings(module: str, resources: Sequence[Resource], company: Sequence[Resource]) -> "list[Finding]":
    from tortie.apps.linting.checks import check_named
    from tortie.apps.linting.documents import Documents
    from tortie.apps.linting.subject import Subject

    return [*check_named(module).findings(Documents([Subject(one) for one in resources], company))]
