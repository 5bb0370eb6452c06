"""Untracked policy that lets packets through one way and not back: without connection tracking no reply is recognised.

An untracked Allow is final for the packet that it names and leaves no entry in the connection table. Its answer is
judged by untracked policy of the other direction, and if nothing there allows it, as a packet of no known connection.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from tortie.apps.linting.bodies import OTHER, allows, is_set, rules
from tortie.apps.linting.changes import Append, Change, Insert
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Fix, Suspicion
from tortie.apps.linting.scopes import may_share
from tortie.apps.linting.subject import Subject
from tortie.resources.kind import Resource
from tortie.resources.nodes import Sequence as SequenceNode
from tortie.resources.plain import Plain

_TYPES = {"ingress": "Ingress", "egress": "Egress"}


def one_sided(resource: Resource) -> str | None:
    """The direction in which untracked policy allows something while it allows nothing in the other one."""
    if is_set(resource, "doNotTrack"):
        for side, other in OTHER.items():
            if allows(resource.spec, side) and not _governed(resource, other):
                return side
    return None


def _governed(resource: Resource, side: str) -> bool:
    """Whether the policy allows something in that direction, which it governs."""
    types = resource.spec.get("types")
    return allows(resource.spec, side) and (not isinstance(types, list) or _TYPES[side] in types)


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        side = one_sided(subject.resource)
        if side is not None and not _has_return(subject.resource, OTHER[side], documents.resources):
            yield _suspicion(subject, side, OTHER[side])


def _has_return(resource: Resource, other: str, resources: Sequence[Resource]) -> bool:
    """Whether another untracked policy that may hold for the same endpoints allows something in that direction."""
    return any(
        is_set(one, "doNotTrack") and _governed(one, other) and may_share(one, resource)
        for one in resources
        if one is not resource
    )


def _suspicion(subject: Subject, side: str, other: str) -> Suspicion:
    index = next(index for index, rule in enumerate(rules(subject.resource.spec, side)) if rule["action"] == "Allow")
    return Suspicion(
        subject=subject,
        way=("spec", side, index),
        found=f"doNotTrack policy allows {side} but has no {other} rule that allows the replies",
        why="without connection tracking replies are not recognised, and are dropped",
        remedy=f"add the mirrored rule to its {other}",
        fix=_fix(subject, side, other),
        name="NO_RETURN_RULE",
    )


def _fix(subject: Subject, side: str, other: str) -> Fix | None:
    """The mirror of every Allow rule; None where one of them has none, or the lists are not there to be added to."""
    from tortie.apps.linting.mirroring import mirrored  # only who has the text needs it

    spec = subject.resource.spec
    mirrors = [mirrored(rule) for rule in rules(spec, side) if rule["action"] == "Allow"]
    known: list[Plain] = [cast(Plain, mirror) for mirror in mirrors if mirror is not None]
    if subject.node is None or len(known) < len(mirrors):
        return None
    changes: list[Change] = []
    if isinstance(subject.part(("spec", other)), SequenceNode):
        changes += [Append(("spec", other), mirror) for mirror in known]
    else:
        changes.append(Insert(("spec",), side, other, [*known]))
    types = subject.part(("spec", "types"))
    if isinstance(types, SequenceNode) and types.items and _TYPES[other] not in map(str, _listed(spec.get("types"))):
        changes.append(Append(("spec", "types"), _TYPES[other]))
    return Fix("adds it", tuple(changes))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


CHECK: Check[Documents] = Check("TT2004", "an untracked policy that lets no replies through", _look)
