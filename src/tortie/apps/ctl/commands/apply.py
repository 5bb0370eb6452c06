"""`tortie apply`."""

import click

from tortie.apps.ctl.options import WritingCommand, with_files, with_writing, writing
from tortie.apps.ctl.writes import carry_out, given_files
from tortie.apps.requests import Verb


@click.command(cls=WritingCommand)
@with_writing
@with_files
def command() -> int:
    """Create or change resources from documents: all of them, or none where one is wrong.

    Waits until the agent that serves the datastore has programmed the change, and says what is enforced. What a
    document does not say is as by default afterwards, labels and annotations too.

    \b
    Examples:
      tortie apply -f policy.yaml
      tortie apply -f policies/ -R --established=recheck
    """
    said = writing()
    return carry_out(Verb.APPLY, given_files("apply", said), said)
