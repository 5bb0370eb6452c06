"""Explanations in lines for people: who reaches what, everything on an endpoint, a policy in its place."""

from collections.abc import Iterable, Iterator, Sequence

from tortie.apps.ctl.names import some
from tortie.apps.explain.answers import (
    EndpointExplained,
    ExplainAnswer,
    NetsAnswer,
    OutcomeAnswer,
    PathAnswer,
    PlacedRule,
    PolicyExplained,
    SelectionAnswer,
    UseAnswer,
)
from tortie.apps.packets import protocol_name
from tortie.apps.trace.conditions import counted

MOST_NETS, MOST_PORTS, MOST_THINGS = 3, 6, 6
RULE_OF_ROWS = "(for each connection the first line that fits it counts)"
TITLES = {
    "to_host": "to this host",
    "from_host": "from this host",
    "forward_in": "passed on, coming in here",
    "forward_out": "passed on, going out here",
    "to_workload": "to the workload",
    "from_workload": "from the workload",
}


def lines(answer: ExplainAnswer) -> Iterator[str]:
    """The explanation."""
    yield from (f"note: {note}" for note in answer["notes"])
    match answer["subject"]:
        case "port":
            yield f"port {answer['name']} on node {answer['node']}: who can reach it"
            yield from _reached_all(answer["endpoints"], only_open=False)
        case "host":
            yield f"node {answer['node']}: what is open to whom"
            yield from _reached_all(answer["endpoints"], only_open=True)
        case "endpoint":
            for one in answer["endpoints"]:
                yield from _endpoint(one, answer["node"])
        case _:
            for number, policy in enumerate(answer["policies"]):
                yield from [""] * bool(number)
                yield from _policy(policy, answer["node"])


def _reached_all(endpoints: Sequence[EndpointExplained], *, only_open: bool) -> Iterator[str]:
    if not endpoints:
        yield "no endpoint is on it, and no interface of it is known"
        return
    yield RULE_OF_ROWS
    for one in endpoints:
        yield ""
        yield from _reached(one, only_open=only_open)


def _reached(one: EndpointExplained, *, only_open: bool) -> Iterator[str]:
    """An interface with a picture for each path."""
    yield _headline(one)
    if one["problem"] is not None:
        yield f"  governs nothing: {one['problem']}"
    elif not one["kind"]:
        yield "  no endpoint: open to everyone"
    for path in one["paths"]:
        yield f"  {_title(path)}"
        yield from (f"    {line}" for line in _picture(path, only_open=only_open))


def _headline(one: EndpointExplained) -> str:
    endpoint = f"{one['kind']}({one['name']})" if one["kind"] else ""
    return "  ".join(part for part in (one["interface"], endpoint, some(one["addresses"], MOST_NETS)) if part)


def _title(path: PathAnswer) -> str:
    return f"{path['port']} {TITLES[path['path']]}" if path["port"] else TITLES[path["path"]]


def _picture(path: PathAnswer, *, only_open: bool) -> Iterator[str]:
    """A row for each outcome, the packets to the left of the arrow and the verdict to its right; below it, why."""
    outcomes = path["outcomes"]
    while only_open and outcomes and outcomes[-1]["verdict"] == "deny":
        outcomes = outcomes[:-1]
    cells = [(_who(one), _what(one), _verdict(one)) for one in outcomes]
    widths = [max(len(row[column]) for row in cells) if cells else 0 for column in range(2)]
    for one, (who, what, verdict) in zip(outcomes, cells, strict=True):
        packets = f"{who:<{widths[0]}}  {what:<{widths[1]}}" if widths[1] else f"{who:<{widths[0]}}"
        yield f"{packets}  {'-->' if one['verdict'] == 'allow' else '--x'}  {verdict}"
        yield f"    {one['because']}{_origin(one['origin'])}"
        yield from (f"      {line}" for line in _selections(one["selections"]))
    if only_open:
        yield from ["everything else is denied"] * (len(outcomes) < len(path["outcomes"]))
    elif not outcomes:
        yield "no packet comes here"
    for rule in path["never"] if path["port"] else ():
        yield f"never asked: {_rule_name(rule)}{_taken(rule['taken_by'])}"


def _verdict(one: OutcomeAnswer) -> str:
    if one["verdict"] == "allow":
        return "allow, tracked" if one["is_tracked"] else "allow, untracked"
    return "reject" if one["is_rejected"] else "deny, untracked" if one["stage"] == "untracked" else "deny"


def _who(one: OutcomeAnswer) -> str:
    return f"some of {_nets(one['remotes'])}" if one["is_partial"] else _nets(one["remotes"])


def _nets(nets: NetsAnswer) -> str:
    if nets["is_everyone"]:
        return "everyone"
    if nets["is_rest"]:
        return "everyone else"
    return some(nets["nets"][:MOST_NETS], MOST_NETS, more=max(0, nets["count"] - MOST_NETS))


def _what(one: OutcomeAnswer) -> str:
    """What else the packets have in common."""
    found = []
    if one["protocols"] is not None:
        found.append(_protocols(one["protocols"]))
    if one["ports"] is not None:
        but, ports = _values(one["ports"], 65535)
        found.append(f"but {ports}" if but else ports)
    words = [" ".join(found)] if found else []
    if one["source_ports"] is not None:
        but, ports = _values(one["source_ports"], 65535)
        words.append(f"from all ports but {ports}" if but else f"from port {ports}")
    if one["nears"] is not None:
        words.append(f"at {_nets(one['nears'])}")
    return ", ".join(words)


