"""The way of all packets at once through a host: `pass_through` (model/passage.py) over the whole space.

    crossing = Crossing(host, Way("eth0", None))
    outcomes = crossing.outcomes(Relation.NEW)
    outcomes.where(lambda fate: fate.verdict is Verdict.ALLOW).sample()

A stage is a map from packets to their fate; packets that it lets go on are not in it. Stages in a row are joined: the
first denial counts, else the last allowing rule. Which stages a packet meets depends on what the earlier ones said, so
that those of the arriving side cut the space into three parts, each with a row of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tortie.model.address import Net
from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState
from tortie.model.host import Host, ToHost
from tortie.model.packet import Direction, Packet, Side
from tortie.model.passage import ANSWERED, Way
from tortie.model.policy import Stage
from tortie.model.space.deciding import Decision, walk_all
from tortie.model.space.diagram import NOTHING, Diagram, Diagrams, Leaf, below, otherwise, value_of, within, without
from tortie.model.space.packetspace import PacketSpace
from tortie.model.space.space import Space
from tortie.model.stages import KNOWN, stage_groups
from tortie.model.verdict import Reason, RuleRef, Verdict

_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_FAR = {_IN: Side.SOURCE, _OUT: Side.DESTINATION}
"""The side of a packet that is not this host's."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet, and what decided: as `Passage`, without the visits. `verdict` is Allow or Deny."""

    verdict: Verdict
    reason: Reason
    rule: RuleRef | None = None
    is_tracked: bool = True
    is_rejected: bool = False

    def then(self, later: "Fate") -> "Fate":
        """The fate of a packet that met with this one first and would meet with the later one."""
        if Verdict.DENY in (self.verdict, later.verdict):
            return self if self.verdict is Verdict.DENY else later
        decides = self if self.rule is not None and later.rule is None else later
        return Fate(Verdict.ALLOW, decides.reason, decides.rule, self.is_tracked and later.is_tracked)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The fate of every packet on one way."""

    packets: PacketSpace
    diagram: Diagram

    def of(self, packet: Packet) -> Fate:
        """The fate of one packet."""
        return cast(Fate, value_of(self.diagram, self.packets.ground.values_of(packet)))

    def where(self, wanted: Callable[[Fate], bool]) -> Space:
        """The packets with such a fate."""
        ground = self.packets.ground
        kept = ground.diagrams.relabel(self.diagram, lambda value: value if wanted(cast(Fate, value)) else None)
        return self.packets.everything & Space(ground, kept)

    def fates(self) -> list[Fate]:
        """Every fate that some packet has."""
        return [cast(Fate, one.value) for one in below(self.diagram) if isinstance(one, Leaf)]


class Crossing:
    """One way through a host. `nets`: networks that will be asked about beside those of policy, either side."""

    def __init__(self, host: Host, way: Way, nets: Iterable[Sequence[Net]] = ()) -> None:
        self._host, self._way = host, way
        entries = (*host.failsafes.inbound, *host.failsafes.outbound)
        rules = (rule for endpoint in self._endpoints() for rule in endpoint.rules())
        self.packets = PacketSpace(host.sets, rules, [*nets, *((entry.net,) for entry in entries if entry.net)])
        self._diagrams = self.packets.ground.diagrams

    def outcomes(self, relation: Relation) -> Outcomes:
        """The fate of every packet that is this to the connection table, whether or not it could be."""
        met = self._essential(self._visited(relation))
        return Outcomes(self.packets, self._join(otherwise, met, self._all(Verdict.ALLOW, Reason.NO_ENDPOINT)))

    def _endpoints(self) -> Iterator[EndpointState]:
        """All that may be asked on the way."""
        for interface in (self._way.arrives, self._way.leaves):
            if interface is not None:
                found = (self._host.host_side(interface), self._host.workloads.get(interface))
                yield from (endpoint for endpoint in found if endpoint is not None)

    def _visited(self, relation: Relation) -> Diagram:
        """The fates of packets that some stage decides about. Source: `_Passing.visits` of model/passage.py."""
        way, host = self._way, self._host
        if way.arrives is None:
            endpoint = None if way.leaves is None or host.is_workload(way.leaves) else host.endpoints.get(way.leaves)
            if endpoint is None:
                return NOTHING
            return self._join(otherwise, self._untracked(endpoint, _OUT), self._normal(endpoint, _OUT, relation))
        untracked, pre_dnat = self._early(way.arrives, relation)
        pre_dnat = self._join(without, pre_dnat, untracked)
        early = self._join(otherwise, untracked, pre_dnat)
        skips = self._join(without, self._rest(relation, is_decided=False), self._allowed(early))
        later = self._join(within, self._rest(None, is_decided=True), self._allowed(untracked))
        after = self._join(within, self._rest(relation, is_decided=True), self._allowed(pre_dnat))
        return self._row([early, self._diagrams.fold(otherwise, [skips, later, after])])

    def _early(self, interface: str, relation: Relation) -> tuple[Diagram, Diagram]:
        """The untracked and the pre-DNAT stage of the arriving side."""
        endpoint = self._host.host_side(interface)
        if endpoint is None:
            return NOTHING, NOTHING
        is_workload = self._host.is_workload(interface)
        untracked = NOTHING if is_workload else self._untracked(endpoint, _IN)
        return untracked, self._pre_dnat(endpoint, relation) if endpoint.stage(Stage.PRE_DNAT, _IN) else NOTHING

    def _rest(self, relation: Relation | None, *, is_decided: bool) -> Diagram:
        """What comes after the early stages; `is_decided`: one of them allowed the packets."""
        arrives, leaves, host = cast(str, self._way.arrives), self._way.leaves, self._host
        is_from_workload = host.is_workload(arrives)
        row: list[Diagram] = []
        if leaves is not None and not is_decided:
            row.append(self._forward(host.host_side(arrives), _IN, relation))
        if is_from_workload:
            row.append(self._workload(arrives, _OUT, relation))
        if leaves is None:
            if is_from_workload:
                row.append(self._to_host(relation))
            elif not is_decided and (endpoint := host.endpoints.get(arrives)):
                row.append(self._normal(endpoint, _IN, relation))
            return self._row(row)
        if host.is_workload(leaves):
            row.append(self._workload(leaves, _IN, relation))
        row.append(self._forward(host.host_side(leaves), _OUT, relation))
        return self._row(row)

    def _untracked(self, endpoint: EndpointState, direction: Direction) -> Diagram:
        failsafes = self._host.failsafes
        replies = failsafes.outbound if direction is _IN else failsafes.inbound
        legs = self.packets.failsafes(replies, port=Side.SOURCE, remote=_FAR[direction])
        return self._join(
            without, self._walk(endpoint, Stage.UNTRACKED, direction), (self._opens(direction) | legs).diagram
        )

    def _pre_dnat(self, endpoint: EndpointState, relation: Relation | None) -> Diagram:
        if relation in KNOWN:
            return NOTHING
        walked = self._tracked(endpoint, Stage.PRE_DNAT, _IN, relation)
        return self._join(without, walked, self._opens(_IN).diagram)

    def _forward(self, endpoint: EndpointState | None, direction: Direction, relation: Relation | None) -> Diagram:
        if endpoint is None:
            return NOTHING
        if relation in KNOWN:
            return self._all(Verdict.ALLOW, KNOWN[relation])
        walked = self._tracked(endpoint, Stage.FORWARD, direction, relation)
        return self._join(otherwise, walked, self._all(Verdict.ALLOW, Reason.FORWARDED))

    def _normal(self, endpoint: EndpointState, direction: Direction, relation: Relation | None) -> Diagram:
        if relation in KNOWN:
            return self._all(Verdict.ALLOW, KNOWN[relation])
        walked = self._tracked(endpoint, Stage.NORMAL, direction, relation)
        if endpoint.is_workload:
            return walked
        opened = self._join(within, self._all(Verdict.ALLOW, Reason.FAILSAFE), self._opens(direction).diagram)
        return self._join(otherwise, opened, walked)

    def _workload(self, interface: str, direction: Direction, relation: Relation | None) -> Diagram:
        endpoint = self._host.workloads.get(interface)
        if endpoint is None:
            return self._all(Verdict.DENY, Reason.UNKNOWN_WORKLOAD, is_rejected=self._host.rejects)
        return self._normal(endpoint, direction, relation)

    def _to_host(self, relation: Relation | None) -> Diagram:
        if relation in KNOWN:
            return NOTHING
        return self._all(Verdict.DENY if self._host.to_host is ToHost.DROP else Verdict.ALLOW, Reason.TO_HOST)

    def _tracked(
        self, endpoint: EndpointState, stage: Stage, direction: Direction, relation: Relation | None
    ) -> Diagram:
        """The walk of a stage that connection tracking stands before, for packets that open no known connection."""
        if relation is Relation.INVALID and self._host.tracking.drops_invalid:
            return self._all(Verdict.DENY, Reason.INVALID, is_rejected=self._host.rejects and stage in ANSWERED)
        return self._walk(endpoint, stage, direction)

    def _walk(self, endpoint: EndpointState, stage: Stage, direction: Direction) -> Diagram:
        walked = walk_all(stage_groups(endpoint, stage, direction), self.packets)
        answers = self._host.rejects and stage in ANSWERED
        is_tracked = stage is not Stage.UNTRACKED

        def fate(value: object) -> Fate:
            made = cast(Decision, value)
            is_denied = made.verdict is Verdict.DENY
            return Fate(made.verdict, made.reason, made.rule, is_tracked and not is_denied, answers and is_denied)

        return self._diagrams.relabel(walked, fate)

    def _opens(self, direction: Direction) -> Space:
        """The packets to failsafe ports."""
        entries = self._host.failsafes.inbound if direction is _IN else self._host.failsafes.outbound
        return self.packets.failsafes(entries, port=Side.DESTINATION, remote=_FAR[direction])

    def _essential(self, met: Diagram) -> Diagram:
        """The same, with what passes before every class."""
        passes = self._all(Verdict.ALLOW, Reason.ESSENTIAL_ICMPV6)
        essential = self._join(within, passes, self.packets.essential.diagram)
        return self._join(otherwise, essential, met)

    def _allowed(self, met: Diagram) -> Diagram:
        return self._diagrams.relabel(met, lambda value: value if cast(Fate, value).verdict is Verdict.ALLOW else None)

    def _all(self, verdict: Verdict, reason: Reason, *, is_rejected: bool = False) -> Leaf:
        """Every packet, with that fate."""
        is_tracked = verdict is Verdict.ALLOW
        return self._diagrams.leaf(Fate(verdict, reason, is_tracked=is_tracked, is_rejected=is_rejected))

    def _row(self, stages: Iterable[Diagram]) -> Diagram:
        return self._diagrams.fold(_in_a_row, stages)

    def _join(
        self, how: Callable[[Diagrams, Diagram, Diagram], Diagram | None], one: Diagram, other: Diagram
    ) -> Diagram:
        return self._diagrams.merge(how, one, other)


def _in_a_row(diagrams: Diagrams, one: Diagram, other: Diagram) -> Diagram | None:
    """First this stage, then that one (a `Merge`)."""
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    if isinstance(one, Leaf):
        fate = cast(Fate, one.value)
        if fate.verdict is Verdict.DENY:
            return one
        if isinstance(other, Leaf):
            return diagrams.leaf(fate.then(cast(Fate, other.value)))
    return None
