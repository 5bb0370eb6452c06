"""`tortie status`."""

import click

from tortie.apps.answers import RuleCountAnswer, StatusAnswer
from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.show import not_enforced, out, out_json, table
from tortie.apps.ctl.target import choose

TOP = 10
"""Rules with the most packets."""


@click.command()
@with_target
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(output: str) -> int:
    """Show what is enforced on this host, and what is not; exit code 1 if something that should be is not.

    \b
    Examples:
      tortie status
      tortie status -o json
    """
    answer = choose(choice()).status()
    if output == "json":
        out_json(answer)
    else:
        out(screen(answer))
    return int(bool(troubles(answer)))


def troubles(answer: StatusAnswer) -> list[str]:
    """Everything that keeps the newest documents from being enforced."""
    lines = not_enforced(answer["enforced"])
    if answer["datastore_problem"]:
        lines.append(f"datastore: {answer['datastore_problem']}")
    lines += [f"{document}: {problem}" for document, problem in answer["enforced"]["invalid"].items()]
    return lines


def screen(answer: StatusAnswer) -> str:
    """One screen of text."""
    agent, now = answer["agent"], answer["enforced"]
    behind = "" if now["is_current"] else f", behind: {answer['datastore_revision']} is stored"
    lines = [
        f"Agent       {agent['version']}, pid {agent['pid']}, up {_span(agent['uptime_s'])}, "
        f"{agent['memory_mb']:.0f} MB at most",
        f"Node        {agent['node']}   dataplane {agent['dataplane']}",
        f"Datastore   {agent['datastore']} at revision {answer['datastore_revision']}",
        f"Enforced    revision {now['revision']}{behind}",
    ]
    lines += _interfaces(answer)
    lines += _endpoints(answer)
    lines += _section("Not enforced", troubles(answer))
    lines += _section("Policies", [f"{policy}: {problem}" for policy, problem in now["policies"].items()])
    lines += _hits(answer)
    lines += _section("Note", answer["notes"])
    return "\n".join(lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _interfaces(answer: StatusAnswer) -> list[str]:
    rows = [
        [
            one["interface"],
            one["endpoint"],
            "yes" if one["is_enforced"] else "NO",
            one["acceleration"],
            f"{one['program_name']} (id {one['program_id']})" if one["program_id"] is not None else "-",
            one["reason"] or "-",
        ]
        for one in answer["enforced"]["interfaces"]
    ]
    heading = ["INTERFACE", "ENDPOINT", "ENFORCED", "WHERE", "PROGRAM", "REASON"]
    return ["", table({"heading": heading, "rows": rows})] if rows else ["", "No interface has a host endpoint."]


def _endpoints(answer: StatusAnswer) -> list[str]:
    found = [one for one in answer["enforced"]["endpoints"] if one["problem"]]
    return _section("Endpoints", [f"HostEndpoint({one['endpoint']}): {one['problem']}" for one in found])


def _hits(answer: StatusAnswer) -> list[str]:
    """The rules that met most packets, then the reasons of the rest."""
    counted = sorted(answer["counters"]["rules"], key=lambda one: -one["packets"])
    rows = [
        [str(one["packets"]), one["interface"], one["direction"], _met(one)] for one in counted[:TOP] if one["packets"]
    ]
    rest = sorted(answer["counters"]["reasons"], key=lambda one: -one["packets"])
    rows += [[str(one["packets"]), one["interface"], one["direction"], one["reason"]] for one in rest if one["packets"]]
    return ["", table({"heading": ["PACKETS", "INTERFACE", "DIRECTION", "MET"], "rows": rows})] if rows else []


def _met(count: RuleCountAnswer) -> str:
    """The rule, or what decided without being one."""
    if count["rule"] is None:
        return f"end of {count['policy']}"
    return f"{count['policy']} rule {count['rule']}" + (f" ({count['tier']})" if count["tier"] else "")


def _span(seconds: float) -> str:
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
