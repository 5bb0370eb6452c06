"""What `tortie validate` found, in the forms that other programs read.

Because: problems without a column (a document that could not be read at all) are at the first one.
"""

from collections.abc import Sequence

from tortie.apps.version import VERSION
from tortie.resources.codec import Reading
from tortie.resources.problems import CODES, Problem

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
PAGES = "docs/errors"
"""Where each code has its page, from the top of the sources."""


def documents(readings: Sequence[Reading]) -> list[dict[str, object]]:
    """An item for each document, in the order of the input."""
    return [
        {
            "source": one.source,
            "line": one.line,
            "kind": one.kind,
            "name": one.name,
            "valid": not one.problems,
            "errors": [
                {
                    "code": each.code,
                    "path": each.path,
                    "line": each.line,
                    "column": each.column,
                    "message": each.sentence,
                }
                for each in one.problems
            ],
        }
        for one in readings
    ]


def sarif(readings: Sequence[Reading]) -> dict[str, object]:
    """The problems as SARIF 2.1.0, for services that show them beside the code."""
    problems = [problem for one in readings for problem in one.problems]
    codes = sorted({problem.code for problem in problems})
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}, "helpUri": f"{PAGES}/{code}.md"} for code in codes]
    driver = {"name": "tortie", "version": VERSION, "rules": rules}
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(problem, codes) for problem in problems],
            }
        ],
    }


def _result(problem: Problem, codes: list[str]) -> dict[str, object]:
    from urllib.parse import quote  # takes milliseconds, and only this form needs it

    region = {"startLine": max(1, problem.line), "startColumn": max(1, problem.column)}
    place: dict[str, object] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(problem.source, errors="surrogateescape")},
            "region": region,
        }
    }
    if problem.path:
        place["logicalLocations"] = [{"fullyQualifiedName": problem.path}]
    return {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": "error",
        "message": {"text": problem.sentence},
        "locations": [place],
    }


def annotation(problem: Problem) -> str:
    """The problem as a workflow command of GitHub, which shows it beside the line."""
    place = {
        "file": problem.source,
        "line": str(max(1, problem.line)),
        "col": str(max(1, problem.column)),
        "title": problem.code,
    }
    properties = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in place.items())
    where = f"{problem.path}: " if problem.path else ""
    return f"::error {properties}::{_escaped(where + problem.sentence)}"


def _escaped(text: str, more: str = "") -> str:
    """Source: GitHub, "Workflow commands": percent signs and line ends; in properties colons and commas too."""
    for char in f"%\r\n{more}":
        text = text.replace(char, f"%{ord(char):02X}")
    return text
