"""`tortie status`."""

import shutil
import sys
from collections.abc import Sequence

import click

from tortie.apps.agent.answers import (
    ConnectionsAnswer,
    DataplaneAnswer,
    FlowTableAnswer,
    LastChangeAnswer,
    PolicyHitsAnswer,
    StatusAnswer,
)
from tortie.apps.ctl.names import some, span
from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.show import not_enforced, out, out_json, table
from tortie.apps.ctl.target import choose
from tortie.model.dataplane import IPTABLES

POLICIES = 12
"""Policies that are shown where no terminal says how much it holds."""
LEAST_POLICIES = 5
CAUSES = 3
STATES = {
    "enforcing": "enforcing on every interface that has an endpoint",
    "partly": "ENFORCING ON SOME INTERFACES ONLY",
    "open": "open: nothing is enforced",
}


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
        out(screen(answer, lines=shutil.get_terminal_size().lines if sys.stdout.isatty() else None))
    return int(bool(troubles(answer)))


def troubles(answer: StatusAnswer) -> list[str]:
    """Everything that keeps the newest documents from being enforced."""
    lines = not_enforced(answer["enforced"])
    if answer["datastore_problem"]:
        lines.append(f"datastore: {answer['datastore_problem']}")
    lines += [f"{document}: {problem}" for document, problem in answer["enforced"]["invalid"].items()]
    return lines


def screen(answer: StatusAnswer, *, lines: int | None = None) -> str:
    """One screen of text; the list of policies is cut to what a terminal of so many lines holds."""
    now = answer["enforced"]
    before = [*_head(answer), *_interfaces(answer), *_endpoints(answer)]
    after = [
        *_drops(answer),
        *_section("Not enforced", troubles(answer)),
        *_section("Policies with problems", [f"{policy}: {problem}" for policy, problem in now["policies"].items()]),
        *_section("Warnings", answer["warnings"]),
        *_section("Note", answer["notes"]),
    ]
    room = POLICIES
    if lines is not None:
        taken = sum(block.count("\n") + 1 for block in (*before, *after))
        # The prompt, the blank line, the heading and the line that tells of more.
        room = max(LEAST_POLICIES, lines - taken - 4)
    return "\n".join([*before, *_policies(answer["policies"], room), *after])


def _head(answer: StatusAnswer) -> list[str]:
    agent, now = answer["agent"], answer["enforced"]
    behind = "" if now["is_current"] else f", behind: {answer['datastore_revision']} is stored"
    return [
        f"Agent        {agent['version']}, pid {agent['pid']}, up {span(agent['uptime_s'])}, "
        f"{agent['memory_mb']:.0f} MB at most",
        f"Node         {agent['node']}",
        f"Mode         {_mode(answer)}",
        *_lines("Dataplane", _dataplane(answer["dataplane"])),
        f"Datastore    {agent['datastore']} at revision {answer['datastore_revision']}",
        f"Enforced     revision {now['revision']}{behind}",
        *_lines("Last change", _last_change(answer["last_change"])),
        f"Drift        {_drift(answer)}",
        *_lines("Connections", _connections(answer["connections"])),
    ]


def _mode(answer: StatusAnswer) -> str:
    mode = answer["mode"]
    places = ((mode["xdp"], "in XDP"), (mode["tc"], "in tc"), (mode["netfilter"], "in netfilter"))
    where = [f"{count} {place}" for count, place in (*places, (mode["none"], "nowhere")) if count]
    state = STATES.get(mode["state"], mode["state"])
    return f"{answer['agent']['dataplane']}, {state}" + (f" ({', '.join(where)})" if where else "")


def _dataplane(found: DataplaneAnswer) -> list[str]:
    """What was chosen and why, then what this host cannot have, and which variant of iptables it has."""
    beside = f"; {', '.join(found['leaving'])} still enforces beside it" if found["leaving"] else ""
    because = f", because {found['because']}" if found["because"] else ""
    return [
        f"{found['name']}{because}{beside}",
        *(f"not {one['name']}: {one['why']}" for one in found["found"] if not one["can_be_had"]),
        *(f"iptables is {one['why']}" for one in found["found"] if one["can_be_had"] and one["name"] == IPTABLES),
    ]


def _lines(title: str, lines: list[str]) -> list[str]:
    """What needs more than one line, under one title."""
    return [f"{'' if number else title:<13}{line}" for number, line in enumerate(lines)]


def _last_change(change: LastChangeAnswer | None) -> list[str]:
    if change is None:
        return ["none yet"]
    where = f" on {some(change['interfaces'], CAUSES)}" if change["interfaces"] else ""
    unfinished = "" if change["is_complete"] else ", NOT COMPLETE"
    causes = some(change["causes"], CAUSES, more=change["more"]) or "a new attempt"
    when = f"{span(change['ago_s'])} ago ({change['at']}), in {change['latency_ms']:.1f} ms"
    return [f"revision {change['revision']}{where}, {when}{unfinished}", causes]


def _drift(answer: StatusAnswer) -> str:
    drift = answer["drift"]
    if not drift["latest"]:
        return "none"
    last = drift["latest"][0]
    times = "once" if drift["times"] == 1 else f"{drift['times']} times"
    return f"repaired {times}, last {span(last['ago_s'])} ago ({last['at']}): {some(last['what'], CAUSES)}"


def _connections(found: ConnectionsAnswer | None) -> list[str]:
    if found is None or not found["tables"]:
        return ["unknown" if found is None else "no table yet"]
    unstored = f"{found['unstored']:,} times a flow did not fit" if found["unstored"] else "every flow had room"
    parts = [_fill(one) for one in found["tables"]]
    parts.append(f"{found['taken_over']:,} taken over, {found['expired']:,} expired, {unstored}")
    return parts


def _fill(one: FlowTableAnswer) -> str:
    return (
        f"IPv{one['version']}: {one['established']:,} of {one['established_size']:,} established "
        f"({one['established_percent']:.0f} %), {one['opening']:,} of {one['opening_size']:,} opening "
        f"({one['opening_percent']:.0f} %)"
    )


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


def _policies(found: Sequence[PolicyHitsAnswer], room: int) -> list[str]:
    """The policies in the order in which packets meet them, and the packets that met their rules."""
    if not found:
        return []
    rows = [
        [one["policy"], one["tier"] or "-", ", ".join(one["classes"]), _count(one["ingress"]), _count(one["egress"])]
        for one in found[:room]
    ]
    lines = ["", table({"heading": ["POLICY", "TIER", "CLASS", "INGRESS HITS", "EGRESS HITS"], "rows": rows})]
    if len(found) > room:
        lines.append(f"and {len(found) - room} more, see tortie counters")
    return lines


def _count(packets: int | None) -> str:
    return "-" if packets is None else str(packets)


def _drops(answer: StatusAnswer) -> list[str]:
    rows = [
        [one["reason"], str(one["ingress"]), str(one["egress"]), one["meaning"]]
        for one in answer["drops"]
        if one["ingress"] or one["egress"]
    ]
    if not rows:
        return ["", "Nothing was dropped."]
    return ["", table({"heading": ["DROPPED FOR", "INGRESS", "EGRESS", "MEANING"], "rows": rows}), *_told(answer)]


def _told(answer: StatusAnswer) -> list[str]:
    """How many of the denials were answered, where the deny action is Reject."""
    found = answer["rejects"]
    if not any(found.values()):
        return []
    return [
        f"Rejected: {found['answered']:,} answered, {found['unanswered']:,} of which nobody may be told, "
        f"{found['limited']:,} beyond the limit of ICMP errors"
    ]
