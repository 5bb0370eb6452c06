"""The way of all packets at once through a host: `pass_through` (model/passage.py) over the whole space.

    crossing = Crossing(host, Way("eth0", None))
    outcomes = crossing.outcomes(Relation.NEW)
    outcomes.where(lambda fate: fate.verdict is Verdict.ALLOW).sample()

Which stages a packet meets depends on what the earlier ones said, so that those of the arriving side cut the space into
three parts, each with a row of stages of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tortie.model.address import Net
from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState
from tortie.model.host import Host, ToHost
from tortie.model.packet import Direction, Packet
from tortie.model.passage import Way
from tortie.model.policy import Stage
from tortie.model.rule import Rule
from tortie.model.space.diagram import NOTHING, Diagram, otherwise, regions, value_of, values_below, within, without
from tortie.model.space.packetspace import PacketSpace
from tortie.model.space.space import Space
from tortie.model.space.staging import Fate, Staging
from tortie.model.stages import KNOWN
from tortie.model.verdict import Reason, Verdict

_IN, _OUT = Direction.INGRESS, Direction.EGRESS


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The fates of packets on one way: of those that were asked about."""

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

    def parts(self) -> dict[Fate, Space]:
        """The packets of each fate that some packet has."""
        ground = self.packets.ground
        found = ground.diagrams.parts(self.diagram)
        return {
            cast(Fate, value): Space(ground, ground.diagrams.relabel(part, lambda _: ground.inside.value))
            for value, part in found.items()
        }

    @property
    def regions(self) -> int:
        """Into how many regions without overlap the packets fall, each with one fate."""
        return regions(self.diagram)

    def fates(self) -> set[Fate]:
        """Every fate that some packet has."""
        return {cast(Fate, value) for value in values_below(self.diagram)}


class Crossing:
    """One way through a host.

    `rules`, `nets`: what will be asked about beside policy itself; networks on either side.
    """

    def __init__(self, host: Host, way: Way, rules: Iterable[Rule] = (), nets: Iterable[Sequence[Net]] = ()) -> None:
        self._host, self._way = host, way
        entries = (*host.failsafes.inbound, *host.failsafes.outbound)
        met = (rule for endpoint in self._endpoints() for rule in endpoint.rules())
        named = [*nets, *((entry.net,) for entry in entries if entry.net)]
        self.packets = PacketSpace(host.sets, [*rules, *met], named)

    def outcomes(self, relation: Relation, meant: Space | None = None) -> Outcomes:
        """The fates of packets that are this to the connection table, whether or not they could be.

        `meant`: the packets that are asked about; None: all. The fewer, the faster.
        """
        asked = self.packets.everything if meant is None else meant
        staging = Staging(self._host, self.packets, asked)
        met = staging.essential(_Passing(self._host, self._way, staging, relation).visited())
        complete = staging.join(otherwise, met, staging.everything(Verdict.ALLOW, Reason.NO_ENDPOINT))
        return Outcomes(self.packets, staging.join(within, complete, asked.diagram))

    def _endpoints(self) -> Iterator[EndpointState]:
        """All that may be asked on the way."""
        for interface in (self._way.arrives, self._way.leaves):
            if interface is not None:
                found = (self._host.host_side(interface), self._host.workloads.get(interface))
                yield from (endpoint for endpoint in found if endpoint is not None)


@dataclass(frozen=True, slots=True)
class _Passing:
    """All packets on one way. Source: `_Passing` of model/passage.py, method by method."""

    host: Host
    way: Way
    staging: Staging
    relation: Relation

    def visited(self) -> Diagram:
        """The fates of the packets that some stage decides about."""
        way, staging = self.way, self.staging
        if way.arrives is None:
            return NOTHING if way.leaves is None or self.host.is_workload(way.leaves) else self._local_out(way.leaves)
        untracked, pre_dnat = self._early(way.arrives)
        pre_dnat = staging.join(without, pre_dnat, untracked)
        early = staging.join(otherwise, untracked, pre_dnat)
        later = staging.join(without, self._rest(self.relation, is_decided=False), staging.allowed(early))
        for allowed, relation in ((staging.allowed(untracked), None), (staging.allowed(pre_dnat), self.relation)):
            if allowed is not NOTHING:
                skipping = staging.join(within, self._rest(relation, is_decided=True), allowed)
                later = staging.join(otherwise, later, skipping)
        return staging.row([early, later])

    def _local_out(self, interface: str) -> Diagram:
        """The untracked and the normal stage of what a local process sends."""
        endpoint = self.host.endpoints.get(interface)
        if endpoint is None:
            return NOTHING
        untracked = self.staging.untracked(endpoint, _OUT)
        return self.staging.join(otherwise, untracked, self.staging.normal(endpoint, _OUT, self.relation))

    def _early(self, interface: str) -> tuple[Diagram, Diagram]:
        """The untracked and the pre-DNAT stage of the arriving side."""
        endpoint = self.host.host_side(interface)
        if endpoint is None:
            return NOTHING, NOTHING
        is_workload = self.host.is_workload(interface)
        untracked = NOTHING if is_workload else self.staging.untracked(endpoint, _IN)
        has_pre_dnat = bool(endpoint.stage(Stage.PRE_DNAT, _IN))
        return untracked, self.staging.pre_dnat(endpoint, self.relation) if has_pre_dnat else NOTHING

    def _rest(self, relation: Relation | None, *, is_decided: bool) -> Diagram:
        """What comes after the early stages; `is_decided`: one of them allowed the packets."""
        arrives, leaves, host, staging = cast(str, self.way.arrives), self.way.leaves, self.host, self.staging
        is_from_workload = host.is_workload(arrives)
        row: list[Diagram] = []
        if leaves is not None and not is_decided:
            row.append(staging.forward(host.host_side(arrives), _IN, relation))
        if is_from_workload:
            row.append(self._workload(arrives, _OUT, relation))
        if leaves is None:
            if is_from_workload:
                row.append(self._to_host(relation))
            elif not is_decided and (endpoint := host.endpoints.get(arrives)):
                row.append(staging.normal(endpoint, _IN, relation))
            return staging.row(row)
        if host.is_workload(leaves):
            row.append(self._workload(leaves, _IN, relation))
        row.append(staging.forward(host.host_side(leaves), _OUT, relation))
        return staging.row(row)

    def _workload(self, interface: str, direction: Direction, relation: Relation | None) -> Diagram:
        endpoint = self.host.workloads.get(interface)
        if endpoint is None:
            return self.staging.everything(Verdict.DENY, Reason.UNKNOWN_WORKLOAD, is_rejected=self.host.rejects)
        return self.staging.normal(endpoint, direction, relation)

    def _to_host(self, relation: Relation | None) -> Diagram:
        if relation in KNOWN:
            return NOTHING
        verdict = Verdict.DENY if self.host.to_host is ToHost.DROP else Verdict.ALLOW
        return self.staging.everything(verdict, Reason.TO_HOST)
