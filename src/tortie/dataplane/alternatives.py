"""A policy rule as conjunctions that exclude each other: what a rule of netfilter can say, in whatever language. Pure.

Rules of nftables and iptables know conjunctions only, and one that cannot read its field is no match, a negated one
too. So a rule is looked at once for each sort of packet (IP version, kind of protocol), for which every match is never,
always, or a choice of conjunctions that exclude each other; protocols with equal outcome are joined again, so that a
usual rule becomes exactly one alternative. Because alternatives exclude each other, a counter on each of them counts a
packet once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import assert_never

from tortie.model.address import Net
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
PROTOCOL_NUMBERS = range(256)


def bits(protocols: Iterable[int]) -> int:
    """A set of protocols as a bit for each, which is quick to intersect for thousands of rules."""
    return sum(1 << protocol for protocol in protocols)


def numbers(protocols: int) -> list[int]:
    """The protocols that such bits stand for."""
    return [number for number in PROTOCOL_NUMBERS if protocols >> number & 1]


ALL_PROTOCOLS = bits(PROTOCOL_NUMBERS)


class Kind(Enum):
    """What a packet's protocol has: ports, type and code, or neither. The value has a bit for each such protocol."""

    PORTS = bits(PORTED)
    TYPE = bits((ICMP, ICMPV6))
    NEITHER = ALL_PROTOCOLS & ~bits((*PORTED, ICMP, ICMPV6))


_KINDS = tuple((kind, kind.value) for kind in Kind)


