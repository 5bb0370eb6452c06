"""Every check on everything: what is wrong with documents, and what is suspicious about those with which nothing is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tortie.apps.answers import SourceText
from tortie.apps.decoding import key_of
from tortie.apps.linting.checks import every_check
from tortie.apps.linting.finding import Finding
from tortie.apps.linting.reading import Page, read_pages
from tortie.apps.linting.world import World
from tortie.resources.kind import Resource
from tortie.resources.problems import Problem


@dataclass(frozen=True, slots=True)
class Report:
    """What lint has to say of some files, in the order of their text."""

    pages: tuple[Page, ...]
    problems: tuple[Problem, ...]
    findings: tuple[Finding, ...]

    @property
    def resources(self) -> int:
        """How many resources were looked at."""
        return sum(len(page.subjects) for page in self.pages)


@dataclass(frozen=True, slots=True)
class Company:
    """What is known beside the files: `resources` are everything that is stored, or there are none and nothing is."""

    resources: tuple[Resource, ...] = ()
    is_live: bool = False


def lint(files: Sequence[SourceText], company: Company | None = None) -> Report:
    """What is wrong and what is suspicious; `company`: what is stored, of which the files take the place."""
    company = company or Company()
    pages = read_pages(files)
    subjects = [one for page in pages for one in page.subjects]
    given = {key_of(one.resource) for one in subjects}
    others = [one for one in company.resources if key_of(one) not in given]
    world = World(subjects, others, is_live=company.is_live)
    found = (finding for check in every_check() if not check.is_notice for finding in check.findings(world))
    problems = tuple(problem for page in pages for problem in page.reading.problems)
    return Report(tuple(pages), problems, tuple(_in_order(found, files)))


def _in_order(findings: Iterable[Finding], files: Sequence[SourceText]) -> list[Finding]:
    place = {file["source"]: number for number, file in enumerate(files)}
    return sorted(findings, key=lambda one: (place.get(one.source, 0), one.line, one.column, one.code))
