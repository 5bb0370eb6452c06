"""`tortie trace`."""

import click

from tortie.apps.answers import StepAnswer, TraceAnswer, TraceQuery
from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import choice, filenames, recursive, with_target
from tortie.apps.ctl.show import err, out, out_json
from tortie.apps.ctl.target import choose

MEANING = {
    "not_ip": "no IP packet",
    "malformed": "the headers are cut short or contradict themselves",
    "failsafe": "a failsafe port: untracked policy is skipped",
    "essential_icmpv6": "IPv6 itself needs this packet",
    "no_match": "no untracked rule decides: it goes on as a tracked packet",
    "fragment": "a later fragment whose ports could matter",
    "no_endpoint": "no host endpoint governs this interface",
}


@click.command()
@with_target
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("protocol", metavar="PROTO[/PORT]")
@click.option("--in", "arrives", metavar="IF", help="The packet arrives at this interface.")
@click.option("--out", "leaves", metavar="IF", help="A local process sends the packet out of this interface.")
@click.option("--sport", type=click.IntRange(0, 65535), help="Source port (default: 40000).")
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
    names: tuple[str, ...],
    recursive: bool,
    output: str,
) -> int:
    """Explain what happens to a packet: verdict, stage, policy and rule.

    With an agent also asks the installed program; exit code 1 if the two disagree. With -f, what would happen if these
    documents were applied.

    \b
    Examples:
      tortie trace 203.0.113.9 10.0.0.5 tcp/6379 --in eth0
      tortie trace 10.0.0.5 203.0.113.9 tcp/40000 --sport 6379 --out eth0 -f policy.yaml
    """
    if (arrives is None) == (leaves is None):
        raise click.UsageError("say where: either --in INTERFACE or --out INTERFACE")
    query: TraceQuery = {
        "source": source,
        "destination": destination,
        "protocol": protocol,
        "source_port": sport,
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
    lines += [f"  {answer['stage']}: {_rule(step)}: {step['outcome']}" for step in answer["steps"]]
    because = f"{_rule(answer['rule'])}" if answer["rule"] else MEANING.get(answer["reason"], answer["reason"])
    lines.append(f"  verdict    {answer['verdict'].upper()}  {because}")
    lines.append(f"  tracked    {_tracked(answer)}")
    installed = answer["installed"]
    if installed is None:
        lines.append(f"  installed  not asked: {answer['installed_note']}")
    else:
        agrees = "agrees" if answer["agrees"] else "differs" if answer["installed_note"] else "DISAGREES"
        decided = (
            _rule(installed["rule"]) if installed["rule"] else MEANING.get(installed["reason"], installed["reason"])
        )
        lines.append(f"  installed  {installed['verdict'].upper()}  {decided}: {agrees}")
        if answer["installed_note"]:
            lines.append(f"             {answer['installed_note']}")
    return lines


def _rule(step: StepAnswer) -> str:
    return f"tier {step['tier']}, {step['policy']}, rule {step['rule']}"


def _tracked(answer: TraceAnswer) -> str:
    if answer["verdict"] == "deny":
        return "no: dropped before connection tracking"
    if answer["is_tracked"]:
        return "yes: tracked policy comes next, of which none is enforced yet"
    return "no: connection tracking is bypassed"
