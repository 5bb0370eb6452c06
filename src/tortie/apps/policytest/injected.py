"""The packets of a test through a dataplane in netfilter's hooks: real ones, in a network namespace of their own."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tortie.apps.failure import Code, Failure
from tortie.apps.policytest.running import Judged, ProgramAnswer, Ran, answer_of, forced, opener_in
from tortie.dataplane.driver import Driver
from tortie.dataplane.ground import ground
from tortie.dataplane.injected import Asked, Injected, Shown
from tortie.dataplane.iptables import driver as iptables
from tortie.dataplane.nftables import driver as nftables
from tortie.kernel.features import capabilities
from tortie.model.conntrack import Relation, is_icmp_error
from tortie.model.dataplane import IPTABLES, NFTABLES
from tortie.model.desired import DesiredState, EndpointState
from tortie.model.host import Host
from tortie.model.packet import ACK, ICMP, ICMPV6, SCTP, SYN, TCP, UDPLITE, Fragment, Packet
from tortie.model.passage import Way
from tortie.model.tables import Backend, TablesUse

VARIANTS: Mapping[str, Callable[[], Driver]] = {
    NFTABLES: nftables.NftablesDriver,
    IPTABLES: iptables.IptablesDriver,
    f"{IPTABLES}-nft": lambda: iptables.IptablesDriver(TablesUse(Backend.NFT)),
    f"{IPTABLES}-legacy": lambda: iptables.IptablesDriver(TablesUse(Backend.LEGACY)),
}
"""Dataplanes that can be asked like this, and variants of them."""
_NEEDED = ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN")
_DCCP, _GRE = 33, 47
_READ_BY_TRACKING = (SCTP, _DCCP, UDPLITE, _GRE)
_NO_NEXT_HEADER = 59
_UNTRACKED_TYPES = (*range(130, 138), 141, 142, 143, *range(148, 154))
_ANSWER = SYN | ACK
_FAMILY = {ICMP: 4, ICMPV6: 6}


def ask(ran: Ran, variant: str, *, alone: bool) -> Ran:
    """The same with what that variant did; alone: that is what expectations are about, else the evaluator's verdict is,
    with which it has to agree.

    Raises: Failure without privileges, KernelError, Unsupported.
    """
    if absent := [name for name in _NEEDED if name not in capabilities()]:
        raise Failure(
            Code.FAILED, f"this process lacks {', '.join(absent)}: run as root, or give it these capabilities"
        )
    host = ran.world.host
    refused = nftables.refusals if variant == NFTABLES else iptables.refusals
    refusals = {name: reasons for name, state in host.endpoints.items() if (reasons := refused(state))}
    openers = [opener_in(ran.judged, one) if one.relation is Relation.ESTABLISHED else None for one in ran.judged]
    why_not = [_why_not(one, host, refusals, opener) for one, opener in zip(ran.judged, openers, strict=True)]
    asked = [
        Asked(one.probe.on_wire, one.probe.way, one.passage, opener)
        for one, opener, reason in zip(ran.judged, openers, why_not, strict=True)
        if not reason
    ]
    shown = iter(_shown(asked, host, refusals, variant) if asked else ())
    answers = [
        ProgramAnswer(None, None, None, reason, variant) if reason else answer_of(next(shown), variant)
        for reason in why_not
    ]
    judged = tuple(
        replace(one, programs=answer, is_of_programs=alone) for one, answer in zip(ran.judged, answers, strict=True)
    )
    return replace(ran, judged=judged)


def _shown(asked: list[Asked], host: Host, refusals: Mapping[str, object], variant: str) -> list[Shown]:
    ways = [one.way for one in asked]
    names = {name for way in ways for name in (way.arrives, way.leaves) if name is not None}
    enforced: dict[str, EndpointState] = {
        name: state for name, state in host.endpoints.items() if name in names and name not in refusals
    }
    desired = DesiredState(
        endpoints=enforced,
        sets=host.sets,
        failsafes=host.failsafes,
        addresses=host.addresses,
        tracking=host.tracking,
    )
    with ground(sorted(names), ways) as made:
        return Injected(made, VARIANTS[variant](), desired).ask(asked)


# ---- what cannot be shown like this


def _why_not(one: Judged, host: Host, refusals: Mapping[str, tuple[str, ...]], opener: Packet | None) -> str:
    """Why the packet cannot be tried; empty where it can."""
    way, packet = one.probe.way, one.probe.on_wire
    names = [name for name in (way.arrives, way.leaves) if name is not None]
    if any(host.is_workload(name) for name in names):
        return "interfaces of workloads are not enforced yet"
    endpoints = [name for name in names if name in host.endpoints]
    if not endpoints or any(host.endpoints[name].interface.is_loopback for name in endpoints):
        return "no rule is on this interface: it has no host endpoint"
    if refused := [reasons[0] for name in endpoints if (reasons := refusals.get(name))]:
        return refused[0]
    if packet.fragment is not Fragment.WHOLE:
        return "connection tracking joins fragments before rules see them, and a test has single ones"
    if is_icmp_error(packet):
        return "a real ICMP error holds what it is about, and a test's does not"
    return _why_not_tracked(one, opener) or _why_not_offered(packet, way)


def _why_not_tracked(one: Judged, opener: Packet | None) -> str:
    """Why the kernel's connection tracking would make something else of the packet than the test (differences.md)."""
    packet = one.probe.on_wire
    if reason := forced(one, opener):
        return f"the kernel's own table of connections is asked, and {reason}"
    if packet.protocol in _READ_BY_TRACKING or (packet.version, packet.protocol) == (6, _NO_NEXT_HEADER):
        return "connection tracking reads more of this protocol's headers than a test describes"
    if _FAMILY.get(packet.protocol, packet.version) != packet.version:
        return "connection tracking knows ICMP in IPv4 only, and ICMPv6 in IPv6"
    if packet.protocol == ICMPV6 and packet.icmp_type in _UNTRACKED_TYPES:
        return "connection tracking leaves this type of ICMPv6 alone: nothing shows whether policy did"
    if opener is not None and packet.tcp_flags & _ANSWER == _ANSWER and _is_from_opener(packet, opener):
        return "connection tracking follows TCP, and calls a SYN+ACK of who opened the connection invalid"
    if one.relation is Relation.INVALID and one.passage.is_rejected:
        return "invalid packets are dropped silently by rules, also where denials are answered"
    return ""


def _is_from_opener(packet: Packet, opener: Packet) -> bool:
    ends = (packet.source, packet.source_port)
    return packet.protocol == TCP and ends == (opener.source, opener.source_port)


def _why_not_offered(packet: Packet, way: Way) -> str:
    """Why the kernel would not let rules see the packet: it decides about some addresses before."""
    if way.arrives is not None and way.leaves is not None and packet.hop_limit < 2:
        return "a router passes on nothing whose hop limit is used up"
    ends = packet.source, packet.destination
    if packet.version == 4:
        is_offered = all(0 < end >> 24 < 224 and end >> 24 != 127 for end in ends)
    else:
        is_offered = not any(end >> 120 == 0xFF or end >> 32 in (0, 0xFFFF) or end >> 118 == 0x3FA for end in ends)
    return "" if is_offered else "the kernel decides about such addresses before rules see them"
