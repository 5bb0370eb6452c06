"""`tortie explain-schema`."""

import re

import click

from tortie.apps.ctl.completing import field_paths
from tortie.apps.ctl.show import out, table


@click.command()
@click.argument("field", required=False, metavar="[KIND[.FIELD]...]", shell_complete=field_paths)
@click.option("--recursive", is_flag=True, help="All fields below, without their descriptions.")
def command(field: str | None, recursive: bool) -> None:
    """Show what can be written in documents of a KIND, or in one of its FIELDs; without KIND, which kinds there are.

    A FIELD can be the path of a message, with its numbers: gnp.spec.ingress[0].source.

    \b
    Examples:
      tortie explain-schema gnp
      tortie explain-schema gnp.spec.ingress.source
    """
    from tortie.apps.ctl.fields import explain, kinds
    from tortie.apps.kinds import find_kind

    if field is None:
        out(table(kinds()))
        return
    word, *path = re.sub(r"\[[^]]*\]", "", field).split(".")
    for line in explain(find_kind(word), path, is_recursive=recursive):
        out(line)
