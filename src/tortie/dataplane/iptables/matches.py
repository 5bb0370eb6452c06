"""One policy rule's matches as those of iptables rules, for one IP version. Pure.

A rule of iptables names one net for each side, one protocol and 15 ports at most. Several nets become a set, more ports
become several rules, no two of which a packet meets. A choice of protocols becomes a rule for each, or, where almost
all are meant, a bit of the mark that is set and taken away again from those that are not.

In the nft variant, since 1.8.8, the match of one port, or one range, of TCP and UDP is an instruction of nf_tables'
own, and several times as fast as a call of the module that knows lists of ports. The legacy variant's drops what is
shorter than a whole header, so that it has no use for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from tortie.model.matches import PortMatch, ProtocolMatch
from tortie.model.packet import ICMP, ICMPV6, TCP, UDP, Side
from tortie.model.rule import Rule

_PORT_SLOTS = 15
"""Source: linux/netfilter/xt_multiport.h, XT_MULTI_PORTS; a range takes two."""
_FEW = 6
_NATIVE = {4: (ICMP, "icmp", "icmp-type"), 6: (ICMPV6, "icmp6", "icmpv6-type")}
_ADDRESS = {Side.SOURCE: "-s", Side.DESTINATION: "-d"}
_PORTS = {Side.SOURCE: "--sports", Side.DESTINATION: "--dports"}
_PORT = {Side.SOURCE: "--sport", Side.DESTINATION: "--dport"}
_ALL_PORTS = (0, 65535)
"""A match of all says nothing, and its negation too."""
_FEW_PORTS = 4
"""So many instructions take less than a call of the module that knows lists."""
_FLAG = {Side.SOURCE: "src", Side.DESTINATION: "dst"}
TYPE_OFFSET = {4: "0>>22&0x3C@0", 6: "40"}
"""Where the other IP version's ICMP begins, for u32, which counts from the IP header; IPv6: without extension headers,
which `endpoint` sees to."""


@dataclass(frozen=True, slots=True)
class MatchText:
    """The match part of one rule. `before`: rules that have to stand in front of it."""

    text: str
    before: tuple[str, ...] = ()


def match_texts(
    rule: Rule, version: int, asked: AskedSets, scratch: int, *, has_instructions: bool
) -> Iterator[MatchText]:
    """The match parts for one policy rule; no packet meets two of them. `scratch`: a bit of the mark.
    `has_instructions`: the match of a single port is an instruction, see the module.
    """
    for one in alternatives(rule, version, asked.table.kind):
        for guard in _guards(one, scratch):
            named = list(_named(one.conditions, has_instructions=has_instructions))
            # behind the module's name its options are meant: `--sport` would be taken for its `--sports`
            named.sort(key=lambda pair: not (isinstance(pair[0], AmongPorts) and pair[1]))
            options = [
                _options(condition, version, guard.protocol, asked, is_named=is_named) for condition, is_named in named
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


def _named(conditions: Iterable[Condition], *, has_instructions: bool) -> Iterator[tuple[Condition, bool]]:
    """The conditions, and whether each may be said by the rule's own source or destination, address or port, of which
    there is one each."""
    taken: set[tuple[type[Condition], Side]] = set()
    has_negated = False
    for condition in conditions:
        match condition:
            case AmongNets(nets=listed):
                is_single = len(listed) == 1
            case AmongPorts(ranges=ranges, negated=negated):
                is_single = has_instructions and len(ranges) == 1 and ranges[0] != _ALL_PORTS
                # Of two negated ones iptables 1.8.9 makes one comparison, which holds where one of both does.
                is_single = is_single and not (negated and has_negated)
                has_negated |= is_single and negated
            case _:
                yield condition, False
                continue
        key = type(condition), condition.side
        yield condition, is_single and key not in taken
        if is_single:
            taken.add(key)


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
            if is_named and protocol in (TCP, UDP):
                return [f"{_not(condition.negated)}{_PORT[condition.side]} {_range(*condition.ranges[0])}"]
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
        chunk.append(_range(first, last))
        slots += needed
    yield ",".join(chunk)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"


def native_rules(shortcut: Rule) -> list[Rule]:
    """The copy of a rule (`dataplane.shortcut`) as rules whose ports are compared by instructions, of which no packet
    meets two; none, if that takes more than a few."""
    protocol, own, other = shortcut.matches
    if not (isinstance(protocol, ProtocolMatch) and isinstance(own, PortMatch) and protocol.protocol in (TCP, UDP)):
        return []
    if len(own.ranges) > _FEW_PORTS or _ALL_PORTS in own.ranges:
        return []
    return [replace(shortcut, matches=(protocol, replace(own, ranges=(one,)), other)) for one in own.ranges]


def port_texts(side: Side, ports: Sequence[int], protocol: int, *, has_instructions: bool) -> Iterator[str]:
    """The matches of packets of that protocol with one of these ports on that side; no packet meets two."""
    if has_instructions and protocol in (TCP, UDP) and len(ports) <= _FEW_PORTS:
        yield from (f"-p {protocol} {_PORT[side]} {port}" for port in ports)
        return
    for chunk in _chunks(AmongPorts(side, tuple((port, port) for port in ports), negated=False)):
        yield f"-p {protocol} -m multiport {_PORTS[side]} {chunk}"


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
