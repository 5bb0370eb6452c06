"""`tortie delete`."""

import click

from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import check_waits, choice, established, filenames, no_wait, recursive, with_target
from tortie.apps.ctl.show import written
from tortie.apps.ctl.target import choose
from tortie.apps.defaults import DATASTORE


@click.command()
@with_target
@click.argument("kind", required=False, shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="[NAME]...", shell_complete=resource_names)
@filenames
@recursive
@no_wait
@established
@click.option("-s", "--skip-not-exists", "skip", is_flag=True, help="A resource that does not exist is no failure.")
def command(
    kind: str | None,
    resources: tuple[str, ...],
    names: tuple[str, ...],
    recursive: bool,
    no_wait: bool,
    established: str,
    skip: bool,
) -> int:
    """Remove resources by KIND and NAME, or those that documents name: all of them or none.

    \b
    Examples:
      tortie delete gnp redis-accelerator-policy
      tortie delete -f policy.yaml
    """
    chosen = choice()
    check_waits(established, no_wait=no_wait)
    if names:
        files = read_files(names, recursive=recursive)
        answer = choose(chosen).delete_files(files, wait=not no_wait, skip_missing=skip, established=established)
    elif kind and resources and all(resources):
        answer = choose(chosen).delete(
            kind, list(resources), wait=not no_wait, skip_missing=skip, established=established
        )
    else:
        raise click.UsageError("nothing to delete: give KIND and at least one NAME, or documents with -f FILE")
    return written(answer, "deleted", waited=not no_wait, where=chosen.datastore or DATASTORE, established=established)
