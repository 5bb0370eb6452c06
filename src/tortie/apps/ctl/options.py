"""Options that several commands share. Each may stand before or after the command."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tortie.apps.ctl.completing import files
from tortie.apps.ctl.target import Choice

F = TypeVar("F", bound=Callable[..., Any])


def with_target(command: F) -> F:
    """Adds --datastore, --socket and --node as one argument `choice`."""

    def chosen(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        given: dict[str, str | None] = ctx.ensure_object(dict)
        if value is not None and param.name:
            given[param.name] = value
        return value

    for name, metavar, text in (
        ("node", "NAME", "This host's name in documents (default: the host name)."),
        ("socket", "PATH", "An agent's socket; wins over --datastore."),
        ("datastore", "PATH", "A datastore file."),
    ):
        option = click.option(f"--{name}", metavar=metavar, help=text, callback=chosen, expose_value=False)
        command = option(command)
    return command


def choice() -> Choice:
    """What the user said, before and after the command and in the environment."""
    given: dict[str, str | None] = click.get_current_context().ensure_object(dict)
    return Choice(datastore=given.get("datastore"), socket=given.get("socket"), node=given.get("node"))


filenames = click.option(
    "-f",
    "--filename",
    "names",
    multiple=True,
    metavar="FILE|DIR|-",
    help="Documents; repeatable.",
    shell_complete=files,
)
recursive = click.option("-R", "--recursive", is_flag=True, help="Sub-folders of a folder too.")
no_wait = click.option("--no-wait", is_flag=True, help="Do not wait until the change is enforced.")

ESTABLISHED = ("keep", "recheck", "kill")
"""Values of `dataplane.driver.Established`, which would take too long to import; a test compares."""
established = click.option(
    "--established",
    type=click.Choice(ESTABLISHED),
    default="keep",
    help="Connections that exist: keep them (default), recheck them by the new policy, or kill them all.",
)


def check_waits(established: str, *, no_wait: bool) -> None:
    """Raises: a usage error where connections are to be judged by policy that is not waited for."""
    if no_wait and established != "keep":
        raise click.UsageError(
            f"--established={established} has to wait until the change is enforced; leave out --no-wait"
        )
