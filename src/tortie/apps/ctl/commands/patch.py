"""`tortie patch`."""

from pathlib import Path

import click

from tortie.apps.ctl.completing import PATH, kind_words, resource_names
from tortie.apps.ctl.fetching import as_file, fetch
from tortie.apps.ctl.options import WritingCommand, with_writing, writing
from tortie.apps.ctl.words import asked_for_one
from tortie.apps.ctl.writes import ask, show_written
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import Verb

FORMS = ("strategic", "merge", "json")


@click.command(cls=WritingCommand)
@with_writing
@click.argument("kind", shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="NAME", shell_complete=resource_names)
@click.option("-p", "--patch", "text", metavar="PATCH", help="The patch, as JSON or YAML.")
@click.option("--patch-file", type=PATH, metavar="FILE", help="A file that holds the patch.")
@click.option(
    "-t",
    "--type",
    "form",
    type=click.Choice(FORMS),
    default="strategic",
    help="strategic (default) and merge: lay a document over it, null removes; json: a list of operations (RFC 6902).",
)
def command(kind: str, resources: tuple[str, ...], text: str | None, patch_file: str | None, form: str) -> int:
    """Change some fields of one resource. Lists are replaced as a whole, but by a json patch.

    It is a conflict (exit code 6) if somebody else changes the resource meanwhile.

    \b
    Examples:
      tortie patch gnp web -p '{spec: {order: 20}}'
      tortie patch gnp web --type=json -p '[{"op": "remove", "path": "/spec/ingress/0"}]'
    """
    from tortie.apps.verbs.patching import patched
    from tortie.resources.plain import read_plain
    from tortie.resources.problems import InvalidDocument

    said = writing()
    (kind, (name,)), rest = asked_for_one((kind, *resources), "patch")
    if rest:
        raise click.UsageError("patch changes one resource; give one NAME")
    if (text is None) == (patch_file is None):
        raise click.UsageError("which patch? give either -p PATCH or --patch-file FILE")
    source = "--patch" if patch_file is None else patch_file
    try:
        content = (
            Path(patch_file).read_bytes() if patch_file is not None else str(text).encode(errors="surrogateescape")
        )
        patch = read_plain(content, source)
    except (OSError, ValueError) as error:
        raise Failure(
            Code.USAGE, f"{source}: {getattr(error, 'strerror', None) or error}; give a readable file"
        ) from None
    except InvalidDocument as error:
        raise Failure(Code.INVALID, f"{error}; nothing was changed") from None
    fetched = fetch(kind, [name], said.namespace)
    document = fetched.items[0]
    changed = patched(document, patch, form)
    if fetched.key(changed) != fetched.key(document):
        text = (
            "a patch cannot change apiVersion, kind, name or namespace; create the other resource and delete this one"
        )
        raise Failure(Code.USAGE, text)
    answer = ask(Verb.REPLACE, [as_file(changed, f"{fetched.kind}({name}) as patched")], said)
    return show_written(answer, "patched", said, [f"Successfully patched 1 '{fetched.kind}' resource"])
