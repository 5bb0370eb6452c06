"""`tortie create`."""

import click

from tortie.apps.ctl.options import WritingCommand, with_files, with_writing, writing
from tortie.apps.ctl.writes import carry_out, given_files
from tortie.apps.requests import Verb


@click.command(cls=WritingCommand)
@with_writing
@with_files
@click.option("--skip-exists", is_flag=True, help="A resource that exists is left as it is, and no failure.")
def command(skip_exists: bool) -> int:
    """Create resources from documents: all of them, or none where one exists already or is wrong.

    \b
    Examples:
      tortie create -f policy.yaml
      tortie create -f policies/ -R --skip-exists
    """
    said = writing()
    return carry_out(Verb.CREATE, given_files("create", said), said, skip=skip_exists)
