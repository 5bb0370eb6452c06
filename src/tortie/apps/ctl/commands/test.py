"""`tortie test`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tortie.apps.ctl.completing import PATH
from tortie.apps.ctl.options import recursive
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.failure import Code, Failure
from tortie.apps.files import read_files

if TYPE_CHECKING:
    from tortie.apps.policytest.report import Outcome


@click.command()
@click.argument("names", nargs=-1, required=True, type=PATH, metavar="FILE...")
@recursive
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text", help="Form of the output."
)
@click.option(
    "--against",
    type=click.Choice(["model", "programs", "both"]),
    default="model",
    help="What is tried: the evaluator (model), the compiled programs (needs root), or both, which have to agree.",
)
def command(names: tuple[str, ...], recursive: bool, output: str, against: str) -> int:
    """Try packets on policy: unit tests in PolicyTest documents.

    Needs no agent and no datastore. Exit code 1 if a packet is not judged as expected, 3 if a file
    cannot be loaded; the others are run all the same.

    \b
    Examples:
      tortie test examples/tests/redis.yaml
      tortie test tests/ -R -o junit > report.xml
    """
    from tortie.apps.policytest import report

    outcomes = [outcome for name in names for outcome in _try(name, recursive=recursive, against=against)]
    match output:
        case "json":
            out_json({"files": [report.answer(one) for one in outcomes]})
        case "junit":
            from tortie.apps.junit import junit

            out("\n".join(junit(map(report.suite, outcomes))))
        case _:
            for one in outcomes:
                for warning in one.ran.world.warnings if one.ran is not None else ():
                    err(f"{one.source}: warning: {warning}")
                out("\n".join(report.text(one)))
            out(report.summary(outcomes))
    if any(one.ran is None for one in outcomes):
        return Code.INVALID.exit_code
    return int(any(one.failed for one in outcomes))


def _try(name: str, *, recursive: bool, against: str) -> "Iterator[Outcome]":
    """What comes of a file, or of each one in a folder."""
    from tortie.apps.policytest.document import Unloadable, read_test, unreadable
    from tortie.apps.policytest.report import Outcome
    from tortie.apps.policytest.running import run

    try:
        files = read_files([name], recursive=recursive)
    except Failure as error:
        yield Outcome(name, None, [unreadable(name, error)])
        return
    for file in files:
        try:
            ran = run(read_test(file))
        except Unloadable as error:
            yield Outcome(file["source"], None, error.problems)
            continue
        if against != "model":
            from tortie.apps.policytest.programs import ask

            ran = ask(ran, alone=against == "programs")
        yield Outcome(file["source"], ran, [])
