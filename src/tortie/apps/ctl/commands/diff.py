"""`tortie diff`."""

import difflib
import os
import sys
from collections.abc import Iterator

import click

from tortie.apps.answers import Change, Document
from tortie.apps.ctl.options import choice, filenames, namespace, recursive, skip_empty, with_target
from tortie.apps.ctl.show import failure, named, printable
from tortie.apps.ctl.target import choose
from tortie.apps.documents import metadata_of
from tortie.apps.failure import Failure
from tortie.apps.files import read_files
from tortie.apps.requests import Verb, WriteOptions

DIFFERS, TROUBLE = 1, 2
_COLORS = {"---": "\x1b[1m", "+++": "\x1b[1m", "@@": "\x1b[36m", "-": "\x1b[31m", "+": "\x1b[32m"}
_PLAIN = "\x1b[0m"
_SERVER_SET = ("uid", "creationTimestamp", "resourceVersion")


@click.command()
@with_target
@filenames
@recursive
@skip_empty
@namespace
def command(names: tuple[str, ...], recursive: bool, skip_empty: bool, namespace: str) -> int:
    """Show what `apply` of these documents would change: exit code 0 if nothing, 1 if something, more if it failed.

    Defaults are in place on both sides. Colours are for terminals, and not if NO_COLOR is set.

    \b
    Examples:
      tortie diff -f policy.yaml
      tortie diff -f policies/ -R
    """
    if not names:
        raise click.UsageError("nothing to compare: give documents with -f FILE, -f FOLDER or -f -")
    files = read_files(names, recursive=recursive, may_be_empty=skip_empty)
    options = WriteOptions(namespace=namespace, dry_run=True, skip_empty=skip_empty, documents=True)
    try:
        answer = choose(choice()).write(Verb.APPLY, files, options)
    except Failure as error:
        if error.code.exit_code != DIFFERS:
            raise
        failure(error)
        return TROUBLE
    is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = [line for change in answer["changes"] for line in _difference(change)]
    for line in lines:
        sys.stdout.write((_colored(printable(line)) if is_colored else printable(line)) + "\n")
    return DIFFERS if lines else 0


def _difference(change: Change) -> Iterator[str]:
    name = named(change)
    before, after = _lines(change.get("before")), _lines(change.get("after"))
    return difflib.unified_diff(before, after, f"stored/{name}", f"given/{name}", lineterm="")


def _lines(document: Document | None) -> list[str]:
    """The document as YAML, without what the author does not say."""
    if document is None:
        return []
    from tortie.apps.yamlout import to_yaml

    metadata = metadata_of(document)
    said = {key: value for key, value in metadata.items() if key not in _SERVER_SET}
    return to_yaml({**document, "metadata": said}).splitlines()


def _colored(line: str) -> str:
    color = next((code for start, code in _COLORS.items() if line.startswith(start)), "")
    return f"{color}{line}{_PLAIN}" if color else line
