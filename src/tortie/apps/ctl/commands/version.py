"""`tortie version`."""

import click

from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.show import out, out_json
from tortie.apps.defaults import SOCKET
from tortie.apps.version import VERSION


@click.command()
@with_target
@click.option("--client", is_flag=True, help="Ask no agent.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(client: bool, output: str) -> None:
    """Show the versions of this command and of the agent.

    \b
    Examples:
      tortie version
      tortie version --client
    """
    agent = None
    path = choice().socket or SOCKET
    if not client:
        from tortie.apps.ctl.remote import SocketTarget
        from tortie.apps.ctl.wire import answers

        if answers(path):
            agent = SocketTarget(path).version()["version"]
    if output == "json":
        out_json({"client": VERSION, "agent": agent})
        return
    out(f"Client version:   {VERSION}")
    if not client:
        out(f"Agent version:    {agent or f'none answers at {path}'}")