def _protocols(spans: Sequence[str]) -> str:
    but, found = _values(spans, 255)
    if not but:
        return found.lower()
    return (
        f"all but {', '.join(protocol_name(int(one)).lower() if one.isdigit() else one for one in found.split(', '))}"
    )


def _values(spans: Sequence[str], last: int) -> tuple[bool, str]:
    """Names, numbers and stretches; where they are most of all there are (True), those that are not among them."""
    left, expected = [], 0
    for span in spans:
        first, _, end = span.partition(":")
        if not first.isdigit():
            return False, some([*spans], MOST_PORTS)
        if int(first) > expected:
            left.append((expected, int(first) - 1))
        expected = int(end or first) + 1
    if expected <= last:
        left.append((expected, last))
    if sum(end - first + 1 for first, end in left) > last // 2:
        return False, some([*spans], MOST_PORTS)
    return True, some([f"{first}" if first == end else f"{first}:{end}" for first, end in left], MOST_PORTS)


def _origin(origin: str) -> str:
    return f" ({origin})" if origin else ""


def _selections(selections: Iterable[SelectionAnswer]) -> Iterator[str]:
    for one in selections:
        found = [some(one["things"], MOST_THINGS)] if one["things"] else []
        if one["networks"] is not None:
            size = counted(one["networks"], "member")
            found.append(f"({size})" if found else size)
        yield f"{one['field']} {one['selector']}: {' '.join(found) or 'nothing'}"


def _rule_name(one: UseAnswer) -> str:
    return f"{one['policy']} rule {one['rule']}{_origin(one['origin'])}"


def _taken(takers: Sequence[str]) -> str:
    """What has the packets of a rule that meets none."""
    return f": its packets are taken by {some([*takers], MOST_THINGS)}" if takers else ": no packet could match it"


def _endpoint(one: EndpointExplained, node: str) -> Iterator[str]:
    """Everything that holds on an endpoint, then what that makes of packets."""
    yield f"{_headline(one)}  on node {node}"
    if one["problem"] is not None:
        yield f"  governs nothing: {one['problem']}"
        return
    held = (
        f"{key}={label['value']}" + (f" (profile {label['profile']})" if label["profile"] else "")
        for key, label in one["labels"].items()
    )
    yield f"  labels    {', '.join(held) or 'none'}"
    yield f"  profiles  {', '.join(one['profiles']) or 'none'}"
    for part in one["classes"]:
        if not any(tier["rules"] or tier["end"] == "deny" for tier in part["tiers"]):
            continue
        yield ""
        yield f"  {part['stage']} {part['direction']}"
        if part["failsafes"]:
            yield f"    failsafes, which it is not asked about: {', '.join(part['failsafes'])}"
        for tier in part["tiers"]:
            yield f"    {tier['name']}"
            yield from (f"      {line}" for rule in tier["rules"] for line in _use(rule))
            yield f"      end: {tier['end']}"
    yield ""
    yield f"  {RULE_OF_ROWS}"
    for path in one["paths"]:
        yield ""
        yield f"  {_title(path)}"
        yield from (f"    {line}" for line in _picture(path, only_open=False))


def _use(one: UseAnswer) -> Iterator[str]:
    hits = "" if one["hits"] is None else f"  {counted(one['hits'], 'hit')}"
    yield f"{_rule_name(one)}{hits}"
    yield f"  {one['words']}"
    if one["never_matches"]:
        yield f"  never matches{_taken(one['taken_by'])}"


def _policy(one: PolicyExplained, node: str) -> Iterator[str]:
    """A policy: what it selects, where it stands, and its rules."""
    order = "no order" if one["order"] is None else f"order {one['order']:g}"
    where = f"{' and '.join(one['classes'])}, {' and '.join(one['directions'])}"
    yield f"{one['policy']}  tier {one['tier']}, {order}, {where}"
    place = len(one["before"]) + 1
    yield f"  place     {place} of {place + len(one['after'])} in tier {one['tier']}"
    if one["before"]:
        yield f"            after  {some(one['before'][::-1], MOST_THINGS)}"
    if one["after"]:
        yield f"            before {some(one['after'], MOST_THINGS)}"
    yield f"  selects   {one['selector']}"
    for each in one["selects"]:
        why = ", ".join(
            f"{key}={label['value']}" + (f" (profile {label['profile']})" if label["profile"] else "")
            for key, label in each["why"].items()
        )
        where = f"on {', '.join(each['interfaces'])}" if each["interfaces"] else f"of node {each['node']}"
        yield f"            {each['name']} {where}{f', because of {why}' if why else ''}"
    if not any(each["interfaces"] for each in one["selects"]):
        yield f"            no endpoint that governs an interface of node {node}"
    direction = ""
    for rule in one["rules"]:
        if rule["direction"] != direction:
            direction = rule["direction"]
            yield f"  {direction}"
        yield from (f"    {line}" for line in _placed(rule))


def _placed(rule: PlacedRule) -> Iterator[str]:
    hits = "" if rule["hits"] is None else f"  {counted(rule['hits'], 'hit')}"
    yield f"rule {rule['rule']}{_origin(rule['origin'])}{hits}"
    yield f"  {rule['words']}"
    yield from (f"  {line}" for line in _selections(rule["selections"]))
    if rule["example"] is not None:
        yield f"  meets, for example, {rule['example']}"
    for interface, takers in rule["taken_by"].items():
        yield f"  never matches on {interface}{_taken(takers)}"
