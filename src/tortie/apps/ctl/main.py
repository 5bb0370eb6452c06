"""The command `tortie`: options, laziness and exit codes; what a command does is in its file in `commands`.

Nothing heavy is imported here: a command on an agent's socket needs click, socket and json, and starts in 50 ms.
"""

import importlib
import os
import sys
from contextlib import suppress
from keyword import iskeyword
from typing import TYPE_CHECKING

import click

from tortie.apps.failure import Code, Failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "agent": "Run the agent of this host, or remove what it left.",
    "apply": "Create or change resources from documents.",
    "assert": "Prove what holds for all packets, or show one for which it does not.",
    "completion": "Print the script that completes words in a shell.",
    "config": "Explain where settings get their values from.",
    "counters": "Show how many packets met each rule and reason.",
    "create": "Create resources from documents.",
    "delete": "Remove resources.",
    "describe": "Show resources with all that concerns them.",
    "diff": "Show what apply would change.",
    "edit": "Change resources in an editor.",
    "explain": "Explain who can reach what, and why.",
    "explain-schema": "Show what can be written in documents.",
    "get": "Show resources.",
    "help": "Show the help of a command.",
    "label": "Set or remove labels of a resource.",
    "lint": "Find what is valid and hardly means what was meant.",
    "man": "Write the manual pages into a folder.",
    "patch": "Change some fields of a resource.",
    "replace": "Replace resources that exist.",
    "schema": "Print schemas of documents, for editors and Kubernetes.",
    "selector": "Try label selectors.",
    "status": "Show what is enforced on this host, and what is not.",
    "test": "Try packets on policy: unit tests in files.",
    "trace": "Explain what happens to a packet.",
    "validate": "Check documents without touching anything.",
    "version": "Show the versions of this command and of the agent.",
}


PATH = click.Path(readable=False)
"""A name that shells complete with those of files; whether it can be read is told by who reads it."""
LONGEST = 400
"""Characters of a usage error."""


class Commands(click.Group):
    """Commands by name, imported when called; the list of them needs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            return None
        module = name.replace("-", "_") + ("_" if iskeyword(name) else "")
        command: click.Command = importlib.import_module(f"tortie.apps.ctl.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name, or a usage error that says which was probably meant."""
        if ctx.resilient_parsing and args[0] not in COMMANDS:
            return None, None, []  # a word is being completed: there is nothing to say
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no such command {args[0][:40]!r}; {_meant(args[0])}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The commands that begin so, and options."""
        from click.shell_completion import CompletionItem  # only a shell asks

        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _meant(word: str) -> str:
    """What was probably meant by a word that is no command."""
    import difflib  # only a mistake needs these

    from tortie.apps.ctl.foreign import COMMANDS as FOREIGN

    if word in FOREIGN:
        return FOREIGN[word]
    near = difflib.get_close_matches(word, COMMANDS, 1)
    return f"did you mean {near[0]!r}?" if near else "see tortie --help"


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tortie.apps.version import VERSION

        click.echo(f"tortie {VERSION}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--datastore",
    envvar="TORTIE_DATASTORE",
    type=PATH,
    metavar="PATH",
    help="A datastore file instead of an agent.",
)
@click.option(
    "--socket", envvar="TORTIE_SOCKET", type=PATH, metavar="PATH", help="An agent's socket; wins over --datastore."
)
@click.option(
    "--node", envvar="TORTIE_NODE", metavar="NAME", help="This host's name in documents (default: the host name)."
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version of this command and exit.",
)
@click.pass_context
def cli(ctx: click.Context, datastore: str | None, socket: str | None, node: str | None) -> None:
    """Protect and accelerate this host with projectcalico.org/v3 policy.

    Commands go to the given --socket, else to the given --datastore, else to the agent of this host, else to its
    datastore file.

    \b
    Examples:
      tortie apply -f policy.yaml
      tortie trace 203.0.113.9 10.0.0.5 tcp/6379 --in eth0
    """
    # Environment and options before the command; those after it are put over them by `options.with_target`.
    given = {"datastore": datastore, "socket": socket, "node": node}
    ctx.obj = {name: value for name, value in given.items() if value is not None}


def unwritten(error: OSError) -> Failure:
    """The failure of who cannot print; nothing more is tried there, so that this can be said on stderr."""
    sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    return Failure(Code.FAILED, f"standard output: {error.strerror}; what was printed is not all there")


def run(arguments: list[str]) -> int:
    """The exit code."""
    try:
        code: object = cli.main(arguments, prog_name="tortie", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        return _usage(error)
    except Failure as error:
        return failed(error)
    except BrokenPipeError:
        raise
    except Exception as error:
        return failed(_understood(error))
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return Code.USAGE.exit_code
    text = " ".join((_told_otherwise(error) or error.format_message()).split()).rstrip(".")
    if len(text) > LONGEST:  # a whole document where a word was expected
        text = f"{text[:LONGEST]}..."
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = ""
    if context is not None and not text.endswith("?") and "see " not in text:
        hint = f"; see {context.command_path} --help"
    return failed(Failure(Code.USAGE, text + hint))


def _told_otherwise(error: click.ClickException) -> str | None:
    """A better text than click's: for what other tools have, and for documents that are given without -f."""
    if isinstance(error, click.NoSuchOption):
        from tortie.apps.ctl.foreign import OPTIONS

        near = (
            f"did you mean {' or '.join(error.possibilities)}?" if error.possibilities else "it is none of this command"
        )
        return f"no such option {error.option_name[:60]!r}; {OPTIONS.get(error.option_name, near)}"
    text = error.format_message()
    word = text.partition("unexpected extra argument (")[2].rstrip(").")[:60]
    if word in ("none", "client", "server"):
        return f"{text.rstrip('.')}; write --dry-run={word}"
    params = error.ctx.command.params if isinstance(error, click.UsageError) and error.ctx else []
    has_files = any("--filename" in param.opts for param in params)
    return f"{text.rstrip('.')}; documents are given with -f {word}" if word and has_files else None


def failed(error: Failure) -> int:
    """Print why; the exit code."""
    from tortie.apps.ctl.show import failure

    with suppress(OSError):  # nobody reads stderr: the exit code has to do
        failure(error)
    return error.code.exit_code


def _understood(error: Exception) -> Failure:
    """The failure that an error of a layer below stands for; the rest is a fault of ours, told without a traceback."""
    from tortie.apps.storefailure import failure_of
    from tortie.kernel.errors import KernelError
    from tortie.store.protocol import StoreError

    match error:
        case StoreError():
            return failure_of(error)
        case KernelError():
            return Failure(Code.FAILED, str(error))
        case OSError(filename=1):  # standard output, see process.py
            return unwritten(error)
    if os.environ.get("TORTIE_DEBUG"):
        raise error
    text = f"internal error: {type(error).__name__}: {error}; please report it (TORTIE_DEBUG=1 shows the traceback)"
    return Failure(Code.FAILED, text)
