"""`tortie trace`."""

import click

from tortie.apps.answers import TraceAnswer, TraceQuery
from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import choice, filenames, recursive, with_target
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.ctl.target import choose
from tortie.apps.sentences import place


@click.command()
@with_target
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("protocol", metavar="PROTO[/PORT]")
@click.option("--in", "arrives", metavar="IF", help="The packet arrives at this interface.")
@click.option("--out", "leaves", metavar="IF", help="A local process sends the packet out of this interface.")
@click.option("--sport", type=click.IntRange(0, 65535), help="Source port (default: 40000).")
@click.option("--flags", metavar="LETTERS", help="TCP flags, letters of FSRPAU (default: S, of a new connection).")
@click.option("--established", is_flag=True, help="The packet belongs to a connection that is known.")
@filenames
@recursive
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(
    source: str,
    destination: str,
    protocol: str,
    arrives: str | None,
    leaves: str | None,
    sport: int | None,
    flags: str | None,
    established: bool,
    names: tuple[str, ...],
    recursive: bool,
    output: str,
) -> int:
    """Explain what happens to a packet: verdict, stage, policy and rule.

    The packet is the first one of a new connection, unless --flags or --established say otherwise.

    With an agent also asks the installed program; exit code 1 if the two disagree. With -f, what would happen if these
    documents were applied.

    \b
    Examples:
      tortie trace 203.0.113.9 10.0.0.5 tcp/6379 --in eth0
      tortie trace 10.0.0.5 203.0.113.9 tcp/40000 --sport 6379 --flags SA --out eth0 -f policy.yaml
    """
    if (arrives is None) == (leaves is None):
        raise click.UsageError("say where: either --in INTERFACE or --out INTERFACE")
    query: TraceQuery = {
        "source": source,
        "destination": destination,
        "protocol": protocol,
        "source_port": sport,
        "flags": flags,
        "is_established": established,
        "interface": arrives or leaves or "",
        "direction": "ingress" if arrives is not None else "egress",
        "files": read_files(names, recursive=recursive),
    }
    answer = choose(choice()).trace(query)
    if output == "json":
        out_json(answer)
    else:
        out("\n".join(explain(answer)))
    if wrong := complaint(answer):
        err(f"tortie: {wrong}")
    return int(wrong is not None)


def complaint(answer: TraceAnswer) -> str | None:
    """What is to be said where the installed program decides otherwise than the documents; None where it does not."""
    if answer["agrees"] is not False:
        return None
    if answer["installed_note"]:
        return "the installed program differs from the newest policy, because that is refused; see `tortie status`"
    return "THE INSTALLED PROGRAM DISAGREES with the policy; please report it, with `tortie status -o json`"


def explain(answer: TraceAnswer) -> list[str]:
    """The packet's way in lines."""
    where = f"endpoint {answer['endpoint']}" if answer["endpoint"] else "no host endpoint"
    lines = [f"{answer['packet']}   {answer['direction']} {answer['interface']}, {where}"]
    lines += [
        f"  {step['stage']}: {place(step['tier'], step['policy'], step['rule'])}: {step['outcome']}"
        for step in answer["steps"]
        if step["rule"] is not None
    ]
    lines.append(f"  verdict    {answer['verdict'].upper()}  {answer['because']}")
    lines.append(f"  tracked    {_tracked(answer)}")
    installed = answer["installed"]
    if installed is None:
        lines.append(f"  installed  not asked: {answer['installed_note']}")
    else:
        agrees = {True: "agrees", None: "not comparable", False: "DISAGREES"}[answer["agrees"]]
        if agrees == "DISAGREES" and answer["installed_note"]:
            agrees = "differs"
        lines.append(f"  installed  {installed['verdict'].upper()}  {installed['because']}: {agrees}")
        if answer["installed_note"]:
            lines.append(f"             {answer['installed_note']}")
    if answer["hint"]:
        lines.append(f"  hint: {answer['hint']}")
    return lines


def _tracked(answer: TraceAnswer) -> str:
    if answer["verdict"] == "deny":
        is_early = answer["stage"] == "untracked"
        return "no: dropped before connection tracking" if is_early else "no: what is denied opens no connection"
    if not answer["is_tracked"]:
        return "no: connection tracking is bypassed, so the answer needs a rule of its own"
    return "yes" if answer["relation"] != "new" else "yes: its answers belong to the same connection"
