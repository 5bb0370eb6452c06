"""Connection tracking: which flow a packet belongs to, what opens one, and how a flow ages.

This is the meaning; `bpf/include/tortie/flows.h` is the same in the kernel, and the differential test holds them
together. A flow is stored when its first packet was allowed; every later packet of it is exempt from tracked policy.

    OPENING ──answered, and acknowledged by the opener──▶ ESTABLISHED ──FIN of both ends──▶ CLOSED
       └───────────────────────────── RST that fits ─────────────────────────────────────▶ CLOSED

Source: semantics.md, rows "TCP flags" to "Established and related"; RFC 5961 section 3 for resets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tortie.model.packet import (
    ACK,
    CWR,
    ECE,
    FIN,
    ICMP,
    ICMP_ERRORS,
    ICMP_REPLIES,
    ICMP_REQUESTS,
    ICMPV6,
    PORTED,
    PSH,
    RST,
    SYN,
    TCP,
    URG,
    Direction,
    Fragment,
    Packet,
)

DEFAULT_TABLE_SIZE = 512_000
"""Assured flows of each family. Source: reference config.md, bpfMapSizeConntrack."""

POSSIBLE_FLAGS = frozenset({SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, SYN | URG, ACK | URG, FIN | ACK | URG})
_IGNORED_FLAGS = PSH | ECE | CWR
_WORD = (1 << 32) - 1
MOST_IN_FLIGHT = 1 << 24
"""Bytes that one end may be ahead of what the other has acknowledged, which no stranger can forge for the host's end.
Larger windows exist (RFC 7323), and cost only this: a reset at their far edge does not close the flow here."""

MOST_UNCONFIRMED = 1 << 16
"""Bytes that an answer may be ahead of the acknowledgement that confirms a flow: whoever forges the opener's address
cannot know what to acknowledge."""


class Relation(Enum):
    """What a packet is to the connection table."""

    NEW = "new"
    ESTABLISHED = "established"
    RELATED = "related"
    INVALID = "invalid"


class FlowState(Enum):
    """How far a flow is. Only TCP closes; only a flow that both ends confirmed is established, and so is assured."""

    OPENING = 0
    ESTABLISHED = 1
    CLOSED = 2
    RESET = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Idle seconds after which a flow is forgotten; closed ones count from their end. Source: config.md section 7."""

    tcp_syn_sent_s: float = 20.0
    tcp_established_s: float = 3600.0
    tcp_fins_seen_s: float = 30.0
    tcp_reset_seen_s: float = 40.0
    udp_s: float = 60.0
    icmp_s: float = 5.0
    generic_s: float = 600.0

    def of(self, protocol: int, state: FlowState) -> float:
        """The timeout of a flow."""
        match protocol:
            case 6:
                return {
                    FlowState.OPENING: self.tcp_syn_sent_s,
                    FlowState.ESTABLISHED: self.tcp_established_s,
                    FlowState.CLOSED: self.tcp_fins_seen_s,
                    FlowState.RESET: self.tcp_reset_seen_s,
                }[state]
            case 17:
                return self.udp_s
            case 1 | 58:
                return self.icmp_s
            case _:
                return self.generic_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """How connections are tracked on this host. `size`: most assured flows of each family.

    `drops_invalid` False (disableConntrackInvalidCheck): policy decides about invalid packets too, and they open no
    flow.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    size: int = DEFAULT_TABLE_SIZE
    drops_invalid: bool = True


FlowKey = tuple[int, int, int, int, int, int]
"""Version, protocol, then address and port of the lower end and of the higher one. Of ICMP: asker, identifier,
answerer, type of the request; it has one key for each end that asks, and for each thing it asks for."""


@dataclass(slots=True)
class Flow:
    """One connection. Ends are 0 (lower in the key) and 1; `opener` is the one that sent the first packet."""

    key: FlowKey
    opener: int
    is_outbound: bool
    interface: str
    seen_s: float
    state: FlowState = FlowState.OPENING
    is_answered: bool = False
    has_left: bool = False
    """An arriving packet opened it, and policy let a packet of the opener leave again, by another interface."""
    fins: int = 0
    next: list[int | None] = field(default_factory=lambda: [None, None])
    """By end: the sequence number after the highest one it has sent."""
    acked: list[int | None] = field(default_factory=lambda: [None, None])
    """By end: the last acknowledgement it has sent."""

    @property
    def is_closed(self) -> bool:
        """Whether a SYN may begin another connection on the same ports."""
        return self.state in (FlowState.CLOSED, FlowState.RESET)


def has_possible_flags(packet: Packet) -> bool:
    """Whether a TCP packet's flags make sense."""
    return packet.tcp_flags & ~_IGNORED_FLAGS in POSSIBLE_FLAGS


