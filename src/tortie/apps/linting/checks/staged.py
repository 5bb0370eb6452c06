"""Staged policies are stored and shown, and judge no packet: not a mistake, but worth telling who applies one."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion
from tortie.resources.kinds import KINDS


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        if KINDS[subject.resource.kind].is_staged:
            yield Suspicion(
                subject=subject,
                found="is staged, not enforced",
                why="it is stored and shown, and no packet is judged by it",
                remedy=f"apply it as {subject.resource.kind.removeprefix('Staged')} to have it enforced",
                name="STAGED",
            )


CHECK: Check[Documents] = Check("TT2013", "a staged policy, which is not enforced", _look, is_notice=True)
