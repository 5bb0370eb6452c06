"""The rules that most packets meet, asked first: what they decide is what the whole chain would have decided.

The chain of an interface costs a packet some 500 ns: fragments, protocols, failsafe ports, tiers. A server's replies
need none of it. The first rules of the first tier that look at a protocol and at ports of one side only get a copy in
front, narrowed to packets that no failsafe port can protect:

- on their own side, ports of the failsafe list for that side are left out;
- on the other side, only ports above the highest one of the other list.

Everything else takes the long way, and meets the same rules there. The order of rules is kept because all copies of one
protocol look at the same side: a packet that a narrowed copy let pass fails the later ones for the same reason.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import PORTED, Side
from tortie.model.rule import Action, Rule

MOST = 8
"""Copies cost every other packet of their protocol something."""
_FIELDS = {Side.SOURCE: ("sport", "dport"), Side.DESTINATION: ("dport", "sport")}


class Shortcut(NamedTuple):
    """The number of a rule in its tier, and the nft match of the packets it surely decides."""

    rule: int
    match: str


def shortcuts(rules: Sequence[Rule], failsafes: Failsafes) -> list[Shortcut]:
    """Copies for the first rules of the first tier, as far as they are simple; in their order."""
    found: list[Shortcut] = []
    sides: dict[int, Side] = {}
    for number, rule in enumerate(rules[:MOST]):
        simple = _simple(rule)
        if simple is None:
            break
        protocol, ports = simple
        if sides.setdefault(protocol, ports.side) is not ports.side:
            break
        match = _match(protocol, ports, failsafes)
        if match is None:
            break
        found.append(Shortcut(number, match))
    return found


def _simple(rule: Rule) -> tuple[int, PortMatch] | None:
    """Protocol and ports of a rule that looks at nothing else and decides."""
    match rule.matches:
        case (ProtocolMatch(protocol=protocol, negated=False), PortMatch(named=(), negated=False) as ports):
            if rule.action in (Action.ALLOW, Action.DENY) and protocol in PORTED:
                return protocol, ports
    return None


def _match(protocol: int, ports: PortMatch, failsafes: Failsafes) -> str | None:
    own, other = failsafes.inbound, failsafes.outbound
    if ports.side is Side.DESTINATION:
        own, other = other, own
    left = _without(ports.ranges, _ports(own, protocol))
    highest = max(_ports(other, protocol), default=0)
    if not left or highest == 65535:
        return None
    field, other_field = _FIELDS[ports.side]
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in left]
    among = texts[0] if len(texts) == 1 else f"{{ {', '.join(texts)} }}"
    above = f" th {other_field} > {highest}" if highest else ""
    return f"meta l4proto {protocol} th {field} {among}{above}"


def _ports(entries: Iterable[FailsafePort], protocol: int) -> set[int]:
    """Ports of a list, those for certain nets too."""
    return {entry.port for entry in entries if entry.protocol == protocol}


def _without(ranges: Iterable[PortRange], ports: Iterable[int]) -> list[tuple[int, int]]:
    """The ranges without those ports; ascending and disjoint, as an nft set wants them."""
    left: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        start = max(first, left[-1][1] + 1) if left else first
        if start <= last:
            left.append((start, last))
    for port in ports:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, port - 1)), (max(first, port + 1), last))
            if part[0] <= part[1]
        ]
    return sorted(set(left))
