"""`tortie edit`."""

import click

from tortie.apps.answers import Document
from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.fetching import as_file, fetch
from tortie.apps.ctl.options import WritingCommand, with_writing, writing
from tortie.apps.ctl.show import out
from tortie.apps.ctl.words import asked_of_one_kind
from tortie.apps.ctl.writes import ask, show_written
from tortie.apps.requests import Verb


@click.command(cls=WritingCommand)
@with_writing
@click.argument("kind", shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="NAME...", shell_complete=resource_names)
def command(kind: str, resources: tuple[str, ...]) -> int:
    """Change resources in an editor: $VISUAL, else $EDITOR, else vi.

    What cannot be stored comes back into the editor with what is wrong as comments. It is a conflict (exit code 6) if
    somebody else changes the resource meanwhile. Whatever goes wrong, the file with your changes stays.

    \b
    Examples:
      tortie edit gnp web
      tortie edit hep node2-eth0 --dry-run
    """
    from tortie.apps.ctl.editing import edit, run_editor

    said = writing()
    kind, resources = asked_of_one_kind((kind, *resources), "edit")
    if not resources:
        raise click.UsageError(f"edit which {kind[:40]}? give at least one NAME")

    def write(documents: list[Document], source: str) -> int:
        files = [as_file(one, source) for one in documents]
        return show_written(ask(Verb.REPLACE, files, said), "edited", said)

    code = edit(fetch(kind, list(resources), said.namespace), write, run_editor)
    if code is None:
        out("Nothing was changed")
        return 0
    return code