def can_open(packet: Packet) -> bool:
    """Whether the packet, if it is in no flow, opens one where policy lets it."""
    match packet.protocol:
        case 6:
            return packet.tcp_flags & ~_IGNORED_FLAGS & ~URG in (SYN, ACK)
        case 1 | 58:
            return packet.icmp_type in ICMP_REQUESTS[packet.protocol]
        case 132:
            return packet.is_sctp_init
        case _:
            return True


def is_icmp_error(packet: Packet) -> bool:
    """Whether the packet carries the start of another one. One of the other family is nothing that a host reads."""
    protocol = ICMP if packet.version == 4 else ICMPV6
    return packet.protocol == protocol and packet.icmp_type in ICMP_ERRORS[protocol]


def key_of(packet: Packet) -> tuple[FlowKey, int] | None:
    """The packet's flow key and the end that sent it; None where it cannot be in a flow, or does not show its ports."""
    if packet.fragment is Fragment.LATER and packet.protocol in (*PORTED, ICMP, ICMPV6):
        return None
    if packet.protocol in (ICMP, ICMPV6):
        kind, number = packet.icmp_type, packet.icmp_id
        requests, replies = ICMP_REQUESTS[packet.protocol], ICMP_REPLIES[packet.protocol]
        if kind in requests:
            return (packet.version, packet.protocol, packet.source, number, packet.destination, kind), 0
        if kind in replies:
            asked = requests[replies.index(kind)]
            return (packet.version, packet.protocol, packet.destination, number, packet.source, asked), 1
        return None
    if packet.protocol not in PORTED:
        return key_between(packet.version, packet.protocol, packet.source, 0, packet.destination, 0)
    source_port, destination_port = packet.source_port or 0, packet.destination_port or 0
    return key_between(
        packet.version, packet.protocol, packet.source, source_port, packet.destination, destination_port
    )


def key_between(
    version: int, protocol: int, source: int, source_port: int, destination: int, destination_port: int
) -> tuple[FlowKey, int]:
    """The flow key of what goes between two ends, and which of them is the source. Not for ICMP."""
    if (source, source_port) <= (destination, destination_port):
        return (version, protocol, source, source_port, destination, destination_port), 0
    return (version, protocol, destination, destination_port, source, source_port), 1


class ConnectionTable:
    """The flows of one host. Time is an argument, in seconds on any clock that only grows."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._flows: dict[FlowKey, Flow] = {}

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def find(self, packet: Packet, now_s: float) -> Flow | None:
        """The live flow that the packet belongs to. A SYN does not belong to a closed one."""
        flow = self._live(packet, now_s)
        return None if flow is not None and flow.is_closed and packet.tcp_flags & (SYN | ACK) == SYN else flow

    def _live(self, packet: Packet, now_s: float) -> Flow | None:
        """The flow on these ports, unless it has expired."""
        where = key_of(packet)
        flow = self._flows.get(where[0]) if where is not None else None
        if flow is None or now_s - flow.seen_s > self._timeouts.of(packet.protocol, flow.state):
            return None
        return flow

    def relation(self, packet: Packet, now_s: float = 0.0) -> Relation:
        """What the packet is to the table. A later fragment whose ports nobody knows counts as new.

        Because: a packet inside an error is known by its ports alone; what is behind its first 8 bytes, as TCP flags
        are, need not be there (RFC 792).
        """
        if packet.protocol in (*PORTED, ICMP, ICMPV6) and packet.fragment is Fragment.LATER:
            return Relation.NEW
        if packet.protocol == TCP and not has_possible_flags(packet):
            return Relation.INVALID
        if is_icmp_error(packet):
            is_known = packet.inner is not None and self._live(packet.inner, now_s) is not None
            return Relation.RELATED if is_known else Relation.INVALID
        if self.find(packet, now_s) is not None:
            return Relation.ESTABLISHED
        return Relation.NEW if can_open(packet) else Relation.INVALID

    def relation_across(self, packet: Packet, direction: Direction, now_s: float = 0.0) -> Relation:
        """What a packet is to policy of an interface that it crosses on its way through the host.

        Because: what opened its flow was judged where it arrived. Until it is let out (`leave`), the opener's packets
        are new where they leave, and answers, which nobody asked for, are new where they arrive.
        """
        if self._unjudged(packet, direction, now_s) is None:
            return self.relation(packet, now_s)
        return Relation.NEW if can_open(packet) else Relation.INVALID

    def leave(self, packet: Packet, now_s: float) -> None:
        """Note a forwarded packet that may leave; `follow` it, too."""
        if (flow := self._unjudged(packet, Direction.EGRESS, now_s)) is not None:
            flow.has_left = True

    def forget(self, packet: Packet, direction: Direction, now_s: float) -> None:
        """Drop the packet's flow, if it is new to policy there."""
        if (flow := self._unjudged(packet, direction, now_s)) is not None:
            del self._flows[flow.key]

    def _unjudged(self, packet: Packet, direction: Direction, now_s: float) -> Flow | None:
        """The packet's flow, if policy of that side has not judged its sender."""
        where = key_of(packet)
        if where is None or self.relation(packet, now_s) is not Relation.ESTABLISHED:
            return None
        flow = self._flows[where[0]]
        is_open_question = not (flow.is_outbound or flow.is_answered or flow.has_left)
        sends_opener = where[1] == flow.opener
        return flow if is_open_question and sends_opener is (direction is Direction.EGRESS) else None

    def follow(self, packet: Packet, direction: Direction, interface: str, now_s: float) -> None:
        """Note an allowed packet: it is the next one of its flow, or opens one if it can."""
        where = key_of(packet)
        if where is None or (packet.protocol == TCP and not has_possible_flags(packet)):
            return
        key, end = where
        flow = self.find(packet, now_s)
        if flow is None:
            if not can_open(packet):
                return
            flow = Flow(key, end, direction is Direction.EGRESS, interface, now_s)
            self._flows[key] = flow
            if packet.protocol == TCP:
                _note_sequence(flow, packet, end)
            return
        if packet.protocol == TCP and packet.tcp_flags & RST:
            if not flow.is_closed and _fits(flow, packet, end):
                flow.state, flow.seen_s = FlowState.RESET, now_s
            return
        if flow.is_closed:
            if direction is Direction.INGRESS and _is_last_word(flow, packet, end):
                del self._flows[key]
            return
        flow.seen_s = now_s
        if end != flow.opener:
            flow.is_answered = True
        elif flow.is_answered and _confirms(flow, packet, end):
            flow.state = FlowState.ESTABLISHED
        if packet.protocol == TCP:
            _note_sequence(flow, packet, end)
            if packet.tcp_flags & FIN and flow.fins == 3:
                flow.state = FlowState.CLOSED


