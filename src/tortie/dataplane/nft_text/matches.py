"""One policy rule's matches as nft expressions.

nft knows conjunctions only, and an expression that cannot read its field ends the rule as "no match", a negated one
too. So a rule is looked at once for each sort of packet (IP version, kind of protocol), for which every match is never,
always, or a choice of conjunctions that exclude each other; sorts with equal outcome are joined again, so that a usual
rule becomes exactly one nft rule. Because the conjunctions exclude each other, a rule's counter counts a packet once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import assert_never

from tortie.dataplane.nft_text.sets import SetTable, outermost
from tortie.model.address import format_address
from tortie.model.ipset import AddressSet, NamedPortSet, PortSet
from tortie.model.matches import (
    IcmpMatch,
    Match,
    NetMatch,
    PortMatch,
    PortRange,
    ProtocolMatch,
    SetMatch,
    VersionMatch,
)
from tortie.model.packet import ICMP, ICMPV6, PORTED, Side
from tortie.model.rule import Rule

VERSIONS = (4, 6)
_PROTOCOL_NUMBERS = range(256)


def _bits(protocols: Iterable[int]) -> int:
    """A set of protocols as a bit for each, which is quick to intersect for thousands of rules."""
    return sum(1 << protocol for protocol in protocols)


_ALL_PROTOCOLS = _bits(_PROTOCOL_NUMBERS)
_FAMILY = {4: "ip", 6: "ip6"}
_ADDRESS_FIELD = {Side.SOURCE: "saddr", Side.DESTINATION: "daddr"}
_PORT_FIELD = {Side.SOURCE: "sport", Side.DESTINATION: "dport"}


class Kind(Enum):
    """What a packet's protocol has: ports, type and code, or neither. The value has a bit for each such protocol."""

    PORTS = _bits(PORTED)
    TYPE = _bits((ICMP, ICMPV6))
    NEITHER = _ALL_PROTOCOLS & ~_bits((*PORTED, ICMP, ICMPV6))


_KINDS = tuple((kind, kind.value) for kind in Kind)


@dataclass(frozen=True, slots=True)
class Sort:
    """Packets that a match treats alike. A later fragment shows neither ports nor ICMP type."""

    version: int
    kind: Kind
    is_later: bool


Conjunction = tuple[str, ...]
Choice = tuple[Conjunction, ...]
"""Conjunctions that exclude each other: none at all is never, one without expressions is always."""
NEVER: Choice = ()
ALWAYS: Choice = ((),)


@dataclass(frozen=True, slots=True)
class Line:
    """The match part of one nft rule. `is_sure` False: packets for which the policy rule may or may not hold."""

    text: str
    is_sure: bool


def match_lines(rule: Rule, *, is_later: bool, table: SetTable) -> list[Line]:
    """The nft rules' match parts for one policy rule; no packet meets two of them.

    A later fragment for which a match needs what it does not show gives a line that is not sure.
    """
    wanted = _protocols(rule.matches)
    found: dict[int, dict[tuple[Conjunction, bool], int]] = {version: {} for version in VERSIONS}
    for version, (kind, members) in product(VERSIONS, _KINDS):
        protocols = wanted & members
        if not protocols:
            continue
        choices = _choices(rule.matches, Sort(version, kind, is_later), table)
        is_sure = None not in choices
        for chosen in product(*(choice for choice in choices if choice is not None)):
            key = (tuple(expression for one in chosen for expression in one), is_sure)
            found[version][key] = found[version].get(key, 0) | protocols
    lines: list[Line] = []
    four, six = found[4], found[6]
    for key, protocols in four.items():
        lines.append(_line(None if six.get(key) == protocols else 4, protocols, *key))
    for key, protocols in six.items():
        if four.get(key) != protocols:
            lines.append(_line(6, protocols, *key))
    return lines


def _choices(matches: Iterable[Match], sort: Sort, table: SetTable) -> list[Choice | None]:
    """When each match holds, those without sets first: a set is not loaded for a rule that never holds without it."""
    choices: list[Choice | None] = []
    for match in sorted(matches, key=lambda one: isinstance(one, SetMatch | PortMatch)):
        choices.append(_choice(match, sort, table))
        if choices[-1] == NEVER:
            break
    return choices


def _choice(match: Match, sort: Sort, table: SetTable) -> Choice | None:
    """When the match holds for packets of that sort; None: it cannot be told."""
    match match:
        case VersionMatch():
            return ALWAYS if match.version == sort.version else NEVER
        case ProtocolMatch():
            return ALWAYS  # the rule's protocols are already those that all its protocol matches leave
        case NetMatch():
            return _nets(match, sort)
        case SetMatch():
            return _set(match, sort, table)
        case PortMatch():
            return _ports(match, sort, table)
        case IcmpMatch():
            return _icmp(match, sort)
        case _:
            assert_never(match)


