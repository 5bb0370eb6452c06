"""What comes of a driver in the sieve, beside what the evaluator says of the same packets: random policies on many
interfaces, packets in bursts, and for each packet the verdict, whether it is tracked, and every counter."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from contract import InNamespace, MakeDriver, delta_of, parts_of, running
from sieve import MOST, NEVER_TRACKED, Path, Sieve, is_offered, numbered

from strategies import Case, Sets, chance, random_failsafes, random_normal_case, random_packet, with_simple_rules
from tortie.model.conntrack import ConnectionTable, Relation, TrackingSettings, key_of
from tortie.model.endpoint import Interface
from tortie.model.host import Host
from tortie.model.packet import ACK, FIN, ICMP, ICMPV6, RST, SYN, TCP, URG, Direction, Fragment, Packet
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, RuleRef, Verdict

INTERFACES = 24
PACKETS = int(os.environ.get("TORTIE_SIEVE_PACKETS", "201000"))
"""Of each driver and IP version, on all paths together."""
SEED = os.environ.get("TORTIE_SIEVE_SEED", "")
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
        case = replace(case, endpoint=replace(case.endpoint, interface=interface), failsafes=failsafes)
        for direction in Direction:
            if case.endpoint.stage(Stage.UNTRACKED, direction) and chance(rng, 50):
                case = with_simple_rules(rng, case, direction)
        cases.append(case)
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


def sifted(rng: Random, made: Sieve, make: MakeDriver, version: int, packets: int) -> Iterator[InNamespace]:
    """The driver of each burst, of so many packets together, none of which was judged wrongly."""
    met: Counter[str] = Counter()
    left = packets
    assert BURST <= MOST
    for number in itertools.count(rng.randrange(2)):
        if left <= 0:
            break
        burst = make_burst(rng, made, version, min(left, BURST))
        with parts_of((None, 2)[number % 2]), running(made.host, make) as driver:
            wrong, found = mismatches(made, driver, burst)
            assert not wrong, f"{len(wrong)} of {len(burst.packets)}\n" + "\n".join(wrong[:5])
            yield driver
        met += found
        left -= len(burst.packets)
    assert met["allow"] > packets / 10 and met["deny"] > packets / 10, met
