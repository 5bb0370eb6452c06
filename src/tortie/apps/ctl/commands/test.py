"""`tortie test`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tortie.apps.ctl.completing import PATH
from tortie.apps.ctl.options import recursive
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.failure import Code, Failure
from tortie.apps.files import read_files
from tortie.model.dataplane import EBPF, IPTABLES, NFTABLES

if TYPE_CHECKING:
    from tortie.apps.policytest.report import Outcome
    from tortie.apps.policytest.running import Ran


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
    help="What is tried: the evaluator (model), what a dataplane makes of the policy (programs; needs root), or both, "
    "which have to agree.",
)
@click.option(
    "--dataplane",
    envvar="TORTIE_DATAPLANE",
    type=click.Choice(["auto", EBPF, NFTABLES, IPTABLES, f"{IPTABLES}-nft", f"{IPTABLES}-legacy"]),
    default=EBPF,
    help="The dataplane of --against programs: the compiled programs (ebpf, auto), or rules, which real packets "
    "meet in a network namespace of their own.",
)
def command(names: tuple[str, ...], recursive: bool, output: str, against: str, dataplane: str) -> int:
    """Try packets on policy: unit tests in PolicyTest documents.

    Needs no agent and no datastore. Exit code 1 if a packet is not judged as expected, or if
    --against programs could show nothing at all; 3 if a file cannot be loaded; the others are run
    all the same.

    \b
    Examples:
      tortie test examples/tests/redis.yaml
      tortie test tests/ -R -o junit > report.xml
    """
    from tortie.apps.policytest import report

    outcomes = [outcome for name in names for outcome in _try(name, recursive, against, dataplane)]
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
    is_shown = against != "programs" or report.are_shown(outcomes)
    return int(any(one.failed for one in outcomes) or not is_shown)


def _try(name: str, recursive: bool, against: str, dataplane: str) -> "Iterator[Outcome]":
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
            ran = _asked(ran, dataplane, alone=against == "programs")
        yield Outcome(file["source"], ran, [])


def _asked(ran: "Ran", dataplane: str, *, alone: bool) -> "Ran":
    """The same with what the dataplane did. Each is imported when it is asked."""
    if dataplane in ("auto", EBPF):
        from tortie.apps.policytest import programs

        return programs.ask(ran, alone=alone)
    from tortie.apps.policytest import injected

    return injected.ask(ran, dataplane, alone=alone)
