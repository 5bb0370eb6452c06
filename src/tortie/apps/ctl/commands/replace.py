"""`tortie replace`."""

import click

from tortie.apps.ctl.options import WritingCommand, with_files, with_writing, writing
from tortie.apps.ctl.writes import carry_out, given_files
from tortie.apps.requests import Verb


@click.command(cls=WritingCommand)
@with_writing
@with_files
def command() -> int:
    """Replace resources that exist by documents: all of them, or none where one does not exist or is wrong.

    \b
    Examples:
      tortie replace -f policy.yaml
      tortie get gnp web -o yaml | sed 's/order: 10/order: 20/' | tortie replace -f -
    """
    said = writing()
    return carry_out(Verb.REPLACE, given_files("replace", said), said)