def _note_sequence(flow: Flow, packet: Packet, end: int) -> None:
    """Whole packets only: fragments of TCP are too rare to remember numbers for.

    Because: a FIN that anybody may have forged would end the flow as soon as the other end has nothing more to send.
    """
    if packet.fragment is not Fragment.WHOLE:
        return
    flags = packet.tcp_flags
    after = packet.sequence + packet.payload_bytes + bool(flags & SYN) + bool(flags & FIN) & _WORD
    known, acked = flow.next[end], flow.acked[1 - end]
    is_in_flight = acked is None or after - acked & _WORD <= MOST_IN_FLIGHT
    if flags & FIN and is_in_flight:
        flow.fins |= 1 << end
    if is_in_flight and (known is None or not (after - known & _WORD) >> 31):
        flow.next[end] = after
    if flags & ACK:
        flow.acked[end] = packet.acknowledgement


def _is_last_word(flow: Flow, packet: Packet, end: int) -> bool:
    """Whether the peer acknowledges the FIN that closed the flow, when this host has acknowledged everything of its: of
    what could follow nothing would matter."""
    sent, theirs = flow.next[1 - end], flow.next[end]
    return (
        flow.state is FlowState.CLOSED
        and packet.protocol == TCP
        and packet.fragment is Fragment.WHOLE
        and packet.tcp_flags & (FIN | SYN | RST | ACK) == ACK
        and None not in (sent, theirs)
        and packet.acknowledgement == sent
        and flow.acked[1 - end] == theirs
    )


def _confirms(flow: Flow, packet: Packet, end: int) -> bool:
    """Whether the opener has seen an answer; of other protocols than TCP no packet can tell."""
    if packet.protocol != TCP:
        return True
    sent = flow.next[1 - end]
    if packet.fragment is not Fragment.WHOLE or packet.tcp_flags & SYN or sent is None:
        return False
    return sent - packet.acknowledgement & _WORD <= MOST_UNCONFIRMED


def _fits(flow: Flow, packet: Packet, end: int) -> bool:
    """Whether a reset can be genuine: between what the other end has acknowledged and what this one has sent; or the
    refusal of the SYN that opened the flow."""
    if packet.fragment is not Fragment.WHOLE:
        return False
    sent, acked, other = flow.next[end], flow.acked[1 - end], flow.next[1 - end]
    if sent is not None and acked is not None:
        return packet.sequence - acked & _WORD <= MOST_IN_FLIGHT and not (sent - packet.sequence & _WORD) >> 31
    is_refusal = not flow.is_answered and end != flow.opener and packet.tcp_flags & ACK
    return bool(is_refusal) and other is not None and packet.acknowledgement == other
