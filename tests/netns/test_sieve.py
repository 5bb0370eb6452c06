"""Drivers in netfilter's hooks against the evaluator: random policies on many interfaces, packets in bursts, and for
each packet the verdict, whether it is tracked, and every counter."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest
from contract import FRONTED, NO_FAILSAFES, PLAIN, InNamespace, MakeDriver, delta_of, endpoint, running, tier
from sieve import MOST, NEVER_TRACKED, PAYLOAD_BYTES, Path, Sieve, is_offered, numbered, sieve

from strategies import Case, Sets, chance, random_failsafes, random_normal_case, random_packet
from tortie.dataplane.driver import Acceleration
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.model.conntrack import ConnectionTable, Relation, TrackingSettings, key_of
from tortie.model.desired import EndpointState
from tortie.model.endpoint import Interface
from tortie.model.host import Host
from tortie.model.packet import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDPLITE, URG, Direction, Fragment, Packet
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef, Verdict

pytestmark = pytest.mark.root

INTERFACES = 24
PACKETS = int(os.environ.get("TORTIE_SIEVE_PACKETS", "67000"))
"""Of each path and IP version; a quarter of them for each variant of iptables."""
BURST = 16_000
FLAGS = (SYN,) * 12 + (ACK, ACK, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN, SYN | FIN, SYN | RST, 0, 0xFF)
Counts = Counter[tuple[str, Direction, RuleRef | Reason]]
FAMILY = {ICMP: 4, ICMPV6: 6}
NO_NEXT_HEADER = 59
UNASKED = (*NEVER_TRACKED, 138, 141)
"""Types of ICMPv6 that open nothing, and that the kernel for the most part does not track."""
LISTENERS = (130, 131, 132, 143)


@dataclass
class Burst:
    """One host with its policy, and packets about it: the interface's number, and the packet."""

    host: Host
    packets: list[tuple[int, Packet]]


def make_host(rng: Random, made: Sieve) -> tuple[Host, list[Case]]:
    """Policy of all interfaces."""
    pool = Sets(rng, members=12)
    failsafes = random_failsafes(rng)
    tracking = TrackingSettings(drops_invalid=not chance(rng, 20))
    cases = []
    for name in made.interfaces:
        case = random_normal_case(rng, 10, pool=pool)
        interface = Interface(name=name, index=2, forwards=frozenset({4, 6}), has_ethernet=made.has_frames)
        cases.append(replace(case, endpoint=replace(case.endpoint, interface=interface), failsafes=failsafes))
    endpoints = {case.endpoint.interface.name: case.endpoint for case in cases}
    return Host(endpoints=endpoints, sets=pool.sets, failsafes=failsafes, tracking=tracking), cases


def make_burst(rng: Random, made: Sieve, version: int, count: int) -> Burst:
    """Policy of all interfaces and first packets aimed at it."""
    host, cases = make_host(rng, made)
    direction = Direction.EGRESS if made.path is Path.FROM_HOST else Direction.INGRESS
    packets: list[tuple[int, Packet]] = []
    while len(packets) < count:
        number = rng.randrange(len(cases))
        if made.path is Path.THROUGH and chance(rng, 50):
            aimed, way = cases[(number + 1) % len(cases)], Direction.EGRESS
        else:
            aimed, way = cases[number], direction
        packet = random_packet(rng, aimed, version=version, direction=way)
        if packet.protocol == ICMPV6 and packet.icmp_type is not None and chance(rng, 30):
            packet = replace(packet, icmp_type=rng.choice(UNASKED), hop_limit=rng.choice((2, 64, 254, 255)))
        if packet.fragment is Fragment.WHOLE and is_offered(packet, made.path):
            extra = {"tcp_flags": rng.choice(FLAGS)} if packet.protocol == TCP else {}
            packet = replace(packet, fragment_id=len(packets) + 1, is_sctp_init=chance(rng, 80), **extra)
            packets.append((number, packet))
    return Burst(host, packets)


def relation(packet: Packet, table: ConnectionTable) -> Relation:
    """What a packet is to the kernel, which differs for three sorts of packets (docs/differences.md): ICMP of the
    other IP version, IPv6 without a next header, and what the opener sends before it is answered."""
    if FAMILY.get(packet.protocol, packet.version) != packet.version:
        return Relation.INVALID
    if (packet.version, packet.protocol) == (6, NO_NEXT_HEADER):
        return Relation.INVALID
    found = table.relation(packet)
    if found is Relation.ESTABLISHED and (flow := table.find(packet, 0.0)) is not None and not flow.is_answered:
        where = key_of(packet)
        if where is not None and where[1] == flow.opener:
            return Relation.NEW
    return found


def way_of(made: Sieve, number: int) -> Way:
    name = made.interfaces[number]
    match made.path:
        case Path.TO_HOST:
            return Way(name, None)
        case Path.THROUGH:
            return Way(name, made.after(name))
        case Path.FROM_HOST:
            return Way(None, name)


def count(counts: Counts, passage: Passage, way: Way) -> None:
    """What the driver should count: every rule that was met, and the reason where none decided."""
    for visit in passage.visits:
        for step in visit.trace.steps:
            counts[visit.interface, visit.direction, step.rule] += 1
        if visit.trace.rule is None and visit.trace.verdict is not Verdict.CONTINUE:
            counts[visit.interface, visit.direction, visit.trace.reason] += 1
    if passage.reason is Reason.ESSENTIAL_ICMPV6:
        for name, direction in ((way.arrives, Direction.INGRESS), (way.leaves, Direction.EGRESS)):
            if name is not None:
                counts[name, direction, Reason.ESSENTIAL_ICMPV6] += 1


