"""The untracked rules that most packets meet, asked first: what they decide is what the whole chain would have decided.

The chains of an interface cost a packet some 200 to 500 ns: fragments, protocols, failsafe ports, tiers. What a server
is asked, and what it answers, needs none of it. The first rules of the first tier that look at a protocol and at ports
of one side only get a copy in front, narrowed to packets that no failsafe port can protect:

- on their own side, ports of the failsafe list for that side are left out;
- on the other side, only ports above the highest one of the other list, and never 0, so that both ports are read.

Everything else takes the long way, and meets the same rules there. The order of rules is kept because all copies of one
protocol look at the same side: a packet that a narrowed copy let pass fails the later ones for the same reason.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import PORTED, Direction, Side
from tortie.model.rule import Action, Rule

T = TypeVar("T")

MOST = 8
"""Rules that get one. Copies cost every other packet of their protocol something."""
_LAST_PORT = 65535
_OTHER = {Side.SOURCE: Side.DESTINATION, Side.DESTINATION: Side.SOURCE}


def shortcuts(rules: Iterable[tuple[T, Rule]], failsafes: Failsafes, direction: Direction) -> Iterator[tuple[T, Rule]]:
    """Copies of the first of those rules, which are of one tier, as far as they are simple; with their names."""
    sides: dict[int, Side] = {}
    for name, rule in islice(rules, MOST):
        simple = _simple(rule)
        if simple is None:
            return
        protocol, ports = simple
        if sides.setdefault(protocol.protocol, ports.side) is not ports.side:
            return
        narrowed = _narrowed(protocol, ports, failsafes, direction)
        if narrowed is None:
            return
        yield name, Rule(rule.action, narrowed)


def _simple(rule: Rule) -> tuple[ProtocolMatch, PortMatch] | None:
    """What a rule asks that looks at nothing else and decides."""
    match rule.matches:
        case (ProtocolMatch(negated=False) as protocol, PortMatch(named=(), negated=False) as ports):
            if rule.action in (Action.ALLOW, Action.DENY) and protocol.protocol in PORTED:
                return protocol, ports
    return None


def _narrowed(
    protocol: ProtocolMatch, ports: PortMatch, failsafes: Failsafes, direction: Direction
) -> tuple[ProtocolMatch, PortMatch, PortMatch] | None:
    # Packets are protected by their port here or, being replies, by the one that they come from.
    own, other = failsafes.inbound, failsafes.outbound
    if (ports.side is Side.DESTINATION) != (direction is Direction.INGRESS):
        own, other = other, own
    left = _without(ports.ranges, _ports(own, protocol.protocol))
    highest = max(_ports(other, protocol.protocol), default=0)
    if not left or highest == _LAST_PORT:
        return None
    others = PortMatch(_OTHER[ports.side], (PortRange(highest + 1, _LAST_PORT),))
    return protocol, PortMatch(ports.side, left), others


def _ports(entries: Iterable[FailsafePort], protocol: int) -> set[int]:
    """Ports of a list, those for certain nets too."""
    return {entry.port for entry in entries if entry.protocol == protocol}


def _without(ranges: Iterable[PortRange], ports: Iterable[int]) -> tuple[PortRange, ...]:
    """The ranges without those ports; ascending and disjoint."""
    left: list[PortRange] = []
    for first, last in sorted(ranges):
        start = max(first, left[-1].last + 1) if left else first
        if start <= last:
            left.append(PortRange(start, last))
    for port in ports:
        left = [
            PortRange(*part)
            for first, last in left
            for part in ((first, min(last, port - 1)), (max(first, port + 1), last))
            if part[0] <= part[1]
        ]
    return tuple(sorted(set(left)))
