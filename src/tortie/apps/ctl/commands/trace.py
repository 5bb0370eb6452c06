"""`tortie trace`."""

from typing import Any

import click

from tortie.apps.ctl.options import choice, filenames, past, recursive, with_target
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.ctl.target import choose
from tortie.apps.files import read_files
from tortie.apps.trace.answers import TraceQuery

RELATIONS = ("new", "established", "related", "invalid")
"""Values of `model.conntrack.Relation`, which would take too long to import; a test compares."""


@click.command()
@with_target
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("protocol", metavar="PROTO[/PORT]")
@click.option("--in", "arrives", metavar="IF", help="The packet arrives at this interface.")
@click.option(
    "--out", "leaves", metavar="IF", help="It leaves by this one: from a local process, or with --in passed on."
)
@click.option("--sport", "source_port", type=click.IntRange(0, 65535), help="Source port (default: 40000).")
@click.option("--flags", metavar="LETTERS", help="TCP flags, letters of FSRPAU (default: S, of a new connection).")
@click.option("--established", "is_established", is_flag=True, help="The packet belongs to a connection that is known.")
@click.option(
    "--relation",
    type=click.Choice(RELATIONS, case_sensitive=False),
    help="What it is to connections, whatever its flags.",
)
@filenames
@recursive
@past
@click.option("-v", "--all", "everything", is_flag=True, help="Rules that do not match too, each with the reason.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(names: tuple[str, ...], recursive: bool, output: str, **asked: Any) -> int:
    """Explain what happens to a packet: verdict, and every class of policy and rule on its way.

    The packet is the first one of a new connection, unless --flags, --established or --relation say otherwise. Without
    --in and --out, addresses and routes tell its way, and the answer says what was chosen.

    With an agent also asks the installed program; exit code 1 if the two disagree. With -f, what would happen if these
    documents were applied; with --revision or --at, what happened when the datastore was in that state.

    \b
    Examples:
      tortie trace 203.0.113.9 10.0.0.5 tcp/6379 --all --at 2026-01-31T15:00Z
      tortie trace 10.1.0.9 10.2.0.5 tcp/443 --in eth0 --out eth1 -f policy.yaml
    """
    from tortie.apps.ctl.traced import complaint, lines

    if asked["is_established"] and asked["relation"] is not None:
        raise click.UsageError("--established and --relation say the same thing twice; give one of them")
    query: TraceQuery = {**asked, "files": read_files(names, recursive=recursive)}  # type: ignore[typeddict-item]
    answer = choose(choice()).trace(query)
    if output == "json":
        out_json(answer)
    else:
        out("\n".join(lines(answer, tells_all=query["everything"])))
    if wrong := complaint(answer):
        err(f"tortie: {wrong}")
    return int(wrong is not None)