def read_counts(driver: InNamespace) -> Counts:
    rules, reasons = driver.counters()
    found: Counts = Counter()
    for one in rules:
        found[one.interface, one.direction, one.rule] += one.packets
    for one in reasons:
        found[one.interface, one.direction, one.reason] += one.packets
    return found


def mismatches(made: Sieve, driver: InNamespace, burst: Burst) -> tuple[list[str], Counter[str]]:
    """What differs from the evaluator, as text; and what was met."""
    driver.enforce(delta_of(burst.host.endpoints, burst.host.sets, **_settings(burst.host)))
    before = read_counts(driver)
    expected: Counts = Counter()
    passages: list[Passage] = []
    met: Counter[str] = Counter()
    table = ConnectionTable()
    for index, (number, packet) in enumerate(burst.packets, 1):
        made.send(number, packet, numbered(packet, index))
        way = way_of(made, number)
        passage = pass_through(packet, way, burst.host, relation(packet, table))
        if made.lets_on and passage.verdict is Verdict.ALLOW and passage.is_tracked:
            table.follow(packet, Direction.INGRESS, made.interfaces[number], 0.0)
        count(expected, passage, way)
        passages.append(passage)
        met[passage.verdict.value] += 1
        met[passage.reason.value] += 1
        met["untracked"] += passage.verdict is Verdict.ALLOW and not passage.is_tracked
    caught = made.caught()
    wrong = []
    for index, ((number, packet), passage) in enumerate(zip(burst.packets, passages, strict=True), 1):
        tracked = caught.get((packet.version, index))
        if (passage.verdict is Verdict.ALLOW) != (tracked is not None):
            wrong.append(f"{made.interfaces[number]}: {packet}: {passage.verdict} {[v.trace for v in passage.visits]}")
        elif tracked not in (None, passage.is_tracked) and not _is_never_tracked(packet):
            wrong.append(f"{made.interfaces[number]}: {packet}: tracked {tracked}, {[v.trace for v in passage.visits]}")
    counted = read_counts(driver)
    counted.subtract(before)
    for key in counted:
        if key[1:] == (Direction.EGRESS, Reason.ESSENTIAL_ICMPV6):  # the host tells of its own groups, too
            counted[key] = min(counted[key], expected[key])
    off = (key for key in expected.keys() | counted.keys() if expected[key] != counted[key])
    wrong += [f"counter {key}: {counted[key]} instead of {expected[key]}" for key in off]
    return wrong, met


def _is_never_tracked(packet: Packet) -> bool:
    """Whether nobody can tell afterwards who left the packet untracked."""
    return (packet.version, packet.protocol) == (6, ICMPV6) and packet.icmp_type in NEVER_TRACKED


def _settings(host: Host) -> dict[str, object]:
    return {"failsafes": host.failsafes, "tracking": host.tracking}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("path", list(Path), ids=lambda path: path.name.lower())
@pytest.mark.parametrize("make", PLAIN)
def test_t_cor_1_every_packet_gets_the_evaluators_verdict_and_counts(
    make: MakeDriver, path: Path, version: int
) -> None:
    rng = Random(f"{path.name} {version} {os.environ.get('TORTIE_SIEVE_SEED', '')}")
    packets = PACKETS if make is NftablesDriver else PACKETS // 4
    with sieve(path, INTERFACES) as made:
        for driver in sifted(rng, made, make, version, packets):
            assert {one.acceleration for one in driver.status()} == {Acceleration.NETFILTER}


def sifted(rng: Random, made: Sieve, make: MakeDriver, version: int, packets: int) -> Iterator[InNamespace]:
    """The driver of each burst, of so many packets together, none of which was judged wrongly."""
    met: Counter[str] = Counter()
    left = packets
    assert BURST <= MOST
    while left > 0:
        burst = make_burst(rng, made, version, min(left, BURST))
        with running(made.host, make) as driver:
            wrong, found = mismatches(made, driver, burst)
            assert not wrong, f"{len(wrong)} of {len(burst.packets)}\n" + "\n".join(wrong[:5])
            yield driver
        met += found
        left -= len(burst.packets)
    assert met["allow"] > packets / 10 and met["deny"] > packets / 10, met


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("path", [Path.TO_HOST, Path.THROUGH], ids=lambda path: path.name.lower())
@pytest.mark.parametrize("make", FRONTED)
def test_t_cor_1_with_xdp_in_front_every_packet_gets_the_same_verdict_and_counts_once(
    make: MakeDriver, path: Path, version: int
) -> None:
    rng = Random(f"front {path.name} {version} {os.environ.get('TORTIE_SIEVE_SEED', '')}")
    with sieve(path, INTERFACES, has_frames=True) as made:
        places = Counter(
            one.acceleration for driver in sifted(rng, made, make, version, PACKETS // 2) for one in driver.status()
        )
    assert places[Acceleration.XDP] > places.total() / 6, places


# Connections


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
    rng = Random(f"connections {version} {os.environ.get('TORTIE_SIEVE_SEED', '')}")
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
