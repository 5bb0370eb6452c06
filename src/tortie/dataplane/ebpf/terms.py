"""A rule as a disjunction of terms: conjunctions of address sets, protocols and port spans that the classifier takes.

Most rules are one term. Named ports make several, because they tie an address to a port; so does a negation that other
protocols escape. The terms of one rule never hold together, so that a packet meets the rule once. For a later fragment
a term with spans is unknown; the terms are cut so that the rule's answer is then the one of `Rule.holds`: no spans at
all, (), hold for no whole packet, and still leave a later fragment unknown.

This is the eBPF driver's one place that knows the match types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never

from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, Side
from tortie.model.rule import Rule

Span = tuple[int, int]
"""First and last value, both included."""
Spans = tuple[Span, ...]
"""Disjoint, ascending, not adjacent."""

EVERY_PROTOCOL = (1 << 256) - 1
_PORTED = sum(1 << protocol for protocol in PORTED)
_ICMPS = 1 << ICMP | 1 << ICMPV6


class NetsAtom(NamedTuple):
    """The nets that one match names."""

    nets: tuple[Net, ...]


class SetAtom(NamedTuple):
    """The members of an IP set; of a port set, the addresses with that protocol (and port, unless None)."""

    set_id: str
    protocol: int | None = None
    port: int | None = None


Atom = NetsAtom | SetAtom
Atoms = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """All of it must hold.

    `version` 0 is both; spans None are no constraint, () is no port; `dports` of ICMP are type << 8 | code.
    """

    version: int = 0
    protocols: int = EVERY_PROTOCOL
    dports: Spans | None = None
    sports: Spans | None = None
    source_in: Atoms = ()
    source_out: Atoms = ()
    destination_in: Atoms = ()
    destination_out: Atoms = ()


EVERYTHING = Term()


def terms(rule: Rule, sets: Mapping[str, IPSet]) -> tuple[Term, ...]:
    """The rule's terms; none if it cannot hold. `sets` gives the port sets' members, which the terms depend on."""
    found: Sequence[Term] = (EVERYTHING,)
    for match in rule.matches:
        ways = _alternatives(match, sets)
        found = [both for term in found for way in ways if (both := _both(term, way)) is not None]
    return tuple(found)


def _alternatives(match: Match, sets: Mapping[str, IPSet]) -> Sequence[Term]:
    match match:
        case VersionMatch(version=version):
            return (Term(version=version),)
        case ProtocolMatch(protocol=protocol, negated=negated):
            bit = 1 << protocol
            return (Term(protocols=EVERY_PROTOCOL ^ bit if negated else bit),)
        case IcmpMatch():
            return _icmp(match)
        case NetMatch(side=side, nets=nets, negated=negated):
            if not nets:
                return (EVERYTHING,) if negated else ()
            return (_address(side, NetsAtom(nets), negated=negated),)
        case SetMatch(side=side, source=source, negated=negated):
            members = sets.get(source.set_id)
            if isinstance(members, PortSet):
                return _ports(side, (), ((source.set_id, members),), negated=negated)
            if isinstance(members, AddressSet):
                return (_address(side, SetAtom(source.set_id), negated=negated),)
            return (EVERYTHING,) if negated else ()
        case PortMatch(side=side, ranges=ranges, named=named, negated=negated):
            return _ports(side, ranges, _port_sets(named, sets), negated=negated)
        case _:
            assert_never(match)


def _icmp(match: IcmpMatch) -> Sequence[Term]:
    first = match.type << 8
    spans: Spans = ((first, first | 255),) if match.code is None else ((first | match.code, first | match.code),)
    if not match.negated:
        return (Term(protocols=_ICMPS, dports=spans),)
    return (Term(protocols=EVERY_PROTOCOL ^ _ICMPS), Term(protocols=_ICMPS, dports=_complement(spans)))


def _address(side: Side, atom: Atom, *, negated: bool) -> Term:
    if side is Side.SOURCE:
        return Term(source_out=(atom,)) if negated else Term(source_in=(atom,))
    return Term(destination_out=(atom,)) if negated else Term(destination_in=(atom,))


def _port_sets(named: Iterable[NamedPortSet], sets: Mapping[str, IPSet]) -> Sequence[tuple[str, PortSet]]:
    found = ((source.set_id, sets.get(source.set_id)) for source in named)
    return [(set_id, members) for set_id, members in found if isinstance(members, PortSet)]


def _ports(
    side: Side, ranges: Iterable[Span], named: Sequence[tuple[str, PortSet]], *, negated: bool
) -> Sequence[Term]:
    """Ports in the ranges, or (address, protocol, port) in one of the sets; or neither, when negated."""
    spans = _union(ranges)
    members = [(set_id, sorted(port_set.members)) for set_id, port_set in named if port_set.members]
    if not negated:
        found = [_with_spans(side, _PORTED, spans)] if spans else []
        for index, (set_id, one) in enumerate(members):
            earlier = members[:index]
            for protocol, port in _distinct(one):
                if not _covers(spans, port):
                    term = _with_spans(side, 1 << protocol, ((port, port),))
                    inside = _address(side, SetAtom(set_id, protocol, port), negated=False)
                    outside = [
                        _address(side, SetAtom(s, protocol, port), negated=True)
                        for s, m in earlier
                        if _has(m, protocol, port)
                    ]
                    found.extend(_all((term, inside, *outside)))
        return found
    return [Term(protocols=EVERY_PROTOCOL ^ _PORTED), *(t for p in PORTED for t in _not_ports(side, p, spans, members))]


def _not_ports(
    side: Side, protocol: int, spans: Spans, members: Sequence[tuple[str, Sequence[PortMember]]]
) -> Sequence[Term]:
    """Neither in the spans nor a member, for one protocol.

    Addresses without any named port of the protocol are one term, which asks for no port if there are no spans; for the
    others each named port is a term, and all other ports are one.
    """
    outside = _complement(spans) if spans else None
    mine = [(set_id, ports) for set_id, one in members if (ports := {m.port for m in one if m.protocol == protocol})]
    anywhere = Term(protocols=1 << protocol) if outside is None else _with_spans(side, 1 << protocol, outside)
    if not mine:
        return (anywhere,)
    named = sorted(set[int]().union(*(ports for _, ports in mine)))
    found: list[Term] = []
    found.extend(_all((anywhere, *(_address(side, SetAtom(s, protocol), negated=True) for s, _ in mine))))
    others = _complement(_union([*spans, *((port, port) for port in named)]))
    for index, (set_id, _) in enumerate(mine):
        # an address in several sets belongs to the first of them, so that the terms stay disjoint
        who = [_address(side, SetAtom(set_id, protocol), negated=False)]
        who += [_address(side, SetAtom(s, protocol), negated=True) for s, _ in mine[:index]]
        found.extend(_all((_with_spans(side, 1 << protocol, others), *who)))
        for port in named:
            if not _covers(spans, port):
                not_it = [
                    _address(side, SetAtom(s, protocol, port), negated=True) for s, ports in mine if port in ports
                ]
                found.extend(_all((_with_spans(side, 1 << protocol, ((port, port),)), *who, *not_it)))
    return found


def _distinct(members: Iterable[PortMember]) -> Iterable[tuple[int, int]]:
    return dict.fromkeys((member.protocol, member.port) for member in members)


def _has(members: Iterable[PortMember], protocol: int, port: int) -> bool:
    return any(member.protocol == protocol and member.port == port for member in members)


def _with_spans(side: Side, protocols: int, spans: Spans) -> Term:
    if side is Side.SOURCE:
        return Term(protocols=protocols, sports=spans)
    return Term(protocols=protocols, dports=spans)


def _all(parts: Iterable[Term]) -> Sequence[Term]:
    """The conjunction, as none or one term."""
    found: Term | None = EVERYTHING
    for part in parts:
        found = _both(found, part) if found is not None else None
    return () if found is None else (found,)


def _both(one: Term, other: Term) -> Term | None:
    """The conjunction of two terms; None if nothing can be both."""
    if one is EVERYTHING:
        return other if other.protocols else None
    if one.version and other.version and one.version != other.version:
        return None
    protocols = one.protocols & other.protocols
    dports, sports = _meet(one.dports, other.dports), _meet(one.sports, other.sports)
    if not protocols:
        return None
    return replace(
        one,
        version=one.version or other.version,
        protocols=protocols,
        dports=dports,
        sports=sports,
        source_in=one.source_in + other.source_in,
        source_out=one.source_out + other.source_out,
        destination_in=one.destination_in + other.destination_in,
        destination_out=one.destination_out + other.destination_out,
    )


def _meet(one: Spans | None, other: Spans | None) -> Spans | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple((max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d))


def _union(spans: Iterable[Span]) -> Spans:
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _complement(spans: Spans) -> Spans:
    found, start = [], 0
    for first, last in spans:
        if first > start:
            found.append((start, first - 1))
        start = last + 1
    if start <= 65535:
        found.append((start, 65535))
    return tuple(found)


def _covers(spans: Spans, port: int) -> bool:
    return any(first <= port <= last for first, last in spans)