@dataclass(frozen=True, slots=True)
class AmongNets:
    """The address of that side is in one of the nets, none of which covers another; in none of them when negated."""

    side: Side
    version: int
    nets: tuple[Net, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class InSet:
    """The address (with protocol and port) of that side is in the union of the IP sets; or is not."""

    side: Side
    version: int
    set_ids: tuple[str, ...]
    has_ports: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class AmongPorts:
    """The port of that side is in one of the ranges (first, last), which are apart from each other; or in none."""

    side: Side
    ranges: tuple[tuple[int, int], ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class OfType:
    """ICMP type, and code unless None; or any but those."""

    type: int
    code: int | None
    negated: bool


Condition = AmongNets | InSet | AmongPorts | OfType
Conjunction = tuple[Condition, ...]
Choice = tuple[Conjunction, ...]
"""Conjunctions that exclude each other: none at all is never, one without conditions is always."""
NEVER: Choice = ()
ALWAYS: Choice = ((),)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Packets of one IP version and those protocols (as `bits`) for which all conditions hold.

    `is_sure` False: packets for which the policy rule may or may not hold.
    """

    version: int
    protocols: int
    conditions: Conjunction
    is_sure: bool


KindOfSet = Callable[[str], type[AddressSet] | type[PortSet] | None]
"""What an IP set holds; None for one that does not exist."""


@dataclass(frozen=True, slots=True)
class _Sort:
    """Packets that a match treats alike. A later fragment shows neither ports nor ICMP type."""

    version: int
    kind: Kind
    is_later: bool


def alternatives(rule: Rule, version: int, kind_of: KindOfSet, *, is_later: bool = False) -> Iterator[Alternative]:
    """The alternatives of a rule for packets of that IP version; no packet meets two of them.

    A later fragment for which a match needs what it does not show gives an alternative that is not sure.
    """
    wanted = _protocols(rule.matches)
    found: dict[tuple[Conjunction, bool], int] = {}
    for kind, members in _KINDS:
        protocols = wanted & members
        if not protocols:
            continue
        choices = _choices(rule.matches, _Sort(version, kind, is_later), kind_of)
        is_sure = None not in choices
        for chosen in product(*(choice for choice in choices if choice is not None)):
            key = (tuple(condition for one in chosen for condition in one), is_sure)
            found[key] = found.get(key, 0) | protocols
    for (conditions, is_sure), protocols in found.items():
        yield Alternative(version, protocols, conditions, is_sure)


def outermost(nets: Iterable[Net]) -> list[Net]:
    """The nets that no other one covers, sorted."""
    kept: list[Net] = []
    for net in sorted(nets):
        if not (kept and kept[-1].length <= net.length and kept[-1].contains(net.version, net.address)):
            kept.append(net)
    return kept


def _choices(matches: Iterable[Match], sort: _Sort, kind_of: KindOfSet) -> list[Choice | None]:
    """When each match holds, those without sets first: a set is not asked for where a rule never holds without it."""
    choices: list[Choice | None] = []
    for match in sorted(matches, key=lambda one: isinstance(one, SetMatch | PortMatch)):
        choices.append(_choice(match, sort, kind_of))
        if choices[-1] == NEVER:
            break
    return choices


def _choice(match: Match, sort: _Sort, kind_of: KindOfSet) -> Choice | None:
    """When the match holds for packets of that sort; None: it cannot be told."""
    match match:
        case VersionMatch():
            return ALWAYS if match.version == sort.version else NEVER
        case ProtocolMatch():
            return ALWAYS  # the rule's protocols are already those that all its protocol matches leave
        case NetMatch():
            return _nets(match, sort)
        case SetMatch():
            return _set(match, sort, kind_of)
        case PortMatch():
            return _ports(match, sort, kind_of)
        case IcmpMatch():
            return _icmp(match, sort)
        case _:
            assert_never(match)


def _nets(match: NetMatch, sort: _Sort) -> Choice:
    nets = outermost(net for net in match.nets if net.version == sort.version)
    return ((AmongNets(match.side, sort.version, tuple(nets), match.negated),),) if nets else _constant(match.negated)


def _set(match: SetMatch, sort: _Sort, kind_of: KindOfSet) -> Choice | None:
    set_id = match.source.set_id
    kind = kind_of(set_id)
    has_ports = kind is PortSet
    if kind is None or (has_ports and sort.kind is not Kind.PORTS):
        return _constant(match.negated)
    if has_ports and sort.is_later:
        return None
    return ((InSet(match.side, sort.version, (set_id,), has_ports, match.negated),),)


def _ports(match: PortMatch, sort: _Sort, kind_of: KindOfSet) -> Choice | None:
    if sort.kind is not Kind.PORTS:
        return _constant(match.negated)
    ranges = _join(match.ranges)
    named = _port_sets(match.named, kind_of) if match.named else ()
    if not ranges and not named:
        return _constant(match.negated)
    if sort.is_later:
        return None
    outside = (AmongPorts(match.side, ranges, True),) if ranges else ()
    in_set = (InSet(match.side, sort.version, named, True, match.negated),) if named else ()
    if match.negated:
        return ((*outside, *in_set),)
    inside: list[Conjunction] = [(AmongPorts(match.side, ranges, False),)] if ranges else []
    if named:
        inside.append((*outside, *in_set))
    return tuple(inside)


def _icmp(match: IcmpMatch, sort: _Sort) -> Choice | None:
    if sort.kind is not Kind.TYPE:
        return _constant(match.negated)
    return None if sort.is_later else ((OfType(match.type, match.code, match.negated),),)


def _port_sets(named: Iterable[NamedPortSet], kind_of: KindOfSet) -> tuple[str, ...]:
    return tuple(sorted({one.set_id for one in named if kind_of(one.set_id) is PortSet}))


def _protocols(matches: Iterable[Match]) -> int:
    """The protocols that all protocol matches of a rule leave."""
    left = ALL_PROTOCOLS
    for match in matches:
        if isinstance(match, ProtocolMatch):
            one = 1 << match.protocol
            left &= ~one if match.negated else one
    return left


def _join(ranges: Iterable[PortRange]) -> tuple[tuple[int, int], ...]:
    """Port ranges without overlap, sorted."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(r for r in ranges if r.first <= r.last):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def _constant(holds: bool) -> Choice:
    return ALWAYS if holds else NEVER
