"""Verdicts in sentences: what decided, and why, in the words of an operator."""

from tortie.model.conntrack import has_possible_flags
from tortie.model.packet import ACK, FIN, ICMP, ICMP_ERRORS, ICMP_REPLIES, ICMPV6, RST, SCTP, SYN, TCP, Packet
from tortie.model.verdict import Reason, RuleRef

MEANING = {
    Reason.NOT_IP: "no IP packet",
    Reason.MALFORMED: "the headers are cut short or contradict themselves",
    Reason.SOURCE_ROUTE: "the sender chose the way, and the last address of it is hidden from policy",
    Reason.IPV6_EXT: "it has more than six IPv6 extension headers",
    Reason.MARTIAN: "nobody outside this host can have such an address, so no policy is asked",
    Reason.FAILSAFE: "a failsafe port, which is open whatever policy says",
    Reason.ESSENTIAL_ICMPV6: "IPv6 itself needs this packet",
    Reason.NO_MATCH: "no untracked rule decides",
    Reason.FRAGMENT: "a later fragment whose ports could matter",
    Reason.NO_ENDPOINT: "no host endpoint governs this interface, so it is open",
    Reason.TO_HOST: "what defaultEndpointToHostAction does with packets from workloads to their own host",
    Reason.UNKNOWN_WORKLOAD: "the interface is a workload's, and no workload endpoint is known for it",
    Reason.ESTABLISHED: "it belongs to a known connection, whose first packet was allowed",
    Reason.RELATED: "an ICMP error about a known connection",
    Reason.FORWARDED: "it is not for this host but forwarded, which no policy of the normal class is asked about",
}


_STRAY_ANSWER = "the reply to no known connection: a SYN-ACK without its SYN"


def because(reason: Reason, rule: RuleRef | None, packet: Packet) -> str:
    """Why the packet got its verdict: the rule that decided, or the reason where none did."""
    if rule is not None:
        return place(rule.tier, str(rule.policy), shown_index(rule))
    if reason is Reason.INVALID:
        return _stray(packet)
    return MEANING.get(reason) or f"{reason.value}"


def shown_index(rule: RuleRef) -> int | None:
    """The rule's number as documents count; None for what decides without being a rule."""
    return rule.index if rule.index >= 0 else None


def place(tier: str, policy: str, rule: int | None) -> str:
    """What decided, or was met on the way, from its names."""
    kind, _, rest = policy.partition("(")
    match kind, rule:
        case "Tier", None:
            return f"end of tier {tier}: no rule of it matched, and the tier denies"
        case "Profile", None:
            return f"profile {rest[:-1]} does not exist, and a missing profile denies"
        case "HostEndpoint" | "WorkloadEndpoint", None:
            return f"no policy and no profile allows it: the default deny of {policy}"
        case "Profile", _:
            return f"profile {rest[:-1]}, rule {rule}"
        case _:
            return f"tier {tier}, {policy}, rule {rule}"


def _stray(packet: Packet) -> str:
    """What is wrong with a packet that belongs to no connection and may not open one."""
    flags = packet.tcp_flags
    match packet.protocol:
        case protocol if protocol == TCP:
            if not has_possible_flags(packet):
                return "no host sends a packet with these TCP flags"
            if flags & SYN:
                is_answer = bool(flags & ACK)
                return _STRAY_ANSWER if is_answer else "taken for part of no connection, which it may not open either"
            kind = "RST" if flags & RST else "FIN" if flags & FIN else "packet"
            return f"part of no known connection: a {kind} without the SYN before it"
        case protocol if protocol == SCTP:
            return "part of no known connection: an SCTP packet without the INIT before it"
        case protocol if protocol in (ICMP, ICMPV6):
            if packet.icmp_type in ICMP_REPLIES[protocol]:
                return "the reply to no known request"
            if packet.icmp_type in ICMP_ERRORS[protocol]:
                return "an ICMP error about no known connection"
            return "an ICMP message that neither asks nor answers"
        case _:
            return "part of no known connection"


def flag_names(flags: int) -> str:
    """`SYN+ACK`; `no flags` for none."""
    names = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
    return "+".join(name for bit, name in enumerate(names) if flags >> bit & 1) or "no flags"
