"""The rule that lets the replies through: what a rule says of packets, said of their answers.

Source and destination change places, and with them nets, selectors and ports: a server's answers come from its port. An
ICMP request's answer has a type of its own. What tells packets by more than that has no mirror.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

from tortie.apps.linting.bodies import OTHER, TYPES, governs, rules
from tortie.apps.linting.changes import Append, Change, Insert
from tortie.apps.linting.finding import Fix
from tortie.apps.linting.subject import Subject
from tortie.model.packet import ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6
from tortie.resources.fields import Json
from tortie.resources.kind import Body
from tortie.resources.nodes import Sequence as SequenceNode
from tortie.resources.plain import Plain
from tortie.resources.values import protocol_number

_SIDES = (("source", "destination"), ("destination", "source"))
_ICMP = (ICMP, ICMPV6)
_ENDING = ("Deny", "Pass")


def mirrored(rule: Body) -> Body | None:
    """The rule for the answers; None where it cannot be written: services, http, ICMP types that have no answer."""
    if "http" in rule or "notICMP" in rule or any("services" in _mapping(rule.get(side)) for side, _ in _SIDES):
        return None
    found: Body = {
        key: deepcopy(rule[key]) for key in ("action", "ipVersion", "protocol", "notProtocol") if key in rule
    }
    if "icmp" in rule:
        answer = _answer(rule)
        if answer is None:
            return None
        found["icmp"] = answer
    for side, other in _SIDES:
        if other in rule:
            found[side] = deepcopy(rule[other])
    return found


def return_fix(subject: Subject, side: str, allowing: Sequence[Body]) -> Fix | None:
    """The fix that adds the mirrors of these rules of that direction to the other one; None where that is not safe.

    Rules that are there already could decide before those that would be added, so that these are read first: where one
    denies or passes, its author has to say which of them counts.
    """
    other, spec = OTHER[side], subject.resource.spec
    mirrors = [mirror for rule in allowing if (mirror := mirrored(rule)) is not None]
    there = rules(spec, other)
    if subject.node is None or len(mirrors) < len(allowing) or any(rule["action"] in _ENDING for rule in there):
        return None
    new = [cast(Plain, mirror) for mirror in mirrors if mirror not in there]
    changes: list[Change] = []
    if not new:
        pass  # they are there, in a direction that the policy does not govern
    elif isinstance(subject.part(("spec", other)), SequenceNode):
        changes.append(Append(("spec", other), tuple(new)))
    else:
        changes.append(Insert(("spec",), side, other, new))
    types = subject.part(("spec", "types"))
    if isinstance(types, SequenceNode) and types.items and not governs(spec, other):
        changes.append(Append(("spec", "types"), (TYPES[other],)))
    return Fix("adds it", tuple(changes))


def _mapping(value: Json | None) -> Body:
    return value if isinstance(value, dict) else {}


def _answer(rule: Body) -> Body | None:
    """What `icmp` says of the answer to such a request, or of the request that such a reply answers."""
    protocol = protocol_number(cast("int | str | None", rule.get("protocol")))
    said = _mapping(rule["icmp"])
    if protocol not in _ICMP or "code" in said:
        return None
    for ours, theirs in ((ICMP_REQUESTS, ICMP_REPLIES), (ICMP_REPLIES, ICMP_REQUESTS)):
        if said.get("type") in ours[protocol]:
            return {"type": theirs[protocol][ours[protocol].index(cast(int, said["type"]))]}
    return None
