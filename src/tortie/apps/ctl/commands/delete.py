"""`tortie delete`."""

import click

from tortie.apps.answers import WriteAnswer
from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.options import WritingCommand, choice, with_files, with_writing, writing
from tortie.apps.ctl.said import Writing
from tortie.apps.ctl.target import choose
from tortie.apps.ctl.words import asked_of_one_kind
from tortie.apps.ctl.writes import carry_out, given_files, options_of, show_written
from tortie.apps.requests import Verb


@click.command(cls=WritingCommand)
@with_writing
@click.argument("kind", required=False, shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="[NAME]...", shell_complete=resource_names)
@with_files
@click.option("-s", "--skip-not-exists", "skip", is_flag=True, help="A resource that does not exist is no failure.")
def command(kind: str | None, resources: tuple[str, ...], skip: bool) -> int:
    """Remove resources by KIND and NAME, or those that documents name: all of them or none.

    A resourceVersion in a document is a precondition.

    \b
    Examples:
      tortie delete gnp redis-accelerator-policy
      tortie delete -f policy.yaml --skip-not-exists
    """
    said = writing()
    if said.names:
        return carry_out(Verb.DELETE, given_files("delete", said), said, skip=skip)
    of_kind = asked_of_one_kind((kind, *resources), "delete") if kind else None
    if of_kind is None or not of_kind.names:
        raise click.UsageError("nothing to delete: give KIND and at least one NAME, or documents with -f FILE")
    if said.dry_run == "client":
        answer = _judged_here(of_kind.kind, list(of_kind.names), said)
    else:
        answer = choose(choice()).delete(of_kind.kind, list(of_kind.names), options_of(said, skip=skip))
    return show_written(answer, Verb.DELETE.done, said)


def _judged_here(kind: str, names: list[str], said: Writing) -> WriteAnswer:
    """The answer of a client's dry run: there is such a kind, and people may delete its resources."""
    from tortie.apps.kinds import find_kind
    from tortie.apps.namespaces import namespace_asked
    from tortie.apps.verbs.deleting import wanted_by_name
    from tortie.apps.verbs.writing import change_of, write_answer

    found = find_kind(kind)
    namespace = namespace_asked(found, said.namespace, everywhere=False, names=names)
    wanted = wanted_by_name(found, namespace or "", names)
    changes = [change_of(one.key, "valid", None, None, options_of(said)) for one in wanted]
    return write_answer(0, changes, is_dry_run=True)
