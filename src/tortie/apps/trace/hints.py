"""Mistakes that a verdict gives away, with what to do about them."""

from collections.abc import Mapping
from dataclasses import replace

from tortie.apps.packets import protocol_name
from tortie.apps.trace.conditions import span
from tortie.model.desired import EndpointState
from tortie.model.evaluate import evaluate_untracked
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.matches import PortMatch, ProtocolMatch, VersionMatch
from tortie.model.packet import ACK, ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6, SYN, TCP, Direction, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Rule
from tortie.model.verdict import Trace, Verdict


def forgotten_request(
    packet: Packet,
    direction: Direction,
    endpoint: EndpointState,
    sets: Mapping[str, IPSet],
    failsafes: Failsafes,
    found: Trace,
) -> str | None:
    """What to add where the packet is denied although it answers one that untracked policy allowed; None otherwise.

    Because: an untracked flow leaves no entry in the connection table, so its replies need a rule of their own.
    """
    request = _request(packet)
    if found.verdict is not Verdict.DENY or found.stage is not Stage.NORMAL or request is None:
        return None
    other = Direction.EGRESS if direction is Direction.INGRESS else Direction.INGRESS
    asked = evaluate_untracked(request, other, endpoint, sets, failsafes)
    rule = endpoint.rule(Stage.UNTRACKED, other, asked.rule) if asked.rule is not None else None
    if asked.verdict is not Verdict.ALLOW or asked.rule is None or rule is None:
        return None
    if packet.protocol == TCP and packet.tcp_flags & (SYN | ACK) == SYN and not _ports(rule):
        return None  # it opens a connection of its own, and no port says otherwise
    return (
        f"the request was allowed untracked by {asked.rule.policy}, rule {asked.rule.index}, so nothing remembers it: "
        f"add the mirrored rule ({_mirrored(rule)}) to its {direction.value}"
    )


def _request(packet: Packet) -> Packet | None:
    """What the packet would be the reply to; None where it cannot be one."""
    asked = replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        tcp_flags=SYN,
    )
    if packet.protocol not in (ICMP, ICMPV6):
        return asked
    replies = ICMP_REPLIES[packet.protocol]
    if packet.icmp_type not in replies:
        return None
    return replace(asked, icmp_type=ICMP_REQUESTS[packet.protocol][replies.index(packet.icmp_type)])


def _ports(rule: Rule) -> list[PortMatch]:
    """What the rule asks of the destination port."""
    return [m for m in rule.matches if isinstance(m, PortMatch) and m.side is Side.DESTINATION and not m.negated]


def _mirrored(rule: Rule) -> str:
    """The rule for the way back: Allow, its protocol, and its destination ports as source ports."""
    protocol = next((m.protocol for m in rule.matches if isinstance(m, ProtocolMatch) and not m.negated), None)
    words = ["Allow"] if protocol is None else [f"Allow, protocol {protocol_name(protocol)}"]
    ports = _ports(rule)
    if ports:
        listed = [span(one) for match in ports for one in match.ranges]
        listed += [source.port_name for match in ports for source in match.named]
        words.append(f"source ports [{', '.join(listed)}]")
    plain = [m for m in rule.matches if isinstance(m, ProtocolMatch | VersionMatch)]
    if len(rule.matches) > len(plain) + len(ports):
        words.append("and what else it asks, with source and destination swapped")
    return ", ".join(words)
