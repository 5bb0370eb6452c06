"""Settings that do not count as they are said: values that nobody can read, and names that are no parameter's."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.subject import Subject, Way
from tortie.resources.felix import PARAMETERS
from tortie.resources.felix.levels import Saying, document_level, problems
from tortie.resources.fields import suggest


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        if subject.resource.kind == "FelixConfiguration":
            yield from _of_document(subject)


def _of_document(subject: Subject) -> Iterator[Suspicion]:
    level = document_level(subject.resource)
    for parameter, saying, reading in problems(level):
        yield Suspicion(
            subject=subject,
            way=_way(saying),
            found=f"{saying.place}: {reading.problem}",
            why="it does not count as it is written",
            remedy=f"correct or remove it; tortie config explain {parameter.name} shows what holds",
        )
    names = [parameter.name for parameter in PARAMETERS]
    for name, sayings in level.unknown.items():
        for saying in sayings:
            yield Suspicion(
                subject=subject,
                way=_way(saying),
                found=f"{saying.place}: there is no parameter {name!r}",
                why="it is passed over",
                remedy=suggest(name, names) or "correct or remove it",
            )


def _way(saying: Saying) -> Way:
    """Where the saying stands: a field, or an annotation."""
    kind, _, key = saying.place.partition(" ")
    return ("metadata", "annotations", key) if kind == "annotation" else ("spec", saying.place.removeprefix("spec."))


CHECK: Check[Documents] = Check("TT2015", "a setting that does not count as it is said", _look)
