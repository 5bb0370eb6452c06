"""`tortie apply`."""

import click

from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import check_waits, choice, established, filenames, no_wait, recursive, with_target
from tortie.apps.ctl.show import out_json, written
from tortie.apps.ctl.target import choose
from tortie.apps.defaults import DATASTORE


@click.command()
@with_target
@filenames
@recursive
@no_wait
@established
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(
    names: tuple[str, ...], recursive: bool, no_wait: bool, established: str, dry_run: bool, output: str
) -> int:
    """Create or change resources from documents: all of them, or none where one is wrong.

    Waits until the agent that serves the datastore has programmed the change, and says what is enforced.

    \b
    Examples:
      tortie apply -f policy.yaml
      tortie apply -f policies/ -R --established=recheck
    """
    if not names:
        raise click.UsageError("nothing to apply: give documents with -f FILE, -f FOLDER or -f -")
    chosen = choice()
    check_waits(established, no_wait=no_wait)
    files = read_files(names, recursive=recursive)
    answer = choose(chosen).apply(files, wait=not no_wait, dry_run=dry_run, established=established)
    if output == "json":
        out_json(answer)
        is_behind = any(one["refused"] or one["failed"] or not one["is_current"] for one in answer["enforced"])
        return int(is_behind or answer["kept_because"] is not None)
    return written(answer, "applied", waited=not no_wait, where=chosen.datastore or DATASTORE, established=established)
