"""`tortie explain-schema`."""

import click

from tortie.apps.ctl.completing import field_paths
from tortie.apps.ctl.show import out


@click.command()
@click.argument("field", metavar="KIND[.FIELD]...", shell_complete=field_paths)
@click.option("--recursive", is_flag=True, help="All fields below, without their descriptions.")
def command(field: str, recursive: bool) -> None:
    """Show what can be written in documents of a KIND, or in one of its fields.

    \b
    Examples:
      tortie explain-schema gnp
      tortie explain-schema gnp.spec.ingress.source
    """
    from tortie.apps.ctl.explaining import explain
    from tortie.apps.kinds import find_kind

    word, *path = field.split(".")
    for line in explain(find_kind(word), path, is_recursive=recursive):
        out(line)
