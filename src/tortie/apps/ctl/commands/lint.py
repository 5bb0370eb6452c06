"""`tortie lint`."""

from typing import TYPE_CHECKING

import click

from tortie.apps.answers import SourceText
from tortie.apps.ctl.completing import files as complete_files
from tortie.apps.ctl.options import recursive, with_target
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.files import read_files

if TYPE_CHECKING:
    from tortie.apps.linting.fixing import Fixed
    from tortie.apps.linting.running import Company, Report

FORMS = ("text", "json", "sarif", "github")
INVALID, FOUND = 3, 1


@click.command()
@with_target
@click.argument("names", nargs=-1, required=True, metavar="FILE|DIR|-...", shell_complete=complete_files)
@recursive
@click.option("--fix", is_flag=True, help="Correct in the files what can be corrected with certainty.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option("--live", is_flag=True, help="What is stored counts as company of the files.")
@click.option("-o", "--output", type=click.Choice(FORMS), default="text", help="Form of the output.")
def command(names: tuple[str, ...], recursive: bool, fix: bool, diff: bool, live: bool, output: str) -> int:
    """Find what is valid and hardly means what was meant: rules that no packet reaches, selectors that match nothing,
    untracked policy without its way back, values that readers of YAML take for different things, and more.

    Needs no agent and no datastore: the files are the whole world of what they bring, and of what they do not bring
    nothing is said. Exit code 0 if there is nothing to say, 1 if something was found, 3 if a document is invalid.

    \b
    Examples:
      tortie lint policies/ -R --live
      tortie lint policy.yaml --fix
    """
    from tortie.apps.linting.running import Company, lint

    if fix and diff:
        raise click.UsageError("--fix changes the files and --diff does not; give one of them")
    if fix and "-" in names:
        raise click.UsageError("--fix cannot change standard input; name files, or see --diff")
    files = [*{one["source"]: one for one in read_files(names, recursive=recursive)}.values()]
    company = _company() if live else Company()
    report = lint(files, company)
    fixed = _fixed(files, report, company, is_written=fix) if fix or diff else None
    if diff and fixed is not None and output == "text":
        _show_difference(files, fixed.files)
    elif fix and fixed is not None:
        report = fixed.report
    _show(report, fixed, output, is_written=fix)
    return INVALID if report.problems else FOUND if report.findings else 0


def _company() -> "Company":
    from tortie.apps.ctl.company import stored_company

    company, damaged = stored_company()
    for name, why in damaged.items():
        err(f"tortie: {name} is damaged: {why}; it counts as absent")
    return company


def _fixed(files: list[SourceText], report: "Report", company: "Company", *, is_written: bool) -> "Fixed":
    from tortie.apps.linting.fixing import fix

    fixed = fix(files, report, company)
    if is_written:
        from tortie.apps.ctl.rewriting import rewrite

        for old, new in zip(files, fixed.files, strict=True):
            if new["text"] != old["text"]:
                rewrite(new)
    return fixed


def _show_difference(before: list[SourceText], after: tuple[SourceText, ...]) -> None:
    import difflib

    for old, new in zip(before, after, strict=True):
        a, b = old["text"].splitlines(), new["text"].splitlines()
        for line in difflib.unified_diff(a, b, old["source"], f"{new['source']} (fixed)", lineterm=""):
            out(line)


def _show(report: "Report", fixed: "Fixed | None", output: str, *, is_written: bool) -> None:
    from tortie.apps.ctl import reports

    match output:
        case "json":
            out_json(reports.linted(report, fixed))
        case "sarif":
            from tortie.apps.linting.checks import every_check
            from tortie.resources.problems import CODES

            meanings = {**CODES, **{check.code: check.meaning for check in every_check()}}
            out_json(reports.sarif(report.problems, report.findings, meanings))
        case "github":
            for problem in report.problems:
                out(reports.annotation(problem))
            for finding in report.findings:
                out(reports.annotation(finding, reports.Level.WARNING))
        case _:
            _show_text(report, fixed, is_written=is_written)


def _show_text(report: "Report", fixed: "Fixed | None", *, is_written: bool) -> None:
    from tortie.apps.ctl.questions import counted
    from tortie.apps.decoding import count

    if fixed is not None:
        verb = "fixed" if is_written else "would be fixed"
        for each in fixed.done:
            out(f"{each.reported.source}: {each.reported.path}: {each.reported.code} {verb}: --fix {each.saying}")
        for refusal in fixed.refused:
            one = refusal.reported
            err(f"{one.source}: {one.path}: {one.code} not fixed: {refusal.reason}")
    for problem in report.problems:
        err(f"{problem}")
    for finding in report.findings:
        out(f"{finding}")
    said = [count(len(report.problems), "problem")] if report.problems else []
    said += [count(len(report.findings), "finding")] if report.findings else []
    resources = count(report.resources, "resource")
    left = ", ".join(counted(page.reading for page in report.pages))
    aside = f"; {left} left to tortie test and tortie assert" if left else ""
    out((f"{' and '.join(said)} in {resources}" if said else f"Nothing to say about {resources}") + aside)
