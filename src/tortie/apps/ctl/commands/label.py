"""`tortie label`."""

import click

from tortie.apps.answers import Document
from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.fetching import as_file, fetch
from tortie.apps.ctl.options import WritingCommand, with_writing, writing
from tortie.apps.ctl.words import asked_for_one
from tortie.apps.ctl.writes import ask, show_written
from tortie.apps.documents import metadata_of
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import Verb

ATTEMPTS = 5


@click.command(cls=WritingCommand)
@with_writing
@click.argument("kind", shell_complete=kind_words)
@click.argument("name", required=False, metavar="NAME", shell_complete=resource_names)
@click.argument("labels", nargs=-1, metavar="KEY=VALUE|KEY...")
@click.option("--overwrite", is_flag=True, help="Change a label that has another value.")
@click.option("--remove", is_flag=True, help="Remove the labels of these keys.")
def command(kind: str, name: str | None, labels: tuple[str, ...], overwrite: bool, remove: bool) -> int:
    """Set labels of one resource, or remove them: with --remove, or as KEY-.

    \b
    Examples:
      tortie label hep node2-eth0 role=web zone=a --overwrite
      tortie label hep node2-eth0 role --remove
    """
    said = writing()
    (kind, (name,)), labels = asked_for_one((kind, name, *labels), "label")
    if not labels:
        raise click.UsageError("which label? give KEY=VALUE, or KEY- to remove it")
    wanted = _wanted(labels, remove=remove)
    for attempt in range(ATTEMPTS):
        fetched = fetch(kind, [name], said.namespace)
        document, told = _labelled(fetched.items[0], wanted, f"{fetched.kind} {name}", overwrite=overwrite)
        try:
            answer = ask(Verb.REPLACE, [as_file(document, f"{fetched.kind}({name}) as labelled")], said)
        except Failure as failure:
            # Somebody else changed the resource meanwhile, which its labels hardly mind.
            if failure.code is not Code.CONFLICT or attempt == ATTEMPTS - 1:
                raise
        else:
            return show_written(answer, "labelled", said, told)
    raise AssertionError("the last attempt returns or raises")


def _wanted(labels: tuple[str, ...], *, remove: bool) -> dict[str, str | None]:
    """Value by key; None: to be removed."""
    wanted: dict[str, str | None] = {}
    for text in labels:
        key, equals, value = text.partition("=")
        if remove and not equals:
            found: str | None = None
        elif not remove and not equals and key.endswith("-"):
            key, found = key[:-1], None
        elif equals and not remove:
            found = value
        else:
            remedy = "give keys alone to --remove" if remove else "write key=value, or key- to remove it"
            raise click.UsageError(f"invalid label {text[:80]}; {remedy}")
        if not key:
            raise click.UsageError(f"invalid label {text[:80]!r}: it has no key; write key=value, or key- to remove it")
        if key in wanted:
            raise click.UsageError(f"invalid label {text[:80]}; give each key once")
        wanted[key] = found
    return wanted


def _labelled(
    document: Document, wanted: dict[str, str | None], whose: str, *, overwrite: bool
) -> tuple[Document, list[str]]:
    """The document with its new labels, and what to say of each. Raises: Failure."""
    metadata = metadata_of(document)
    labels: dict[str, object] = dict(metadata.get("labels") or {})
    told = []
    for key, value in wanted.items():
        if value is None:
            if labels.pop(key, None) is None:
                text = f"cannot remove label of {whose}, key {key} does not exist; nothing was changed"
                raise Failure(Code.FAILED, text)
            told.append(f"Successfully removed label {key} from {whose}")
            continue
        if key in labels and labels[key] != value and not overwrite:
            text = f"failed to update label of {whose}, key {key} is already present. please use '--overwrite'"
            raise Failure(Code.FAILED, f"{text} to set a new value; nothing was changed")
        told.append(f"Successfully {'updated' if key in labels else 'set'} label {key} on {whose}")
        labels[key] = value
    return {**document, "metadata": {**metadata, "labels": labels}}, told
