"""Files of documents in, checked resources out; every problem of every file at once.

What needs more than one document is checked here or on writing; what one document can say about itself is the
business of `resources`.
"""

from collections.abc import Sequence

from tortie.apps.answers import ProblemAnswer, SourceText
from tortie.apps.failure import Code, Failure
from tortie.apps.namespaces import check_namespace, in_namespace
from tortie.resources.codec import Reading, read_text
from tortie.resources.kind import Resource
from tortie.resources.problems import Problem
from tortie.store.protocol import Key


def key_of(resource: Resource) -> Key:
    """The datastore's key of a resource."""
    return Key(resource.kind, resource.namespace, resource.name)


def read_sources(
    files: Sequence[SourceText],
    *,
    needs_documents: bool = True,
    namespace: str = "",
    first: dict[Key, Resource] | None = None,
) -> list[Reading]:
    """Every document of all files in order, with what is wrong with it; a file without any has one that says so.

    `namespace`: what the user says it is; each resource has its own afterwards. `first`: the resources that are there
    already, by key; those of the files are added. Raises: Failure USAGE for a namespace that is none.
    """
    check_namespace(namespace)
    readings: list[Reading] = []
    first = {} if first is None else first
    for file in files:
        source = file["source"]
        # Surrogate escapes turn back into the bytes of the file, so that the decoder can point at the bad one.
        found = [*read_text(file["text"].encode("utf-8", "surrogateescape"), source)]
        readings += [settled(one, namespace, first) for one in found]
        if not found and needs_documents:
            readings.append(without_documents(source))
    return readings


def without_documents(source: str) -> Reading:
    """What stands for a file in which there is no document, and has the problem that there is none."""
    message, remedy = "no resources specified in file", "write at least one document"
    empty = Problem(code="TT1901", message=message, source=source, line=1, column=1, remedy=remedy)
    return Reading(source, 1, None, None, (), (empty,))


def settled(reading: Reading, namespace: str, first: dict[Key, Resource]) -> Reading:
    """The document as one of many: its resources with their namespace, and none of them there before."""
    return _without_repeated(_in_namespace(reading, namespace), first)


def _in_namespace(reading: Reading, namespace: str) -> Reading:
    """The document, its resources each with its namespace; refused where that is not the one that the user says."""
    settled: list[Resource] = []
    wrong: list[Problem] = []
    for resource in reading.resources:
        found = in_namespace(resource, namespace)
        if isinstance(found, Resource):
            settled.append(found)
        else:
            code, message, remedy = found
            wrong.append(problem_at(resource, code, "metadata.namespace", message, remedy))
    return reading._replace(resources=tuple(settled), problems=(*reading.problems, *wrong))


def _without_repeated(reading: Reading, first: dict[Key, Resource]) -> Reading:
    """The document, refused where it has what is there already.

    Because: one apply is one transaction, and which of the two should win is for the author to say.
    """
    repeated: list[Problem] = []
    for resource in reading.resources:
        earlier = first.setdefault(key_of(resource), resource)
        if earlier is not resource:
            message = f"{key_of(resource)} is already at {earlier.source}:{earlier.line}"
            repeated.append(problem_at(resource, "TT1902", "metadata.name", message, "keep one of the two"))
    return reading._replace(problems=(*reading.problems, *repeated)) if repeated else reading


def decode_files(files: Sequence[SourceText], *, needs_documents: bool = True, namespace: str = "") -> list[Resource]:
    """The resources of all files in order, each with its namespace; `namespace`: what the user says it is.

    Raises: Failure USAGE for what is no namespace; INVALID with the problems of all files.
    """
    readings = read_sources(files, needs_documents=needs_documents, namespace=namespace)
    if problems := [problem for one in readings for problem in one.problems]:
        raise invalid(problems)
    return [resource for one in readings for resource in one.resources]


def invalid(problems: Sequence[Problem]) -> Failure:
    """The failure that carries these problems."""
    listed = [problem_answer(each) for each in problems]
    return Failure(Code.INVALID, "nothing was changed: " + count(len(problems), "problem"), listed)


def count(number: int, noun: str) -> str:
    """`1 problem`, `2 problems`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def problem_answer(problem: Problem) -> ProblemAnswer:
    """A problem as JSON."""
    return {
        "code": problem.code,
        "source": problem.source,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "text": str(problem),
    }


def problem_at(resource: Resource, code: str, path: str, message: str, remedy: str = "") -> Problem:
    """A problem that only several documents together have, placed at the start of the one that has to change."""
    return Problem(
        code=code, message=message, source=resource.source, path=path, line=resource.line, column=1, remedy=remedy
    )