def _nets(match: NetMatch, sort: Sort) -> Choice:
    nets = outermost(net for net in match.nets if net.version == sort.version)
    if not nets:
        return _constant(match.negated)
    field = f"{_FAMILY[sort.version]} {_ADDRESS_FIELD[match.side]}"
    return ((_among(field, [_net(net.version, net.address, net.length) for net in nets], match.negated),),)


def _set(match: SetMatch, sort: Sort, table: SetTable) -> Choice | None:
    set_id = match.source.set_id
    kind = table.kind(set_id)
    if kind is None:
        return _constant(match.negated)
    if kind is AddressSet:
        field = f"{_FAMILY[sort.version]} {_ADDRESS_FIELD[match.side]}"
        return ((_member(field, table.name((set_id,), sort.version), match.negated),),)
    if sort.kind is not Kind.PORTS:
        return _constant(match.negated)
    if sort.is_later:
        return None
    return ((_member(_port_key(match.side, sort.version), table.name((set_id,), sort.version), match.negated),),)


def _ports(match: PortMatch, sort: Sort, table: SetTable) -> Choice | None:
    if sort.kind is not Kind.PORTS:
        return _constant(match.negated)
    ranges = _join(match.ranges)
    named = _port_sets(match.named, table) if match.named else ()
    if not ranges and not named:
        return _constant(match.negated)
    if sort.is_later:
        return None
    field = f"th {_PORT_FIELD[match.side]}"
    texts = [f"{first}-{last}" if first != last else str(first) for first, last in ranges]
    in_set = (
        _member(_port_key(match.side, sort.version), table.name(named, sort.version), match.negated) if named else ""
    )
    if match.negated:
        return (((_among(field, texts, True),) if ranges else ()) + ((in_set,) if named else ()),)
    inside: list[Conjunction] = [(_among(field, texts, False),)] if ranges else []
    if named:
        inside.append((_among(field, texts, True), in_set) if ranges else (in_set,))
    return tuple(inside)


def _icmp(match: IcmpMatch, sort: Sort) -> Choice | None:
    if sort.kind is not Kind.TYPE:
        return _constant(match.negated)
    if sort.is_later:
        return None
    # Raw payload: `icmp type` would tie protocol 1 to IPv4 and 58 to IPv6, which the match does not.
    field, value = ("@th,0,8", match.type) if match.code is None else ("@th,0,16", match.type << 8 | match.code)
    return ((f"{field} {'!= ' if match.negated else ''}{value}",),)


def _port_sets(named: Iterable[NamedPortSet], table: SetTable) -> tuple[str, ...]:
    return tuple(sorted({one.set_id for one in named if table.kind(one.set_id) is PortSet}))


def _protocols(matches: Iterable[Match]) -> int:
    """The protocols that all protocol matches of a rule leave."""
    left = _ALL_PROTOCOLS
    for match in matches:
        if isinstance(match, ProtocolMatch):
            one = 1 << match.protocol
            left &= ~one if match.negated else one
    return left


def _join(ranges: Iterable[PortRange]) -> list[tuple[int, int]]:
    """Port ranges without overlap, sorted: an anonymous nft set refuses overlapping ones."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(r for r in ranges if r.first <= r.last):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _constant(holds: bool) -> Choice:
    return ALWAYS if holds else NEVER


def _among(field: str, values: list[str], negated: bool) -> str:
    text = values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"
    return f"{field} {'!= ' if negated else ''}{text}"


def _member(field: str, name: str, negated: bool) -> str:
    return f"{field} {'!= ' if negated else ''}@{name}"


def _port_key(side: Side, version: int) -> str:
    return f"{_FAMILY[version]} {_ADDRESS_FIELD[side]} . meta l4proto . th {_PORT_FIELD[side]}"


def _net(version: int, address: int, length: int) -> str:
    return f"{format_address(version, address)}/{length}"


def _line(version: int | None, protocols: int, expressions: Conjunction, is_sure: bool) -> Line:
    names_family = any(expression.startswith(("ip ", "ip6 ")) for expression in expressions)
    guards = []
    if version is not None and not names_family:
        guards.append(f"meta nfproto ipv{version}")
    if protocols != _ALL_PROTOCOLS:
        guards.append(_protocol_text(protocols))
    return Line(" ".join((*guards, *expressions)), is_sure)


def _protocol_text(protocols: int) -> str:
    is_short = protocols.bit_count() <= len(_PROTOCOL_NUMBERS) // 2
    listed = protocols if is_short else _ALL_PROTOCOLS & ~protocols
    numbers = [listed.bit_length() - 1] if listed.bit_count() == 1 else _numbers(listed)
    return _among("meta l4proto", list(map(str, numbers)), not is_short)


def _numbers(protocols: int) -> list[int]:
    return [number for number in _PROTOCOL_NUMBERS if protocols >> number & 1]
