"""The questions of a file, one after another: a proof that no packet is judged otherwise, or one that is.

Each is asked for every way through the host that it is about, and for every relation to the connection table. What is
found is tried by the evaluator before anybody is told; if that says otherwise, this program is wrong, and says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tortie.apps.failure import Code, Failure
from tortie.apps.packets import describe
from tortie.apps.policyassert.document import Assertion
from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import ConnectionTable, Relation
from tortie.model.endpoint import Interface
from tortie.model.host import Host
from tortie.model.matches import NetMatch, SetMatch
from tortie.model.packet import ACK, ICMP, ICMP_REQUESTS, ICMPV6, SCTP, SYN, TCP, Packet, Side
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.space import Crossing, PacketSpace, Space
from tortie.model.verdict import Verdict

_LOOPBACK = (Net(4, 127 << 24, 8), Net(6, 1, 128))


class Scene(NamedTuple):
    """What is asked about: a host with its interfaces, whatever made it."""

    host: Host
    interfaces: Mapping[str, Interface]


@dataclass(frozen=True, slots=True)
class CounterExample:
    """A packet that is not judged as was asserted. `passage` tells all."""

    packet: Packet
    way: Way
    relation: Relation
    passage: Passage


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one assertion. `regions`: how many regions of the space were looked at, on how many `ways`.

    `is_empty`: no packet is meant by it, so that it says nothing.
    """

    assertion: Assertion
    regions: int
    ways: int
    counter: CounterExample | None = None
    is_empty: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is so for all packets, and there are any."""
        return self.counter is None and not self.is_empty


class Prover:
    """Asks about one host."""

    def __init__(self, scene: Scene, assertions: tuple[Assertion, ...]) -> None:
        self._scene, self._assertions = scene, assertions
        self._own = _own_addresses(scene.host)
        self._crossings: dict[Way, Crossing] = {}

    def proofs(self) -> Iterator[Proof]:
        """What came of each assertion. Raises: Failure where the evaluator contradicts what was found."""
        for assertion in self._assertions:
            yield self._proof(assertion)

    def _proof(self, assertion: Assertion) -> Proof:
        regions = ways = 0
        is_empty = True
        for way in _ways(assertion, self._scene):
            crossing = self._crossing(way)
            ways += 1
            for relation, traffic in _traffic(assertion.traffic, crossing.packets):
                meant = self._meant(assertion, crossing.packets) & traffic
                if not meant:
                    continue
                is_empty = False
                outcomes = crossing.outcomes(relation, meant)
                regions += outcomes.regions
                wrong = outcomes.where(lambda fate: fate.verdict is not assertion.expects)
                if (packet := wrong.sample()) is not None:
                    counter = self._checked(assertion, _fitting(packet, relation), way, relation)
                    return Proof(assertion, regions, ways, counter)
        return Proof(assertion, regions, ways, is_empty=is_empty)

    def _crossing(self, way: Way) -> Crossing:
        """The way, made once for all questions."""
        if way not in self._crossings:
            rules = [rule for one in self._assertions for rule in (one.scope, *one.unless)]
            self._crossings[way] = Crossing(
                self._scene.host, way, rules, [self._own, self._scene.host.addresses.groups]
            )
        return self._crossings[way]

    def _meant(self, assertion: Assertion, packets: PacketSpace) -> Space:
        """The packets that the assertion is about, whatever the connection table says of them."""
        excepted = packets.union(packets.rule(rule).maybe for rule in assertion.unless)
        meant = packets.rule(assertion.scope).surely - excepted - packets.essential
        side = Side.SOURCE if assertion.direction == "egress" else Side.DESTINATION
        is_said = any(
            isinstance(match, NetMatch | SetMatch) and match.side is side for match in assertion.scope.matches
        )
        if is_said or not self._own:
            return meant
        own = packets.nets(side, self._own)
        if assertion.direction == "forward":
            return meant - own
        if assertion.direction == "ingress" and assertion.expects is Verdict.DENY:
            own |= packets.nets(side, self._scene.host.addresses.groups)
        return meant & own

    def _checked(self, assertion: Assertion, packet: Packet, way: Way, relation: Relation) -> CounterExample:
        """The counter-example, tried by the evaluator. Raises: Failure where that says otherwise."""
        passage = pass_through(packet, way, self._scene.host, relation, tells_all=True)
        is_possible = relation in (Relation.ESTABLISHED, ConnectionTable().relation(packet))
        if passage.verdict is assertion.expects or not is_possible:
            text = (
                f"internal error: {assertion.name!r}: the space of packets and the evaluator disagree about "
                f"{describe(packet)}, {relation.value}; please report it with the file"
            )
            raise Failure(Code.FAILED, text)
        return CounterExample(packet, way, relation, passage)


def _own_addresses(host: Host) -> tuple[Net, ...]:
    """The host's own addresses, those of its loopback interface left out: nobody sends to them from outside."""
    found = (Net(version, address, WIDTH[version]) for version, address in sorted(host.addresses.unicast))
    return tuple(net for net in found if not any(own.contains(net.version, net.address) for own in _LOOPBACK))


def _ways(assertion: Assertion, scene: Scene) -> Iterator[Way]:
    """The ways that the assertion is about."""
    others = [name for name, one in sorted(scene.interfaces.items()) if one.is_up and not one.is_loopback]
    arrives = [assertion.arrives] if assertion.arrives else others
    leaves = [assertion.leaves] if assertion.leaves else others
    match assertion.direction:
        case "ingress":
            yield from (Way(name, None) for name in arrives)
        case "egress":
            named = assertion.leaves is not None
            yield from (Way(None, name) for name in leaves if named or not scene.host.is_workload(name))
        case _:
            named = None not in (assertion.arrives, assertion.leaves)
            yield from (
                Way(one, other)
                for one in arrives
                for other in leaves
                if named or one != other or not scene.host.is_workload(one)  # a router may send it back where it came
            )


def _traffic(kind: str, packets: PacketSpace) -> Iterator[tuple[Relation, Space]]:
    """What the packets may be to the connection table, each with the packets that can be so."""
    opening = packets.everything - packets.protocols(ICMP, ICMPV6)
    for protocol, requests in ICMP_REQUESTS.items():
        opening |= packets.protocols(protocol) & packets.icmp(requests)
    match kind:
        case "new":
            yield Relation.NEW, opening - packets.later_fragments
        case "established":
            yield Relation.ESTABLISHED, packets.everything
        case _:
            yield Relation.NEW, opening | packets.later_fragments
            yield Relation.ESTABLISHED, packets.everything
            stray = packets.protocols(TCP, SCTP) | (packets.protocols(ICMP, ICMPV6) - opening)
            yield Relation.INVALID, stray - packets.later_fragments


def _fitting(packet: Packet, relation: Relation) -> Packet:
    """The packet with what makes it that to the connection table and matters to no rule."""
    match relation:
        case Relation.ESTABLISHED:
            return replace(packet, tcp_flags=ACK, is_sctp_init=False)
        case Relation.INVALID:
            return replace(packet, tcp_flags=SYN | ACK, is_sctp_init=False)
        case _:
            return packet
