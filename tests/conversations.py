"""Packets that make up connections: a few flows of one case, both directions mixed, most of them plausible ones.

What is not plausible is drawn on purpose: any TCP flags, sequence numbers out of every window, replies nobody asked
for, errors about flows of nobody, fragments with and without their first one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from strategies import EXTENSION_HEADERS, Case, chance, random_address, random_packet, random_port
from tortie.model.conntrack import Relation
from tortie.model.evaluate import evaluate
from tortie.model.packet import (
    ACK,
    FIN,
    ICMP,
    ICMP_ERRORS,
    ICMP_REPLIES,
    ICMP_REQUESTS,
    ICMPV6,
    PORTED,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    URG,
    Direction,
    Fragment,
    Packet,
)
from tortie.model.verdict import Verdict

PROTOCOLS = (TCP,) * 6 + (UDP,) * 3 + (ICMP, ICMPV6) * 2 + (SCTP, SCTP, 47, UDPLITE)
USUAL_FLAGS = (SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, ACK | URG, SYN | URG, FIN | ACK | URG | PSH)
STRANGE_FLAGS = (0, FIN, SYN | FIN, SYN | RST, SYN | ACK | URG, RST | URG, FIN | RST | ACK, PSH, URG, 255)
ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
OTHER_ICMP = {ICMP: (1, 6, 9, 10, 40, 255), ICMPV6: (133, 135, 136, 130, 138, 141, 143, 255)}
WORD = (1 << 32) - 1
Spoken = tuple[Direction, Packet]


@dataclass(slots=True)
class Talk:
    """One flow as its ends see it: end 0 is this host's (or the one it forwards for), end 1 the remote one.

    `script`: the TCP steps still to come, as (end, flags). `next`: the sequence number after what that end has sent.
    """

    version: int
    protocol: int
    ends: tuple[tuple[int, int], tuple[int, int]]
    opener: int
    script: list[tuple[int, int]] = field(default_factory=list)
    next: list[int] = field(default_factory=lambda: [0, 0])
    icmp_id: int = 0
    turns: int = 0


def random_conversation(rng: Random, case: Case, length: int = 40) -> list[Spoken]:
    """About `length` packets of two to four flows, each with the direction in which it crosses the interface."""
    talks = [_talk(rng, case) for _ in range(2 + rng.randrange(3))]
    spoken: list[Spoken] = []
    while len(spoken) < length:
        talk = talks[int(rng.random() * len(talks))]
        if chance(rng, 3):
            talks[talks.index(talk)] = talk = _renewed(rng, talk)
        if chance(rng, 4):
            direction = rng.choice(tuple(Direction))
            spoken.append((direction, random_packet(rng, case, direction=direction)))
        elif chance(rng, 10):
            spoken.append(_error(rng, case, talks, talk))
        else:
            spoken += _fragmented(rng, *_next(rng, talk))
    return spoken


def _talk(rng: Random, case: Case) -> Talk:
    """A flow whose first packet is aimed at the rules, and mostly allowed by them: what is denied has no connection."""
    for _ in range(1 + rng.randrange(4)):
        direction = rng.choice(tuple(Direction))
        aimed = random_packet(rng, case, direction=direction)
        if evaluate(aimed, direction, *case, Relation.NEW).verdict is Verdict.ALLOW:
            break
    protocol = aimed.protocol if aimed.protocol in PROTOCOLS and chance(rng, 85) else rng.choice(PROTOCOLS)
    if protocol in (ICMP, ICMPV6) and chance(rng, 95):
        protocol = ICMP if aimed.version == 4 else ICMPV6
    source = aimed.source, aimed.source_port or random_port(rng)
    destination = aimed.destination, aimed.destination_port or random_port(rng)
    local, remote = (destination, source) if direction is Direction.INGRESS else (source, destination)
    mine = sorted(address for version, address in case.addresses.unicast if version == aimed.version)
    if mine and chance(rng, 35):
        local = rng.choice(mine), local[1]
    opener = 1 if direction is Direction.INGRESS else 0
    return Talk(
        aimed.version,
        protocol,
        (local, remote),
        opener,
        _script(rng, opener),
        [rng.choice((0, WORD - 2, 1000, rng.getrandbits(32))) for _ in range(2)],
        rng.getrandbits(16),
    )


def _renewed(rng: Random, talk: Talk) -> Talk:
    """Another connection on the same ports, or one that differs from it in a single thing."""
    (local, local_port), (remote, remote_port) = talk.ends
    kind = rng.randrange(5)
    if kind == 0:
        remote_port = remote_port + 1 & 0xFFFF
    if kind == 1:
        local_port, remote_port = remote_port, local_port
    if kind == 2:
        remote = random_address(rng, talk.version)
    opener = rng.randrange(2) if kind == 3 else talk.opener
    ends = ((local, local_port), (remote, remote_port))
    return replace(talk, ends=ends, opener=opener, script=_script(rng, opener), next=list(talk.next), turns=0)


def _script(rng: Random, opener: int) -> list[tuple[int, int]]:
    """A TCP connection from its SYN to its end, as most are; cut off at its start or end at times."""
    other = 1 - opener
    steps = [(opener, SYN), (other, SYN | ACK), (opener, ACK)]
    if chance(rng, 5):
        steps = [(opener, SYN), (other, SYN), (opener, SYN | ACK), (other, ACK)]
    if chance(rng, 10):
        steps = [(opener, SYN), (other, RST | ACK)]
    steps += [(rng.randrange(2), rng.choice((ACK, ACK | PSH))) for _ in range(rng.randrange(4))]
    first = rng.randrange(2)
    steps += [(first, FIN | ACK), (1 - first, ACK), (1 - first, FIN | ACK), (first, ACK)]
    if chance(rng, 30):
        steps = [*steps[: 2 + rng.randrange(4)], (rng.randrange(2), rng.choice((RST, RST | ACK)))]
    return steps[rng.randrange(4) :] if chance(rng, 15) else steps


def _next(rng: Random, talk: Talk) -> Spoken:
    """A packet of the flow."""
    talk.turns += 1
    if talk.protocol == TCP:
        return _next_tcp(rng, talk)
    end = talk.opener if talk.turns == 1 and chance(rng, 85) else rng.randrange(2)
    if talk.protocol in (ICMP, ICMPV6):
        return _next_icmp(rng, talk, end)
    is_init = chance(rng, 70 if talk.turns == 1 else 20)
    return _from(talk, end, is_sctp_init=is_init) if talk.protocol == SCTP else _from(talk, end)


def _next_tcp(rng: Random, talk: Talk) -> Spoken:
    if talk.script and chance(rng, 75):
        end, flags = talk.script.pop(0)
    else:
        end, flags = rng.randrange(2), rng.choice(USUAL_FLAGS)
    if chance(rng, 5):
        flags = rng.choice(STRANGE_FLAGS) if chance(rng, 50) else rng.getrandbits(8)
    sequence, acknowledgement = talk.next[end], talk.next[1 - end] if flags & ACK else 0
    payload = rng.choice((0, 1, 100, 1400)) if flags & (SYN | RST) == 0 else 0
    if chance(rng, 8):
        sequence = sequence + rng.choice((-1, 1, -3000, 3000, 1 << 31, rng.getrandbits(32))) & WORD
    elif chance(rng, 5):
        acknowledgement = acknowledgement + rng.choice((-1, 1, 3000, 1 << 31)) & WORD
    elif not flags & RST:
        talk.next[end] = sequence + payload + bool(flags & SYN) + bool(flags & FIN) & WORD
    return _from(talk, end, tcp_flags=flags, sequence=sequence, acknowledgement=acknowledgement, payload_bytes=payload)


def _next_icmp(rng: Random, talk: Talk, end: int) -> Spoken:
    """Mostly what the opener asks and the other end answers; another identifier, type or asker at times."""
    request, reply = ECHO[talk.protocol]
    kind = request if end == talk.opener else reply
    if chance(rng, 15):
        kinds = (ICMP_REQUESTS, ICMP_REPLIES, OTHER_ICMP)[rng.randrange(3)]
        kind = rng.choice(kinds[talk.protocol])
    known = talk.icmp_id ^ chance(rng, 6)
    return _from(talk, end, icmp_type=kind, icmp_code=0, icmp_id=known, hop_limit=rng.choice((64, 64, 255)))


def _from(talk: Talk, end: int, **fields: int | bool) -> Spoken:
    """A packet that this end sends, with the direction in which it crosses the interface."""
    (source, source_port), (destination, destination_port) = talk.ends[end], talk.ends[1 - end]
    has_ports = talk.protocol in PORTED
    protocol = UDP if talk.version == 6 and talk.protocol in EXTENSION_HEADERS else talk.protocol
    packet = Packet(
        version=talk.version,
        protocol=protocol,
        source=source,
        destination=destination,
        source_port=source_port if has_ports else None,
        destination_port=destination_port if has_ports else None,
        **fields,  # type: ignore[arg-type]
    )
    return (Direction.EGRESS if end == 0 else Direction.INGRESS), packet


def _error(rng: Random, case: Case, talks: list[Talk], talk: Talk) -> Spoken:
    """An ICMP error about a packet of a flow, mostly sent to whoever sent that; about no known flow at times."""
    protocol = ICMP if talk.version == 4 else ICMPV6
    about = replace(rng.choice([one for one in talks if one.version == talk.version]))
    end = rng.randrange(2)
    direction, inner = _next(rng, replace(about, script=list(about.script), next=list(about.next)))
    if chance(rng, 70):
        end = 0 if direction is Direction.EGRESS else 1
    if chance(rng, 15):
        inner = random_packet(rng, case, version=talk.version)
    if inner.source_port is not None and chance(rng, 8):
        inner = replace(inner, source_port=random_port(rng))
    if chance(rng, 5):
        inner = _later(inner, rng.getrandbits(16))
    if inner.protocol in (ICMP, ICMPV6) and inner.icmp_type in ICMP_ERRORS[inner.protocol]:
        inner = replace(inner, inner=None)
    kinds = (3, 3, 11, 4, 5, 12) if protocol == ICMP else (1, 1, 2, 3, 4, 100, 137)
    destination = talk.ends[end][0] if chance(rng, 20) else inner.source
    packet = Packet(
        version=talk.version,
        protocol=protocol,
        source=talk.ends[1 - end][0],
        destination=destination,
        icmp_type=rng.choice(kinds),
        icmp_code=rng.randrange(4),
        inner=inner if chance(rng, 95) else None,
    )
    return (Direction.INGRESS if end == 0 else Direction.EGRESS), packet


def _fragmented(rng: Random, direction: Direction, packet: Packet) -> Iterator[Spoken]:
    """The packet whole, or in pieces: most of them in order, some with a piece missing, first or last."""
    if not chance(rng, 10):
        yield direction, packet
        return
    number = rng.getrandbits(16 if packet.version == 4 else 32)
    # A first fragment is a multiple of 8 bytes, of which TCP's header takes 20.
    size = (packet.payload_bytes + 27) // 8 * 8 - 20 if packet.protocol == TCP else 0
    first = replace(packet, fragment=Fragment.FIRST, fragment_id=number, payload_bytes=size)
    pieces = [first, _later(packet, number)]
    if chance(rng, 10):
        pieces.reverse()
    for piece in pieces[: 1 + chance(rng, 80)] if chance(rng, 80) else pieces[1:]:
        yield direction, piece


def _later(packet: Packet, number: int) -> Packet:
    """A later fragment of the packet."""
    return Packet(
        version=packet.version,
        protocol=packet.protocol,
        source=packet.source,
        destination=packet.destination,
        fragment=Fragment.LATER,
        fragment_id=number,
        hop_limit=packet.hop_limit,
    )
