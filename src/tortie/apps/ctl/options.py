"""Options that several commands share. Each may stand before or after the command."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tortie.apps.ctl.completing import PATH, files
from tortie.apps.ctl.said import WRITING, Writing
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
        kind = PATH if metavar == "PATH" else None
        option = click.option(f"--{name}", type=kind, metavar=metavar, help=text, callback=chosen, expose_value=False)
        command = option(command)
    return command


def choice() -> Choice:
    """What the user said, before and after the command and in the environment."""
    given: dict[str, str | None] = click.get_current_context().ensure_object(dict)
    for name, value in given.items():
        if not value:
            text = f"--{name} without a value (a variable that is not set?); leave it out, or say which"
            raise click.UsageError(text)
    return Choice(datastore=given.get("datastore"), socket=given.get("socket"), node=given.get("node"))


def past(command: F) -> F:
    """Adds --revision and --at (arguments `revision` and `at`): an older state of the datastore."""
    moment = "As the datastore was then, such as 2026-01-31T15:04Z (no zone: UTC)."
    number = "As the datastore was at revision N."
    command = click.option("--at", metavar="TIME", help=moment)(command)
    return click.option("--revision", type=click.IntRange(0), metavar="N", help=number)(command)


ESTABLISHED = ("keep", "recheck", "kill")
"""Values of `dataplane.driver.Established`, which would take too long to import; a test compares."""
DRY_RUNS = ("none", "client", "server")


def _option(*names: str, **settings: Any) -> tuple[Callable[[F], F], Callable[[F], F]]:
    """An option as an argument of the command, and as a part of its `Writing`."""

    def kept(ctx: click.Context, param: click.Parameter, value: object) -> object:
        ctx.meta.setdefault(WRITING, {})[param.name] = value
        return value

    return click.option(*names, **settings), click.option(*names, callback=kept, expose_value=False, **settings)


filenames, _filenames = _option(
    "-f",
    "--filename",
    "names",
    multiple=True,
    metavar="FILE|DIR|-",
    help="Documents; repeatable.",
    shell_complete=files,
)
recursive, _recursive = _option("-R", "--recursive", is_flag=True, help="Sub-folders of a folder too.")
skip_empty, _skip_empty = _option("--skip-empty", is_flag=True, help="Files without any document are no failure.")
namespace, _namespace = _option(
    "-n", "--namespace", default="", metavar="NAME", help="The namespace (default: `default`, for kinds that have one)."
)
_, _no_wait = _option("--no-wait", is_flag=True, help="Do not wait until the change is enforced.")
_, _established = _option(
    "--established",
    type=click.Choice(ESTABLISHED),
    default="keep",
    help="Connections that exist: keep them (default), recheck them by the new policy, or kill them all.",
)
_, _dry_run = _option(
    "--dry-run",
    type=click.Choice(DRY_RUNS),
    default="none",
    metavar="[=client|server]",
    help="Change nothing: server (also without a value) says what would change in the datastore, "
    "client only checks the documents.",
)
_, _output = _option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")


class WritingCommand(click.Command):
    """A command with `--dry-run`, whose value may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click would take the next argument for the value of an option whose value may be left out."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(
            ctx, [f"{arg}=server" if arg == "--dry-run" else arg for arg in args[:end]] + args[end:]
        )


def with_writing(command: F) -> F:
    """Adds the target, and the options that every command that writes has; `writing` has what they say."""
    for option in (_output, _established, _no_wait, _dry_run, _namespace):
        command = option(command)
    return with_target(command)


def with_files(command: F) -> F:
    """Adds -f, -R and --skip-empty to a command that writes."""
    for option in (_skip_empty, _recursive, _filenames):
        command = option(command)
    return command


def writing() -> Writing:
    """What the user said. Raises: a usage error where connections are to be judged by policy not waited for."""
    found = Writing(**click.get_current_context().meta[WRITING])
    if found.no_wait and found.established != "keep":
        text = f"--established={found.established} has to wait until the change is enforced; leave out --no-wait"
        raise click.UsageError(text)
    return found
