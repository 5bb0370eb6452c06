"""Drivers in netfilter's hooks against the evaluator: packets by the hundred thousand, and whole connections."""

from dataclasses import replace
from random import Random

import pytest
from contract import NO_FAILSAFES, PLAIN, MakeDriver, delta_of, endpoint, running, tier
from sieve import PAYLOAD_BYTES, Path, is_offered, numbered, sieve
from sifting import (
    FAMILY,
    INTERFACES,
    LISTENERS,
    NO_NEXT_HEADER,
    PACKETS,
    SEED,
    UNASKED,
    Burst,
    make_host,
    mismatches,
    sifted,
)

from strategies import chance, random_packet
from tortie.dataplane.driver import Acceleration
from tortie.model.desired import EndpointState
from tortie.model.packet import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDPLITE, Direction, Fragment, Packet
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule

pytestmark = pytest.mark.root


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("path", list(Path), ids=lambda path: path.name.lower())
@pytest.mark.parametrize("make", PLAIN)
def test_t_cor_1_every_packet_gets_the_evaluators_verdict_and_counts(
    make: MakeDriver, path: Path, version: int
) -> None:
    rng = Random(f"{path.name} {version} {SEED}")
    with sieve(path, INTERFACES) as made:
        for driver in sifted(rng, made, make, version, PACKETS // len(Path)):
            assert {one.acceleration for one in driver.status()} == {Acceleration.NETFILTER}


CONVERSATIONS = 2500
READ_BY_TRACKING = (SCTP, UDPLITE, 47, NO_NEXT_HEADER)
"""Protocols of whose packets connection tracking wants to see more than is drawn here."""
Step = tuple[int, Packet]
"""The end that sends it, 0 for the opener; and the packet."""


def conversation(rng: Random, first: Packet) -> list[Step]:
    """A plausible connection that begins with that packet, or has begun before it."""
    answer = replace(
        first,
        source=first.destination,
        destination=first.source,
        source_port=first.destination_port,
        destination_port=first.source_port,
    )
    if first.protocol == TCP:
        steps = _tcp(rng, first, answer)
    elif first.protocol in (ICMP, ICMPV6):
        request, reply = (8, 0) if first.protocol == ICMP else (128, 129)
        first = replace(first, icmp_type=request, icmp_code=0)
        answer = replace(answer, icmp_type=reply, icmp_code=0)
        steps = [(0, first), (1, answer), (0, first), (1, answer)]
    else:
        steps = [(0, first), (1, answer), (0, first), (1, answer)]
    if chance(rng, 20):
        steps = steps[1:]
    # the kernel forgets closed connections sooner, or later, than the evaluator
    alive = [step for step in steps if step[1].protocol != TCP or not step[1].tcp_flags & (FIN | RST)]
    if alive and chance(rng, 40):
        number = rng.randrange(len(alive))
        sender, about = alive[number]
        kinds = ((3, 4), (11, 0), (12, 0)) if first.version == 4 else ((1, 4), (2, 0), (3, 0))
        kind, code = rng.choice(kinds)
        error = Packet(
            version=first.version,
            protocol=ICMP if first.version == 4 else ICMPV6,
            source=about.destination,
            destination=about.source,
            icmp_type=kind,
            icmp_code=code,
            inner=about,
        )
        steps.insert(number + rng.randrange(2), (1 - sender, error))
    return steps


def _tcp(rng: Random, first: Packet, answer: Packet) -> list[Step]:
    """From the handshake to the end, with the sequence numbers of two ends that lose nothing."""
    flags = [(0, SYN), (1, SYN | ACK), (0, ACK), (1, ACK)]
    flags += rng.choice(([(0, RST)], [(1, RST | ACK)], [(1, FIN | ACK), (0, ACK), (0, FIN | ACK), (1, ACK)], []))
    at = [rng.getrandbits(32), rng.getrandbits(32)]
    steps = []
    for end, bits in flags:
        packet = replace(
            (first, answer)[end],
            tcp_flags=bits,
            sequence=at[end],
            acknowledgement=at[1 - end] if bits & ACK else 0,
            payload_bytes=PAYLOAD_BYTES,
        )
        steps.append((end, packet))
        at[end] = at[end] + PAYLOAD_BYTES + bool(bits & SYN) + bool(bits & FIN) & 0xFFFFFFFF
    return steps


def tracked_only(state: EndpointState) -> EndpointState:
    """Without untracked policy, which would take single packets out of connections: the kernel follows TCP's states
    more closely than the evaluator (docs/differences.md)."""
    return replace(state, tiers={key: value for key, value in state.tiers.items() if key[0] is not Stage.UNTRACKED})


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("make", PLAIN)
def test_connections_through_the_host_are_the_evaluators(make: MakeDriver, version: int) -> None:
    rng = Random(f"connections {version} {SEED}")
    with sieve(Path.THROUGH, INTERFACES, lets_on=True) as made, running(made.host, make) as driver:
        host, cases = make_host(rng, made)
        host = replace(host, endpoints={name: tracked_only(state) for name, state in host.endpoints.items()})
        packets: list[tuple[int, Packet]] = []
        ends: set[frozenset[tuple[int, int]]] = set()
        while len(ends) < CONVERSATIONS:
            number = rng.randrange(len(cases))
            first = random_packet(rng, cases[number], version=version, direction=Direction.INGRESS)
            first = replace(first, hop_limit=64, icmp_id=rng.getrandbits(16), tcp_flags=SYN, is_sctp_init=True)
            who = frozenset({first.source, first.destination})
            if first.fragment is not Fragment.WHOLE or not is_offered(first, made.path) or len(who) < 2 or who in ends:
                continue
            if FAMILY.get(first.protocol, version) != version or first.protocol in READ_BY_TRACKING:
                continue
            ends.add(who)
            other = (number + 1) % len(cases)
            for end, packet in conversation(rng, first):
                packets.append((other if end else number, replace(packet, fragment_id=len(packets) + 1)))
        wrong, met = mismatches(made, driver, Burst(host, packets))
        assert not wrong, f"{len(wrong)} of {len(packets)}\n" + "\n".join(wrong[:5])
    assert min(met["established"], met["related"], met["invalid"], met["deny"]) > 100, met


@pytest.mark.parametrize("kind", UNASKED)
@pytest.mark.parametrize("make", PLAIN)
def test_what_untracked_policy_allowed_is_never_invalid_behind_it(make: MakeDriver, kind: int) -> None:
    packet = Packet(
        version=6,
        protocol=ICMPV6,
        source=0xFD00 << 112 | 1,
        destination=0xFD00 << 112 | 2,
        icmp_type=kind,
        icmp_code=0,
        hop_limit=64,
    )
    allows = [Rule(Action.ALLOW)]
    leaving = endpoint("tun1", tier(Stage.FORWARD, egress=allows))
    with sieve(Path.THROUGH, 2) as made, running(made.host, make) as driver:
        for number, (stage, passes) in enumerate(((Stage.UNTRACKED, True), (Stage.FORWARD, kind in LISTENERS)), 1):
            arriving = endpoint("tun0", tier(stage, ingress=allows))
            driver.enforce(delta_of({"tun0": arriving, "tun1": leaving}, failsafes=NO_FAILSAFES))
            made.send(0, packet, numbered(packet, number))
            assert ((6, number) in made.caught()) is passes
