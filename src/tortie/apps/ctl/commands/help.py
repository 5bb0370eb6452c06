"""`tortie help`."""

import click

from tortie.apps.ctl.show import out


@click.command()
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a COMMAND: what its option --help shows.

    \b
    Examples:
      tortie help get
      tortie help selector test
    """
    root = ctx.find_root()
    found, context = root.command, root
    for word in words:
        inner = found.get_command(context, word) if isinstance(found, click.Group) else None
        if inner is None:
            raise click.UsageError(f"no such command {' '.join(words)[:60]!r}; see tortie help")
        found, context = inner, click.Context(inner, info_name=word, parent=context)
    out(found.get_help(context))
