"""Files of documents in, checked resources out; every problem of every file at once.

What needs more than one document is checked here or in `service`; what one document can say about itself is the
business of `resources`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from tortie.apps.answers import ProblemAnswer, SourceText
from tortie.apps.failure import Code, Failure
from tortie.resources.codec import Reading, read_text
from tortie.resources.kind import Body, Resource
from tortie.resources.problems import Problem
from tortie.store.protocol import Key


def key_of(resource: Resource) -> Key:
    """The datastore's key of a resource."""
    return Key(resource.kind, resource.namespace, resource.name)


def read_sources(files: Sequence[SourceText], *, needs_documents: bool = True) -> list[Reading]:
    """Every document of all files in order, with what is wrong with it; a file without any has one that says so."""
    readings: list[Reading] = []
    first: dict[Key, Resource] = {}
    for file in files:
        source = file["source"]
        # Surrogate escapes turn back into the bytes of the file, so that the decoder can point at the bad one.
        found = [*read_text(file["text"].encode("utf-8", "surrogateescape"), source)]
        readings += [_without_repeated(one, first) for one in found]
        if not found and needs_documents:
            message, remedy = "no resources specified in file", "write at least one document"
            empty = Problem(code="TT1901", message=message, source=source, line=1, column=1, remedy=remedy)
            readings.append(Reading(source, 1, None, None, (), (empty,)))
    return readings


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
    return replace(reading, problems=tuple(repeated)) if repeated else reading


def decode_files(files: Sequence[SourceText], *, needs_documents: bool = True) -> list[Resource]:
    """The resources of all files in order.

    Raises: Failure INVALID with the problems of all files.
    """
    readings = read_sources(files, needs_documents=needs_documents)
    if problems := [problem for one in readings for problem in one.problems]:
        raise invalid(problems)
    return [resource for one in readings for resource in one.resources]


def stored_body(value: bytes) -> Body:
    """A stored document; empty where it is damaged, so that it can still be replaced, deleted and passed over."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def part(body: Body, name: str) -> Body:
    """A mapping in a stored document, `metadata` or `spec`; empty where it is absent or damaged."""
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def invalid(problems: list[Problem]) -> Failure:
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
