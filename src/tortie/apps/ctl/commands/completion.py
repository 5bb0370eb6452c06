"""`tortie completion`."""

import click

from tortie.apps.ctl.show import out

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_TORTIE_COMPLETE"
"""How the script asks this command for words; click looks at it before anything else."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def command(shell: str) -> None:
    """Print the script that completes commands, options, kinds and names in this SHELL: bash, zsh or fish.

    \b
    Examples:
      tortie completion bash > /etc/bash_completion.d/tortie
      tortie completion fish > ~/.config/fish/completions/tortie.fish
    """
    from click.shell_completion import get_completion_class

    from tortie.apps.ctl.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    found = completion(cli, {}, "tortie", VARIABLE)
    # Not source(): for bash it starts one, to look at its version; every bash since 4.4 will do.
    out((found.source_template % found.source_vars()).strip())
