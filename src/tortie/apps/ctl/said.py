"""What options said, for those who act on it: below the commands, and below the options themselves."""

from typing import NamedTuple

import click

WRITING = "tortie.writing"
"""Where in the `meta` of a context the fields of its `Writing` are collected."""


class Writing(NamedTuple):
    """What the options of a command that writes say; without files for one that takes none."""

    namespace: str
    dry_run: str
    no_wait: bool
    established: str
    output: str
    names: tuple[str, ...] = ()
    recursive: bool = False
    skip_empty: bool = False


def namespace_said(ctx: click.Context) -> str:
    """What --namespace says, to any command that has it."""
    return str(ctx.params.get("namespace") or ctx.meta.get(WRITING, {}).get("namespace") or "")
