"""`tortie assert`."""

from typing import TYPE_CHECKING

import click

from tortie.apps.ctl.completing import PATH
from tortie.apps.ctl.options import choice, recursive, with_target
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.ctl.target import choose
from tortie.apps.failure import Code, Failure
from tortie.apps.files import read_files

if TYPE_CHECKING:
    from tortie.apps.answers import SourceText
    from tortie.apps.policyassert.answers import AssertionsAnswer


@click.command()
@with_target
@click.argument("names", nargs=-1, required=True, type=PATH, metavar="FILE...")
@recursive
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text", help="Form of the output."
)
def command(names: tuple[str, ...], recursive: bool, output: str) -> int:
    """Prove what holds for all packets: questions in PolicyAssertion documents.

    Each is answered by a proof, or by a packet for which it is not so, with the way of that packet. A file that
    describes a host needs no agent and no datastore; one that does not is about the live host.

    Exit code 1 if an assertion does not hold, 3 if a file cannot be loaded; the others are answered all the same.

    \b
    Examples:
      tortie assert examples/assertions/redis.yaml
      tortie assert assertions/ -R -o junit > report.xml
    """
    from tortie.apps.policyassert import report

    answers = [answer for name in names for answer in _answers(name, recursive=recursive)]
    match output:
        case "json":
            out_json({"files": answers})
        case "junit":
            from tortie.apps.junit import junit

            out("\n".join(junit(map(report.suite, answers))))
        case _:
            for one in answers:
                for warning in one.get("warnings", []):
                    err(f"{one['file']}: warning: {warning}")
                out("\n".join(report.text(one)))
            out(report.summary(answers))
    if any("error" in one for one in answers):
        return Code.INVALID.exit_code
    return int(any(report.failed(one) for one in answers))


def _answers(name: str, *, recursive: bool) -> "list[AssertionsAnswer]":
    """What comes of a file, or of each one in a folder."""
    from tortie.apps.policyassert.answering import unloadable
    from tortie.apps.policytest.document import unreadable

    try:
        files = read_files([name], recursive=recursive)
    except Failure as error:
        return [unloadable(name, [unreadable(name, error)])]
    return [_answer(file) for file in files]


def _answer(file: "SourceText") -> "AssertionsAnswer":
    """What comes of a file. Raises: Failure, where nobody can be asked about the live host."""
    from tortie.apps.policyassert.answering import answer, unloadable
    from tortie.apps.policyassert.document import read_assertions
    from tortie.apps.policytest.document import Unloadable

    try:
        asserted = read_assertions(file)
        if not asserted.is_of_live_host:
            return answer(asserted)
    except Unloadable as error:
        return unloadable(file["source"], error.problems)
    return choose(choice()).prove({"file": file, "files": list(asserted.texts[1:])})
