"""What `tortie validate` and `tortie lint` found, in the forms that other programs read.

Because: problems without a column (a document that could not be read at all) are at the first one.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from tortie.apps.version import VERSION
from tortie.resources.codec import Reading
from tortie.resources.problems import CODES

if TYPE_CHECKING:  # validating needs no checks
    from tortie.apps.linting.finding import Finding
    from tortie.apps.linting.fixing import Fixed
    from tortie.apps.linting.running import Report

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
PAGES = "docs/errors"
"""Where each code has its page, from the top of the sources."""


class Level(Enum):
    """How bad it is, in the words of both forms."""

    ERROR = "error"
    WARNING = "warning"


class Reported(Protocol):
    """What has a code and a place: a problem, or a finding of lint."""

    @property
    def code(self) -> str:
        """Which page explains it."""

    @property
    def source(self) -> str:
        """The file."""

    @property
    def line(self) -> int:
        """1-based; 0: unknown."""

    @property
    def column(self) -> int:
        """1-based; 0: unknown."""

    @property
    def path(self) -> str:
        """Where in the document; empty: the whole."""

    @property
    def sentence(self) -> str:
        """What it is, and the remedy."""


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


def sarif(
    problems: Sequence[Reported], findings: Sequence[Reported] = (), meanings: Mapping[str, str] = CODES
) -> dict[str, object]:
    """Errors and warnings as SARIF 2.1.0, for services that show them beside the code; `meanings`: of the codes."""
    codes = sorted({one.code for one in (*problems, *findings)})
    rules = [
        {"id": code, "shortDescription": {"text": meanings[code]}, "helpUri": f"{PAGES}/{code}.md"} for code in codes
    ]
    driver = {"name": "tortie", "version": VERSION, "rules": rules}
    results = [
        *(_result(one, Level.ERROR, codes) for one in problems),
        *(_result(one, Level.WARNING, codes) for one in findings),
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(one: Reported, level: Level, codes: list[str]) -> dict[str, object]:
    from urllib.parse import quote  # takes milliseconds, and only this form needs it

    region = {"startLine": max(1, one.line), "startColumn": max(1, one.column)}
    place: dict[str, object] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(one.source, errors="surrogateescape")},
            "region": region,
        }
    }
    if one.path:
        place["logicalLocations"] = [{"fullyQualifiedName": one.path}]
    return {
        "ruleId": one.code,
        "ruleIndex": codes.index(one.code),
        "level": level.value,
        "message": {"text": one.sentence},
        "locations": [place],
    }


def annotation(one: Reported, level: Level = Level.ERROR) -> str:
    """It as a workflow command of GitHub, which shows it beside the line."""
    place = {
        "file": one.source,
        "line": str(max(1, one.line)),
        "col": str(max(1, one.column)),
        "title": one.code,
    }
    properties = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in place.items())
    where = f"{one.path}: " if one.path else ""
    return f"::{level.value} {properties}::{_escaped(where + one.sentence)}"


def _escaped(text: str, more: str = "") -> str:
    """Source: GitHub, "Workflow commands": percent signs and line ends; in properties colons and commas too."""
    for char in f"%\r\n{more}":
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def linted(report: "Report", fixed: "Fixed | None") -> dict[str, object]:
    """Everything that lint says, in the order of the files; what was fixed only where that was asked."""
    errors = [{**_placed(one), "message": one.sentence} for one in report.problems]
    answer: dict[str, object] = {"findings": [_finding(one) for one in report.findings], "errors": errors}
    if fixed is not None:
        answer["fixed"] = [{**_placed(one.reported), "change": one.saying} for one in fixed.done]
        answer["refused"] = [{**_placed(one.reported), "reason": one.reason} for one in fixed.refused]
    return answer


def _finding(one: "Finding") -> dict[str, object]:
    suspicion = one.suspicion
    return {
        **_placed(one),
        "resource": one.resource,
        "message": suspicion.found,
        "why": suspicion.why,
        "remedy": suspicion.remedy,
        "fixable": suspicion.fix is not None,
    }


def _placed(one: Reported) -> dict[str, object]:
    return {"code": one.code, "source": one.source, "line": one.line, "column": one.column, "path": one.path}
