"""What people read: plain lines and tables from answers. Facts go to stdout, warnings and failures to stderr."""

import json
import sys
from collections.abc import Sequence

from tortie.apps.answers import Change, EnforcedAnswer, Named, Table, WriteAnswer
from tortie.apps.ctl.said import Writing
from tortie.apps.failure import Failure

GAP, LEAST = 3, 5


def out(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(f"{printable(text)}\n")


def err(text: str) -> None:
    """A line on stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"{printable(text)}\n")


def out_json(value: object) -> None:
    """The value as JSON on stdout."""
    sys.stdout.write(to_json(value) + "\n")


def to_json(value: object) -> str:
    """The value as JSON, for programs and for applying it again.

    Because: text beyond ASCII is not escaped, since YAML readers do not join the two halves that JSON makes of some
    characters; what a terminal would obey is, and has no halves.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" or c > "\uffff" else f"\\u{ord(c):04x}" for c in text)


def printable(text: str) -> str:
    """The text without what a terminal would obey, or could not show."""
    clean = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return clean.encode("utf-8", "backslashreplace").decode()


def table(found: Table, *, gap: int = GAP, least: int = LEAST) -> str:
    """Columns side by side, each followed by blanks (reference cli.md section 7)."""
    lines = [found["heading"], *found["rows"]]
    widths = widths_of(lines, [least] * len(found["heading"]))
    return "\n".join(row(line, widths, gap=gap) for line in lines)


def widths_of(lines: Sequence[Sequence[str]], least: Sequence[int]) -> list[int]:
    """How wide each column has to be."""
    return [max(width, *(_room(line[i]) for line in lines)) for i, width in enumerate(least)]


def row(cells: Sequence[str], widths: Sequence[int], *, gap: int = GAP) -> str:
    """One line of a table."""
    return "".join(_shown(cell) + " " * (width + gap - _room(cell)) for cell, width in zip(cells, widths, strict=True))


def _shown(cell: str) -> str:
    return printable(cell).replace("\n", "\\n")


def _room(cell: str) -> int:
    """How many columns of a terminal the cell takes; most are plain, and ask no tables of Unicode."""
    if cell.isascii() and cell.isprintable():
        return len(cell)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in _shown(cell))


def failure(error: Failure) -> None:
    """A failure with all its problems."""
    for problem in error.problems:
        err(problem["text"])
    err(f"tortie: {error.message}")


def written(answer: WriteAnswer, done: str, said: Writing, where: str, success: list[str] | None = None) -> int:
    """Print what a write came to; the exit code: 1 where it is stored and not enforced.

    `done`: the verb, as in `applied`. `success`: what to say in place of the usual line.
    """
    if said.output == "json":
        out_json(answer)
        is_behind = any(one["refused"] or one["failed"] or not one["is_current"] for one in answer["enforced"])
        return int(is_behind or answer["kept_because"] is not None)
    for warning in answer["warnings"]:
        err(warning)
    if not answer["changes"]:
        out("No resources specified")
        return 0
    for change in answer["changes"]:
        out(f"{named(change)} {change['action']}{' (dry run)' if answer['is_dry_run'] else ''}")
    if answer["is_dry_run"]:
        judge = "checked by itself, without what is stored" if said.dry_run == "client" else "nothing was written"
        out(f"Dry run: {_resources(answer['changes'])} would be {done}; {judge}")
        return 0
    for line in success or [f"Successfully {done} {_resources(answer['changes'])}"]:
        out(line)
    if said.no_wait:
        out(f"Revision {answer['revision']} is stored; not waited for its enforcement (--no-wait)")
        return 0
    if not answer["enforced"]:
        out(f"Revision {answer['revision']} is stored in {where}; no agent serves it, so nothing enforces it yet")
        return 0
    code = max(enforced(one, answer["revision"]) for one in answer["enforced"])
    return code if said.established == "keep" else max(code, _forgotten(answer))


def _forgotten(answer: WriteAnswer) -> int:
    """Print what became of connections that existed; 1 if they were not all judged."""
    count = answer["forgotten"]
    what, whose = ("connection", "its") if count == 1 else ("connections", "their")
    then = f": {whose} next packet is judged by the new policy" if count else ""
    out(f"{count} established {what} forgotten{then}")
    if answer["kept_because"] is None:
        return 0
    err(f"established connections are kept: {answer['kept_because']}")
    return 1


def named(one: Named) -> str:
    """`Kind(name)`."""
    name = f"{one['namespace']}/{one['name']}" if one["namespace"] else one["name"]
    return f"{one['kind']}({name})"


def _resources(changes: list[Change]) -> str:
    kinds = {change["kind"] for change in changes}
    return f"{len(changes)} {repr(kinds.pop()) + ' ' if len(kinds) == 1 else ''}resource(s)"


def enforced(one: EnforcedAnswer, revision: int) -> int:
    """Print what an agent made of a revision; 1 if it is not enforced."""
    node = one["node"]
    for document, problem in {**one["policies"], **one["invalid"]}.items():
        err(f"warning: {document}: {problem}")
    for endpoint in one["endpoints"]:
        if endpoint["problem"]:
            err(f"warning: HostEndpoint({endpoint['endpoint']}): {endpoint['problem']}")
    for each in one["interfaces"]:
        if each["unmet"]:
            err(f"warning: {each['interface']}: {each['unmet']}")
    for line in not_enforced(one):
        err(line)
    if not one["is_current"]:
        err(f"Revision {revision} is stored, but node {node} is still at {one['revision']}; see `tortie status`")
    if one["refused"] or one["failed"] or not one["is_current"]:
        return 1
    places = [f"{each['interface']} ({each['acceleration']})" for each in one["interfaces"] if each["is_enforced"]]
    if places:
        where = ", ".join(places)
        out(f"Enforced on node {node} at revision {one['revision']} after {one['wait_ms']:.1f} ms: {where}")
    for each in one["interfaces"]:
        if not each["is_enforced"]:
            out(f"Nothing is enforced on {each['interface']} of node {node}: {each['reason'] or 'no reason is known'}")
    if not one["interfaces"]:
        out(f"Node {node} is at revision {one['revision']}; no host endpoint governs an interface: nothing is enforced")
    return 0


def not_enforced(one: EnforcedAnswer) -> list[str]:
    """Why the newest policy is not enforced, in sentences."""
    lines = [
        f"refused on {interface}: {reason}; the last good state stays"
        for interface, reasons in one["refused"].items()
        for reason in reasons
    ]
    lines += [f"not enforced on {thing}: {why}; the agent keeps trying" for thing, why in one["failed"].items()]
    return lines
