"""Reports in JUnit's XML, for CI: a suite for each file, a case for each thing that was tried in it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import quoteattr


class Case(NamedTuple):
    """Something to try; `complaint` is empty where it came out as it should. `skipped`: why it was not tried."""

    name: str
    complaint: str
    skipped: str = ""


class Suite(NamedTuple):
    """A file; one with an error has no cases."""

    source: str
    cases: list[Case]
    error: str = ""


def junit(suites: Iterable[Suite]) -> Iterator[str]:
    """Lines of XML."""
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield "<testsuites>"
    for suite in suites:
        yield from _suite(suite)
    yield "</testsuites>"


def _suite(suite: Suite) -> Iterator[str]:
    name = _attribute(suite.source)
    if suite.error:
        yield f'  <testsuite name={name} tests="1" failures="0" errors="1">'
        yield f'    <testcase classname={name} name="load"><error message={_attribute(suite.error)}/></testcase>'
        yield "  </testsuite>"
        return
    failures = sum(bool(case.complaint) for case in suite.cases)
    skipped = sum(bool(case.skipped) for case in suite.cases)
    counts = f'tests="{len(suite.cases)}" failures="{failures}" errors="0"' + (
        f' skipped="{skipped}"' if skipped else ""
    )
    yield f"  <testsuite name={name} {counts}>"
    for case in suite.cases:
        start = f"    <testcase classname={name} name={_attribute(case.name)}"
        told = ("failure", case.complaint) if case.complaint else ("skipped", case.skipped)
        yield f"{start}><{told[0]} message={_attribute(told[1])}/></testcase>" if told[1] else f"{start}/>"
    yield "  </testsuite>"


def _attribute(value: str) -> str:
    """Quoted for XML, without the characters that XML forbids."""
    clean = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)
    return quoteattr(clean.encode("utf-8", "replace").decode())
