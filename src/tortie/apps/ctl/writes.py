"""What every command that writes does: read the files, ask the target or nobody, print what became of it."""

from collections.abc import Sequence

import click

from tortie.apps.answers import SourceText, WriteAnswer
from tortie.apps.ctl.options import choice
from tortie.apps.ctl.said import Writing
from tortie.apps.ctl.show import written
from tortie.apps.ctl.target import choose
from tortie.apps.defaults import DATASTORE
from tortie.apps.files import read_files
from tortie.apps.requests import Verb, WriteOptions


def given_files(verb: str, said: Writing) -> list[SourceText]:
    """The files of -f. Raises: a usage error where there are none."""
    if not said.names:
        raise click.UsageError(f"nothing to {verb}: give documents with -f FILE, -f FOLDER or -f -")
    return read_files(said.names, recursive=said.recursive, may_be_empty=said.skip_empty)


def options_of(said: Writing, *, skip: bool = False) -> WriteOptions:
    """What is asked of the target."""
    return WriteOptions(
        namespace=said.namespace,
        dry_run=said.dry_run == "server",
        skip=skip,
        skip_empty=said.skip_empty,
        wait=not said.no_wait,
        established=said.established,
    )


def carry_out(verb: Verb, files: list[SourceText], said: Writing, *, skip: bool = False) -> int:
    """Do it with documents, and say what became of them; the exit code."""
    return show_written(ask(verb, files, said, skip=skip), verb.done, said)


def ask(verb: Verb, files: list[SourceText], said: Writing, *, skip: bool = False) -> WriteAnswer:
    """What the target makes of the documents; of a client's dry run, what they say themselves."""
    options = options_of(said, skip=skip)
    if said.dry_run == "client":
        return _judged_here(verb, files, options)
    return choose(choice()).write(verb, files, options)


def show_written(answer: WriteAnswer, done: str, said: Writing, success: list[str] | None = None) -> int:
    """Print it; the exit code."""
    return written(answer, done, said, choice().datastore or DATASTORE, success)


def _judged_here(verb: Verb, files: Sequence[SourceText], options: WriteOptions) -> WriteAnswer:
    """The answer without any datastore: every document is valid. Raises: Failure INVALID."""
    from tortie.apps.decoding import decode_files, invalid, key_of
    from tortie.apps.verbs.writing import change_of, refusals, write_answer

    resources = decode_files(files, needs_documents=not options.skip_empty, namespace=options.namespace)
    problems = [problem for one in resources for problem in refusals(one, verb)]
    if problems:
        raise invalid(problems)
    changes = [change_of(key_of(one), "valid", None, None, options) for one in resources]
    return write_answer(0, changes, is_dry_run=True)
