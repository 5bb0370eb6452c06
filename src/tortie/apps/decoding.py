"""Files of documents in, checked resources out; every problem of every file at once.

What needs more than one document is checked here or in `service`; what one document can say about itself is the
business of `resources`.
"""

import json
from collections.abc import Sequence

from tortie.apps.answers import ProblemAnswer, SourceText
from tortie.apps.failure import Code, Failure
from tortie.resources.codec import decode_text
from tortie.resources.kind import Body, Resource
from tortie.resources.problems import Problem
from tortie.store.protocol import Key


def key_of(resource: Resource) -> Key:
    """The datastore's key of a resource."""
    return Key(resource.kind, resource.namespace, resource.name)


def decode_files(files: Sequence[SourceText], *, needs_documents: bool = True) -> list[Resource]:
    """The resources of all files in order.

    Raises: Failure INVALID with the problems of all files; also for a document that is there twice, because one apply
    is one transaction and which of the two should win is for the author to say.
    """
    resources: list[Resource] = []
    problems: list[ProblemAnswer] = []
    for file in files:
        # Surrogate escapes turn back into the bytes of the file, so that the decoder can point at the bad one.
        found, wrong = decode_text(file["text"].encode("utf-8", "surrogateescape"), file["source"])
        if not found and not wrong and needs_documents:
            text = f"{file['source']}: TT1901 no resources specified in file; write at least one document"
            problems.append(_problem("TT1901", file["source"], 1, "", text))
        resources.extend(found)
        problems.extend(problem_answer(one) for one in wrong)
    problems.extend(_repeated(resources))
    if problems:
        raise invalid(problems)
    return resources


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


def invalid(problems: list[ProblemAnswer]) -> Failure:
    """The failure that carries these problems."""
    return Failure(Code.INVALID, "nothing was changed: " + count(len(problems), "problem"), problems)


def count(number: int, noun: str) -> str:
    """`1 problem`, `2 problems`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def problem_answer(problem: Problem) -> ProblemAnswer:
    """A decoder's problem as JSON."""
    return {
        "code": problem.code,
        "source": problem.source,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "text": str(problem),
    }


def problem_at(resource: Resource, code: str, path: str, text: str) -> ProblemAnswer:
    """A problem that only several documents together have, placed at the start of the one that has to change."""
    where = f"{resource.source}:{resource.line}:1: {path}" if path else f"{resource.source}:{resource.line}:1"
    return _problem(code, resource.source, resource.line, path, f"{where}: {code} {text}")


def _problem(code: str, source: str, line: int, path: str, text: str) -> ProblemAnswer:
    return {"code": code, "source": source, "line": line, "column": 1, "path": path, "text": text}


def _repeated(resources: Sequence[Resource]) -> list[ProblemAnswer]:
    first: dict[Key, Resource] = {}
    problems = []
    for resource in resources:
        earlier = first.setdefault(key_of(resource), resource)
        if earlier is not resource:
            text = f"{key_of(resource)} is already at {earlier.source}:{earlier.line}; keep one of the two"
            problems.append(problem_at(resource, "TT1902", "metadata.name", text))
    return problems
