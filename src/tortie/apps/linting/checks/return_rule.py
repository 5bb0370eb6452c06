"""Untracked policy that lets packets through one way and not back: without connection tracking no reply is recognised.

An untracked Allow is final for the packet that it names and leaves no entry in the connection table. Its answer is
judged by untracked policy of the other direction, and if nothing there allows it, as a packet of no known connection.
"""

from collections.abc import Iterator, Sequence

from tortie.apps.linting.bodies import OTHER, is_set, lets, one_sided, rules
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Fix, Suspicion
from tortie.apps.linting.scopes import may_share
from tortie.apps.linting.subject import Subject
from tortie.resources.kind import Body, Resource


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        if side := lacking(subject.resource, documents.resources):
            yield _suspicion(subject, side, OTHER[side])


def lacking(resource: Resource, resources: Sequence[Resource]) -> str | None:
    """The direction in which untracked policy allows something while nobody's allows anything in the other one."""
    side = one_sided(resource)
    return None if side is None or _has_return(resource, OTHER[side], resources) else side


def _has_return(resource: Resource, other: str, resources: Sequence[Resource]) -> bool:
    """Whether another untracked policy that may hold for the same endpoints allows something in that direction."""
    return any(
        is_set(one, "doNotTrack") and lets(one, other) and may_share(one, resource)
        for one in resources
        if one is not resource
    )


def _suspicion(subject: Subject, side: str, other: str) -> Suspicion:
    listed = rules(subject.resource.spec, side)
    allowing = [rule for rule in listed if rule["action"] == "Allow"]
    return Suspicion(
        subject=subject,
        way=("spec", side, listed.index(allowing[0])),
        found=f"doNotTrack policy allows {side} but has no {other} rule that allows the replies",
        why="without connection tracking replies are not recognised, and are dropped",
        remedy=f"add the mirrored rule to its {other}",
        fix=_fix(subject, side, allowing),
        name="NO_RETURN_RULE",
    )


def _fix(subject: Subject, side: str, allowing: Sequence[Body]) -> Fix | None:
    if subject.node is None:
        return None
    from tortie.apps.linting.mirroring import return_fix  # only who has the text needs it

    return return_fix(subject, side, allowing)


CHECK: Check[Documents] = Check("TT2004", "an untracked policy that lets no replies through", _look)
