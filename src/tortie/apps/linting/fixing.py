"""`--fix`: the files with everything corrected that can be corrected with certainty.

Each fix is a change of one document (`changes.py`), which `retouching.py` writes into the text. What a fix was for has
to be gone when the new text is linted; else it is taken back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tortie.apps.answers import SourceText
from tortie.apps.linting.changes import Change, below
from tortie.apps.linting.finding import Finding
from tortie.apps.linting.repairs import repairs
from tortie.apps.linting.retouching import Unsafe, retouched
from tortie.apps.linting.running import Company, Report, lint
from tortie.resources.problems import Problem


@dataclass(frozen=True, slots=True)
class Fixable:
    """A finding or problem with its changes, of the document of that number in its file."""

    reported: Finding | Problem
    saying: str
    document: int
    changes: tuple[Change, ...]

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What it is, wherever in its file it stands."""
        return self.reported.code, self.reported.source, self.document, self.reported.path


@dataclass(frozen=True, slots=True)
class Refusal:
    """What could not be fixed, and why."""

    reported: Finding | Problem
    reason: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """The files as they are to be, what was corrected in them, what was not, and what is left to say of them."""

    files: tuple[SourceText, ...]
    done: tuple[Fixable, ...]
    refused: tuple[Refusal, ...]
    report: Report


def fixables(report: Report) -> Iterator[Fixable]:
    """Everything in the report that has a fix."""
    places: dict[int, int] = {}
    for _, pages in groupby(report.pages, key=lambda page: page.reading.source):
        for number, page in enumerate(pages):
            places |= {id(subject): number for subject in page.subjects}
            for problem, fix in repairs(page):
                yield Fixable(problem, fix.saying, number, fix.changes)
    for finding in report.findings:
        suspicion = finding.suspicion
        if suspicion.fix is not None:
            changes = tuple(below(change, suspicion.subject.prefix) for change in suspicion.fix.changes)
            yield Fixable(finding, suspicion.fix.saying, places[id(suspicion.subject)], changes)


def fix(files: Sequence[SourceText], report: Report, company: Company) -> Fixed:
    """The files after every fix that holds; a document that becomes valid is looked at again."""
    done: dict[tuple[str, str, int, str], Fixable] = {}
    while True:
        found = _fix_once(files, report, company)
        if all(one.identity in done for one in found.done):
            return Fixed(found.files, tuple(done.values()), found.refused, found.report)
        done |= {one.identity: one for one in found.done}
        files, report = found.files, found.report


def _fix_once(files: Sequence[SourceText], report: Report, company: Company) -> Fixed:
    wanted = tuple(fixables(report))
    refused: list[Refusal] = []
    while True:
        new, done, unsafe = _attempt(files, wanted)
        after = lint(new, company) if done else report
        left = {one.identity for one in fixables(after)}
        idle = [one for one in done if one.identity in left]
        refused += [*unsafe, *(Refusal(one.reported, "it would not be enough") for one in idle)]
        if not idle:
            return Fixed(tuple(new), tuple(done), tuple(refused), after)
        gone = {id(one) for one in idle} | {id(one.reported) for one in unsafe}
        wanted = tuple(one for one in wanted if id(one) not in gone and id(one.reported) not in gone)


def _attempt(
    files: Sequence[SourceText], wanted: Sequence[Fixable]
) -> tuple[list[SourceText], list[Fixable], list[Refusal]]:
    """The files with these fixes, those that were made, and those that could not be."""
    new: list[SourceText] = []
    done: list[Fixable] = []
    refused: list[Refusal] = []
    for file in files:
        ours = [one for one in wanted if one.reported.source == file["source"]]
        text = file["text"]
        try:
            text = retouched(text, [(one.document, change) for one in ours for change in one.changes])
            done += ours
        except Unsafe:
            for one in ours:  # one by one, so that what is unsafe stands in the way of nothing else
                try:
                    text = retouched(text, [(one.document, change) for change in one.changes])
                    done.append(one)
                except Unsafe as error:
                    refused.append(Refusal(one.reported, str(error)))
        new.append(SourceText(source=file["source"], text=text))
    return new, done, refused
