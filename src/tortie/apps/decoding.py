"""Files of documents in, checked resources out; every problem of every file at once.

What needs more than one document is checked here or on writing; what one document can say about itself is the
business of `resources`.
"""

from collections.abc import Sequence

from tortie.apps.answers import ProblemAnswer, SourceText
from tortie.apps.failure import Code, Failure
from tortie.apps.namespaces import check_namespace, in_namespace
from tortie.resources.codec import decode_text
from tortie.resources.kind import Resource
from tortie.resources.problems import Problem
from tortie.store.protocol import Key


def key_of(resource: Resource) -> Key:
    """The datastore's key of a resource."""
    return Key(resource.kind, resource.namespace, resource.name)


def decode_files(files: Sequence[SourceText], *, needs_documents: bool = True, namespace: str = "") -> list[Resource]:
    """The resources of all files in order, each with its namespace; `namespace`: what the user says it is.

    Raises: Failure USAGE for what is no namespace; INVALID with the problems of all files; also for a document that is
    there twice, because one apply is one transaction and which of the two should win is for the author to say.
    """
    resources: list[Resource] = []
    problems: list[ProblemAnswer] = []
    check_namespace(namespace)
    for file in files:
        # Surrogate escapes turn back into the bytes of the file, so that the decoder can point at the bad one.
        found, wrong = decode_text(file["text"].encode("utf-8", "surrogateescape"), file["source"])
        if not found and not wrong and needs_documents:
            text = f"{file['source']}: TT1901 no resources specified in file; write at least one document"
            problems.append(_problem("TT1901", file["source"], 1, "", text))
        for one in found:
            settled = in_namespace(one, namespace)
            if isinstance(settled, Resource):
                resources.append(settled)
            else:
                problems.append(problem_at(one, settled[0], "metadata.namespace", settled[1]))
        problems.extend(problem_answer(one) for one in wrong)
    problems.extend(_repeated(resources))
    if problems:
        raise invalid(problems)
    return resources


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
