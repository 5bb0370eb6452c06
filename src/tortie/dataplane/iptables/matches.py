"""One policy rule's matches as those of iptables rules, for one IP version. Pure.

A rule of iptables names one net for each side, one protocol and 15 ports at most. Several nets become a set, more ports
become several rules, no two of which a packet meets. A choice of protocols becomes a rule for each, or, where almost
all are meant, a bit of the mark that is set and taken away again from those that are not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import assert_never

from tortie.dataplane.alternatives import (
    ALL_PROTOCOLS,
    Alternative,
    AmongNets,
    AmongPorts,
    Condition,
    InSet,
    Kind,
    OfType,
    alternatives,
    numbers,
)
from tortie.dataplane.iptables import marks
from tortie.dataplane.iptables.sets import AskedSets
from tortie.model.packet import ICMP, ICMPV6, Side
from tortie.model.rule import Rule

_PORT_SLOTS = 15
"""Source: linux/netfilter/xt_multiport.h, XT_MULTI_PORTS; a range takes two."""
_FEW = 6
_NATIVE = {4: (ICMP, "icmp", "icmp-type"), 6: (ICMPV6, "icmp6", "icmpv6-type")}
_ADDRESS = {Side.SOURCE: "-s", Side.DESTINATION: "-d"}
_PORTS = {Side.SOURCE: "--sports", Side.DESTINATION: "--dports"}
_FLAG = {Side.SOURCE: "src", Side.DESTINATION: "dst"}
TYPE_OFFSET = {4: "0>>22&0x3C@0", 6: "40"}
"""Where the other IP version's ICMP begins, for u32, which counts from the IP header; IPv6: without extension headers,
which `endpoint` sees to."""


@dataclass(frozen=True, slots=True)
class MatchText:
    """The match part of one rule. `before`: rules that have to stand in front of it."""

    text: str
    before: tuple[str, ...] = ()


def match_texts(rule: Rule, version: int, asked: AskedSets, scratch: int) -> Iterator[MatchText]:
    """The match parts for one policy rule; no packet meets two of them. `scratch`: a bit of the mark."""
    for one in alternatives(rule, version, asked.table.kind):
        for guard in _guards(one, scratch):
            options = [
                _options(condition, version, guard.protocol, asked, is_named=is_named)
                for condition, is_named in _named(one.conditions)
            ]
            for chosen in product(*options):
                text = " ".join(filter(None, (guard.text, *chosen)))
                yield MatchText(text, guard.before)


@dataclass(frozen=True, slots=True)
class _Guard:
    """What a rule says of protocols. `protocol`: the one that is left; None: several."""

    text: str = ""
    protocol: int | None = None
    before: tuple[str, ...] = ()


def _guards(one: Alternative, scratch: int) -> Iterator[_Guard]:
    listed = numbers(one.protocols)
    needs_one = any(isinstance(condition, AmongPorts | OfType) for condition in one.conditions)
    if one.protocols == ALL_PROTOCOLS or (one.protocols == Kind.PORTS.value and not needs_one and _names_ports(one)):
        yield _Guard()
        return
    if needs_one or len(listed) <= _FEW:
        yield from (_Guard(f"-p {protocol}", protocol) for protocol in listed)
        return
    others = numbers(ALL_PROTOCOLS & ~one.protocols)
    if len(others) == 1:
        yield _Guard(f"! -p {others[0]}")
        return
    before = (marks.put(scratch), *(f"-p {protocol} {marks.clear(scratch)}" for protocol in others))
    yield _Guard(marks.has(scratch), before=before)


def _names_ports(one: Alternative) -> bool:
    """Whether a set says which protocols: its members have ports."""
    return any(isinstance(c, InSet) and c.has_ports and not c.negated for c in one.conditions)


def _named(conditions: Iterable[Condition]) -> Iterator[tuple[Condition, bool]]:
    """The conditions, and whether each may be said by the rule's own source or destination, of which there is one."""
    taken: set[Side] = set()
    for condition in conditions:
        is_named = False
        if isinstance(condition, AmongNets) and len(condition.nets) == 1 and condition.side not in taken:
            is_named = True
            taken.add(condition.side)
        yield condition, is_named


def _options(
    condition: Condition, version: int, protocol: int | None, asked: AskedSets, *, is_named: bool
) -> list[str]:
    """The condition as matches that exclude each other; none at all: it never holds."""
    match condition:
        case AmongNets():
            return _nets(condition, asked, is_named=is_named)
        case InSet():
            name = asked.table.name(condition.set_ids, condition.version)
            return [in_set(name, ",".join([_FLAG[condition.side]] * (1 + condition.has_ports)), condition.negated)]
        case AmongPorts():
            chunks = (f"-m multiport {_not(condition.negated)}{_PORTS[condition.side]} {c}" for c in _chunks(condition))
            return [" ".join(chunks)] if condition.negated else list(chunks)
        case OfType():
            return [_of_type(condition, version, protocol)]
        case _:
            assert_never(condition)


def _nets(condition: AmongNets, asked: AskedSets, *, is_named: bool) -> list[str]:
    net = condition.nets[0]
    if net.length == 0:
        return [] if condition.negated else [""]
    if not is_named:
        return [in_set(asked.nets(condition.version, condition.nets), _FLAG[condition.side], condition.negated)]
    return [f"{_not(condition.negated)}{_ADDRESS[condition.side]} {net}"]


def in_set(name: str, flags: str, negated: bool = False) -> str:
    """The match of packets that are in a set."""
    return f"-m set {_not(negated)}--match-set {name} {flags}"


def _chunks(condition: AmongPorts) -> Iterator[str]:
    chunk: list[str] = []
    slots = 0
    for first, last in condition.ranges:
        needed = 1 if first == last else 2
        if slots + needed > _PORT_SLOTS:
            yield ",".join(chunk)
            chunk, slots = [], 0
        chunk.append(str(first) if first == last else f"{first}:{last}")
        slots += needed
    yield ",".join(chunk)


def _of_type(condition: OfType, version: int, protocol: int | None) -> str:
    native, module, option = _NATIVE[version]
    if protocol == native:
        code = "" if condition.code is None else f"/{condition.code}"
        return f"-m {module} {_not(condition.negated)}--{option} {condition.type}{code}"
    # The other IP version's protocol, which no match of iptables knows in this one.
    if condition.code is None:
        value = f"{TYPE_OFFSET[version]}>>24={condition.type}"
    else:
        value = f"{TYPE_OFFSET[version]}>>16={condition.type << 8 | condition.code}"
    return f'-m u32 {_not(condition.negated)}--u32 "{value}"'


def _not(negated: bool) -> str:
    return "! " if negated else ""


def joined(*parts: str) -> str:
    """The parts of a rule, those that say nothing left out."""
    return " ".join(filter(None, parts))
