"""A packet's way in lines for people: each class of policy that it came to, the rules there, and what came of it."""

from collections.abc import Iterator

from tortie.apps.ctl.names import some
from tortie.apps.trace.answers import StagedAnswer, TraceAnswer
from tortie.apps.trace.visits import visit_lines

MOST_POLICIES = 8
"""Staged policies that are named."""


def complaint(answer: TraceAnswer) -> str | None:
    """What is to be said where the installed program decides otherwise than the documents; None where it does not."""
    if answer["agrees"] is not False:
        return None
    if answer["installed_note"]:
        return "the installed program differs from the newest policy, because that is refused; see `tortie status`"
    return "THE INSTALLED PROGRAM DISAGREES with the policy; please report it, with `tortie status -o json`"


def lines(answer: TraceAnswer, *, tells_all: bool = False) -> Iterator[str]:
    """The packet's way; `tells_all`: with the rules that do not match, each with the reason."""
    yield f"{answer['packet']}   {_way(answer)}"
    yield from (f"  note: {note}" for note in answer["notes"])
    for visit in answer["visits"]:
        yield from (f"  {line}" for line in visit_lines(visit, tells_all=tells_all))
    verdict = "REJECT" if answer["is_rejected"] else answer["verdict"].upper()
    yield f"  verdict    {verdict}  {answer['because']}"
    yield f"  reason     {answer['reason']}"
    yield f"  tracked    {_tracked(answer)}"
    yield from _installed(answer)
    if answer["staged"] is not None:
        yield from _staged(answer["staged"])
    if answer["hint"]:
        yield f"  hint: {answer['hint']}"


def _way(answer: TraceAnswer) -> str:
    where = f"endpoint {answer['endpoint']}" if answer["endpoint"] else "no endpoint"
    if answer["direction"] != "forward":
        return f"{answer['direction']} {answer['interface']}, {where}"
    return f"forward {answer['arrives']} to {answer['leaves'] or 'an interface that nobody knows'}, {where}"


def _tracked(answer: TraceAnswer) -> str:
    if answer["verdict"] == "deny":
        is_early = answer["stage"] == "untracked"
        return "no: dropped before connection tracking" if is_early else "no: what is denied opens no connection"
    if not answer["is_tracked"]:
        return "no: connection tracking is bypassed, so the answer needs a rule of its own"
    return "yes" if answer["relation"] != "new" else "yes: its answers belong to the same connection"


def _installed(answer: TraceAnswer) -> Iterator[str]:
    installed = answer["installed"]
    if installed is None:
        yield f"  installed  not asked: {answer['installed_note']}"
        return
    agrees = {True: "agrees", None: "not comparable", False: "DISAGREES"}[answer["agrees"]]
    if agrees == "DISAGREES" and answer["installed_note"]:
        agrees = "differs"
    verdict = "REJECT" if installed["is_rejected"] else installed["verdict"].upper()
    yield f"  installed  {verdict}  {installed['because']}: {agrees}"
    if answer["installed_note"]:
        yield f"             {answer['installed_note']}"


def _staged(staged: StagedAnswer) -> Iterator[str]:
    """What would become of the packet, then what each staged policy would do."""
    asked = [one for one in staged["policies"] if one["outcome"] != "not asked"]
    if not asked and not staged["changes"]:
        yield "  staged     as now: no staged policy would be asked"
        return
    verdict = "REJECT" if staged["is_rejected"] else staged["verdict"].upper()
    change = "" if staged["changes"] else ", as now"
    origin = f" ({staged['origin']})" if staged["origin"] else ""
    yield f"  staged     would be {verdict}{change}  {staged['because']}{origin}"
    for one in asked:
        what = "would be deleted, and now does" if one["action"] == "Delete" else "would do"
        yield f"             {one['policy']} {what}: {one['outcome']}"
    if rest := [one["policy"] for one in staged["policies"] if one["outcome"] == "not asked"]:
        yield f"             would not be asked: {some(rest, MOST_POLICIES)}"
