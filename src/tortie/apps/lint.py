"""Warnings about documents that are valid and yet hardly mean what their author thinks."""

from collections.abc import Iterable, Sequence
from typing import cast

from tortie.apps.stored import part, stored_body
from tortie.resources.codec import lower
from tortie.resources.kind import API_VERSION, Body, Resource
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Store

_OTHER = {"ingress": "egress", "egress": "ingress"}


async def lint(store: Store, resources: Sequence[Resource]) -> list[str]:
    """Warnings about these resources; the policies that are stored already count as their company."""
    settings = [warning for one in resources if one.kind == "FelixConfiguration" for warning in _settings(one)]
    return [*settings, *_staged(resources), *_unconverted(resources), *await _one_way(store, resources)]


def _staged(resources: Iterable[Resource]) -> list[str]:
    return [
        f"{one.source}:{one.line}: warning: {one} is staged, not enforced (STAGED): "
        "it is stored and shown, and no packet is judged by it"
        for one in resources
        if KINDS[one.kind].is_staged
    ]


def _unconverted(resources: Iterable[Resource]) -> list[str]:
    """Rules of other projects' policies that have no counterpart here."""
    found = []
    for one in resources:
        if KINDS[one.kind].api_version != API_VERSION:
            from tortie.model.policy import Policy  # only what is converted is lowered here

            policy = lower(one._replace(namespace=one.namespace or "default"))
            remarks = policy.remarks if isinstance(policy, Policy) else ()
            found += [f"{one.source}:{one.line}: warning: {one}: {remark} (UNCONVERTED)" for remark in remarks]
    return found


async def _one_way(store: Store, resources: Sequence[Resource]) -> list[str]:
    suspects = [(one, side) for one in resources if (side := _one_sided(one.body))]
    if not suspects:
        return []
    new = {one.name: one.body for one in resources if one.kind == "GlobalNetworkPolicy"}
    entries, _ = await store.list("GlobalNetworkPolicy")
    # Documents are stored without blanks, so that most of many policies need not be decoded to be no company.
    untracked = (entry for entry in entries if b'"doNotTrack":true' in entry.value and entry.key.name not in new)
    stored = (stored_body(entry.value) for entry in untracked)
    company = [*new.values(), *stored]
    return [_no_return_rule(one, side) for one, side in suspects if not _has_return(one.body, side, company)]


def _settings(resource: Resource) -> list[str]:
    """What of the settings will not count as it is said."""
    from tortie.resources.felix.levels import document_level, problems  # only settings need it

    level, start = document_level(resource), f"{resource.source}:{resource.line}: warning: {resource}"
    found = [f"{start}: {saying.place}: {reading.problem}" for _, saying, reading in problems(level)]
    found += [
        f"{start}: {saying.place}: there is no parameter {name!r}; it is passed over"
        for name, sayings in level.unknown.items()
        for saying in sayings
    ]
    return found


def _no_return_rule(resource: Resource, side: str) -> str:
    other = _OTHER[side]
    return (
        f"{resource.source}:{resource.line}: warning: doNotTrack policy {resource.name!r} allows {side} "
        f"but has no {other} rule (NO_RETURN_RULE): without connection tracking replies are not recognised; "
        f"add the mirrored rule to its {other}"
    )


def _one_sided(body: Body) -> str | None:
    """The side that allows something while the other has no rule at all."""
    spec = _spec(body)
    if body.get("kind") != "GlobalNetworkPolicy" or not spec.get("doNotTrack"):
        return None
    for side, other in _OTHER.items():
        if _allows(spec, side) and not spec.get(other):
            return side
    return None


def _has_return(body: Body, side: str, company: Iterable[Body]) -> bool:
    """Whether another untracked policy with the same selector allows something on the other side."""
    selector = _spec(body).get("selector")
    specs = (_spec(one) for one in company)
    return any(
        one.get("doNotTrack") and one.get("selector") == selector and _allows(one, _OTHER[side]) for one in specs
    )


def _allows(spec: Body, side: str) -> bool:
    rules = cast(list[Body], spec.get(side) or [])
    return any(rule.get("action") == "Allow" for rule in rules)


def _spec(body: Body) -> Body:
    return part(body, "spec")
