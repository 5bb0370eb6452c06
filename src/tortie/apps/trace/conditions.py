"""What a rule asks of a packet, in the words of its document, and which of it a packet does not fulfil. Pure."""

from collections.abc import Iterable, Mapping
from typing import assert_never

from tortie.apps.packets import protocol_name
from tortie.model.address import format_address
from tortie.model.ipset import IPSet, NamedPortSet, SelectorSet, ServiceSet, SetSource
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, Packet, Side
from tortie.model.rule import Rule
from tortie.model.selector import ALL

MOST_VALUES = 4
"""Values of a list that a sentence names."""


def field_of(match: Match) -> str:
    """The field of a rule's document that the match comes from, such as `destination.ports`."""
    match match:
        case VersionMatch():
            return "ipVersion"
        case ProtocolMatch():
            return "notProtocol" if match.negated else "protocol"
        case IcmpMatch():
            return "notICMP" if match.negated else "icmp"
        case NetMatch():
            return f"{match.side.value}.{'notNets' if match.negated else 'nets'}"
        case SetMatch():
            word = "services" if isinstance(match.source, ServiceSet) else "selector"
            return f"{match.side.value}.not{word.capitalize()}" if match.negated else f"{match.side.value}.{word}"
        case PortMatch():
            return f"{match.side.value}.{'notPorts' if match.negated else 'ports'}"
        case _:
            assert_never(match)


def asked(match: Match) -> str:
    """The value of that field."""
    match match:
        case VersionMatch():
            return str(match.version)
        case ProtocolMatch():
            return protocol_name(match.protocol)
        case IcmpMatch():
            return f"type {match.type}" + ("" if match.code is None else f" code {match.code}")
        case NetMatch():
            return listed([str(net) for net in match.nets]) or "none"
        case SetMatch():
            return set_name(match.source)
        case PortMatch():
            return listed([*map(span, match.ranges), *map(set_name, match.named)])
        case _:
            assert_never(match)


def set_name(source: SetSource) -> str:
    """What a set of a rule stands for: a selector, a port's name, or a service."""
    match source:
        case SelectorSet():
            return source.selector.canonical
        case NamedPortSet():
            return source.port_name + ("" if source.selector == ALL else f" of {source.selector.canonical}")
        case ServiceSet():
            return f"{source.namespace}/{source.name}"
        case _:
            assert_never(source)


def span(ports: PortRange) -> str:
    """`80`, `8000:8080`."""
    return f"{ports.first}" if ports.first == ports.last else f"{ports.first}:{ports.last}"


def listed(values: Iterable[str], most: int = MOST_VALUES) -> str:
    """The first values, and how many there are beside."""
    every = list(values)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")


def words(rule: Rule) -> str:
    """The rule in one line: `Allow, protocol TCP, destination.ports 80, 443`; without a match `Allow, everything`."""
    matches = [f"{field_of(match)} {asked(match)}" for match in rule.matches]
    return ", ".join([rule.action.value, *(matches or ["everything"])])


def why_not(rule: Rule, packet: Packet, sets: Mapping[str, IPSet]) -> str:
    """The first thing that the rule asks and the packet is not, with what it is; empty where the rule holds."""
    failed = next((match for match in rule.matches if match.holds(packet, sets) is False), None)
    return "" if failed is None else f"{field_of(failed)} {asked(failed)}: {_found(failed, packet, sets)}"


def _found(match: Match, packet: Packet, sets: Mapping[str, IPSet]) -> str:
    """What the packet has where the match fails."""
    match match:
        case VersionMatch():
            return f"it is IPv{packet.version}"
        case ProtocolMatch():
            return f"it is {protocol_name(packet.protocol)}"
        case IcmpMatch():
            if packet.protocol not in (ICMP, ICMPV6):
                return f"it is {protocol_name(packet.protocol)}"
            return f"it is type {packet.icmp_type} code {packet.icmp_code}"
        case NetMatch():
            return f"{_address(packet, match.side)} is {'in one' if match.negated else 'in none'} of them"
        case SetMatch():
            return _membership(packet, match, sets)
        case PortMatch():
            if packet.protocol not in PORTED:
                return f"{protocol_name(packet.protocol)} has no ports"
            if not match.ranges and not match.negated:
                return f"{_address(packet, match.side)} has no such port {packet.port(match.side)}"
            return f"it is {packet.port(match.side)}"
        case _:
            assert_never(match)


def _membership(packet: Packet, match: SetMatch, sets: Mapping[str, IPSet]) -> str:
    address, members = _address(packet, match.side), sets.get(match.source.set_id)
    if match.negated:
        return f"{address} is one of them"
    size = len(members) if members is not None else 0
    what = "network" if isinstance(match.source, SelectorSet) else "address"
    if not size:
        return f"it stands for no {what} at all"
    return f"{address} is not in the {counted(size, what)} that it stands for"


def counted(number: int, noun: str) -> str:
    """`1 network`, `2 networks`, `1,000 addresses`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def _address(packet: Packet, side: Side) -> str:
    return format_address(packet.version, packet.address(side))
