"""`tortie apply`."""

import click

from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import choice, filenames, no_wait, recursive, with_target
from tortie.apps.ctl.show import out_json, written
from tortie.apps.ctl.target import choose
from tortie.apps.defaults import DATASTORE


@click.command()
@with_target
@filenames
@recursive
@no_wait
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(names: tuple[str, ...], recursive: bool, no_wait: bool, dry_run: bool, output: str) -> int:
    """Create or change resources from documents: all of them, or none where one is wrong.

    Waits until the agent that serves the datastore has programmed the change, and says what is enforced.

    \b
    Examples:
      tortie apply -f policy.yaml
      tortie apply -f policies/ -R --dry-run
    """
    if not names:
        raise click.UsageError("nothing to apply: give documents with -f FILE, -f FOLDER or -f -")
    chosen = choice()
    answer = choose(chosen).apply(read_files(names, recursive=recursive), wait=not no_wait, dry_run=dry_run)
    if output == "json":
        out_json(answer)
        return int(any(one["refused"] or one["failed"] or not one["is_current"] for one in answer["enforced"]))
    return written(answer, "applied", waited=not no_wait, where=chosen.datastore or DATASTORE)
