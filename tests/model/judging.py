"""Short words for rules, packets and outcomes in the tests of the evaluator."""

from tortie.model.address import parse_address
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import SelectorSet
from tortie.model.matches import Match, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import ICMPV6, TCP, Direction, Fragment, Packet, Side
from tortie.model.policy import PolicyKey
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector
from tortie.model.verdict import Reason, Trace, Verdict

IN, OUT = Direction.INGRESS, Direction.EGRESS
NO_FAILSAFES = Failsafes((), ())
BLOCKED = SelectorSet(parse_selector("has(blocked)"))
REDIS_PORT = (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(6379, 6379),)))


def allow(*matches: Match) -> Rule:
    return Rule(Action.ALLOW, matches)


def deny(*matches: Match) -> Rule:
    return Rule(Action.DENY, matches)


def skip(*matches: Match) -> Rule:
    return Rule(Action.PASS, matches)


def log(*matches: Match) -> Rule:
    return Rule(Action.LOG, matches)


def key(name: str) -> PolicyKey:
    return PolicyKey("GlobalNetworkPolicy", "", name)


def tcp(destination_port: int = 6379, source: str = "10.0.0.1", source_port: int = 40000) -> Packet:
    version, address = parse_address(source)
    return Packet(
        version=version,
        protocol=TCP,
        source=address,
        destination=address ^ 3,
        source_port=source_port,
        destination_port=destination_port,
    )


def icmp6(kind: int, hop_limit: int = 255) -> Packet:
    return Packet(version=6, protocol=ICMPV6, source=1, destination=2, icmp_type=kind, icmp_code=0, hop_limit=hop_limit)


def later(protocol: int = TCP) -> Packet:
    return Packet(version=4, protocol=protocol, source=1, destination=2, fragment=Fragment.LATER, fragment_id=7)


def outcome(trace: Trace) -> tuple[Verdict, Reason]:
    return trace.verdict, trace.reason
