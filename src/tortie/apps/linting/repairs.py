"""Problems that `--fix` can correct: what validation refuses and only the author's words for it were wrong."""

from collections.abc import Iterator

from tortie.apps.linting.changes import Insert, Replace
from tortie.apps.linting.finding import Fix
from tortie.apps.linting.reading import Page
from tortie.apps.linting.subject import Way
from tortie.resources.fields import join
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.policies import NEEDS_FORWARD
from tortie.resources.problems import Problem

_FORWARD = "applyOnForward"


def repairs(page: Page) -> Iterator[tuple[Problem, Fix]]:
    """The problems of the document that can be corrected, each with its fix, whose ways begin at the root."""
    if page.root is None or not page.reading.problems:
        return
    ways: dict[str, tuple[Way, Node]] = {join("", *way): (way, node) for way, node in _all(page.root, ())}
    for problem in page.reading.problems:
        found = ways.get(problem.path)
        if found is not None and (fix := _fix(problem, *found)) is not None:
            yield problem, fix


def _all(node: Node, way: Way) -> Iterator[tuple[Way, Node]]:
    yield way, node
    if isinstance(node, Mapping):
        for key, (_, value) in node.entries.items():
            yield from _all(value, (*way, key))
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from _all(item, (*way, index))


def _fix(problem: Problem, way: Way, node: Node) -> Fix | None:
    if not isinstance(node, Scalar):
        return None
    match problem.code:
        case "TT1107" if problem.remedy.startswith("quote it"):
            return Fix("quotes it", (Replace(way, node.text),))
        case "TT1103" if problem.remedy.startswith("quote it") and node.verbatim == 0 and node.value is not None:
            return Fix("quotes it", (Replace(way, node.text),))
        case "TT1316" if problem.message == NEEDS_FORWARD and way[-1] == _FORWARD:
            return Fix("sets it to true", (Replace(way, True),))
        case "TT1316" if problem.message == NEEDS_FORWARD:
            return Fix("adds it", (Insert(way[:-1], str(way[-1]), _FORWARD, True),))
        case _:
            return None
