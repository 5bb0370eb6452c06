"""The way of one packet through a host: which classes of which endpoints it meets, in which order.

    arrives at a host interface            untracked ─▶ pre-DNAT ─┬─▶ for the host: normal
                                                                  └─▶ on: forward, workload in, forward out
    arrives from a workload                pre-DNAT (wildcard) ───┬─▶ for the host: workload out, then to-host action
                                                                  └─▶ on: forward, workload out and in, forward out
    made by a local process                untracked ─▶ normal;  to a workload of this host: nothing is asked

An Allow of untracked or pre-DNAT policy skips every later stage of the endpoint where the packet arrived, and nothing
else. A Deny is final wherever it is said.

Source: reference semantics.md, which wins; dataplane-policy.md A.2, A.4, A.8.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState
from tortie.model.essential import is_essential
from tortie.model.host import Host, ToHost
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.stages import forward, normal, pre_dnat, untracked
from tortie.model.verdict import Reason, Trace, Verdict
from tortie.model.walk import Given, reasoned

_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_Stage = Callable[[Packet, Direction, EndpointState, Relation | None, Given], Trace]
ANSWERED = (Stage.FORWARD, Stage.NORMAL)
"""The classes whose denials are answered where that is configured; the earlier ones drop silently."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet arrives and where it leaves. No `arrives`: a local process made it; no `leaves`: it is for one."""

    arrives: str | None
    leaves: str | None


@dataclass(frozen=True, slots=True)
class Visit:
    """A stage that was asked: on which interface, in which direction, of which endpoint (None: there is none)."""

    interface: str
    direction: Direction
    endpoint: EndpointState | None
    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What became of a packet, and every stage that was asked on the way.

    `decided` is the visit that denied it, or the last one whose rule allowed it, or the last one that did without; None
    where nobody was asked. `is_rejected`: the sender is told of the denial.
    """

    verdict: Verdict
    reason: Reason
    visits: tuple[Visit, ...]
    decided: Visit | None
    is_tracked: bool
    is_rejected: bool


def pass_through(packet: Packet, way: Way, host: Host, relation: Relation, *, tells_all: bool = False) -> Passage:
    """What the host does with the packet. `relation`: what it is to the connection table.

    `tells_all`: the traces name every rule that was considered, not only those that matched.
    """
    if is_essential(packet):
        return Passage(
            verdict=Verdict.ALLOW,
            reason=Reason.ESSENTIAL_ICMPV6,
            visits=(),
            decided=None,
            is_tracked=True,
            is_rejected=False,
        )
    given = Given(host.sets, host.failsafes, host.tracking.drops_invalid, tells_all)
    visits: list[Visit] = []
    for visit in _Passing(packet, host, given, relation).visits(way):
        visits.append(visit)
        if visit.trace.verdict is Verdict.DENY:
            break
    return _conclude(host, tuple(visits))


class _Passing:
    """A packet on its way. The relation becomes None with an untracked Allow: no connection state from there on."""

    def __init__(self, packet: Packet, host: Host, given: Given, relation: Relation) -> None:
        self._packet, self._host, self._given = packet, host, given
        self._relation: Relation | None = relation

    def visits(self, way: Way) -> Iterator[Visit]:
        """The stages in order; whoever asks stops at the first Deny."""
        if way.arrives is None:
            if way.leaves is not None and not self._host.is_workload(way.leaves):
                yield from self._local_out(way.leaves)
            return
        is_from_workload = self._host.is_workload(way.arrives)
        is_decided = False
        for visit in self._early(way.arrives):
            yield visit
            is_decided = visit.trace.verdict is Verdict.ALLOW
        if way.leaves is not None and not is_decided:
            yield from self._forward(way.arrives, _IN)
        if is_from_workload:
            yield self._workload(way.arrives, _OUT)
        if way.leaves is None:
            if is_from_workload:
                yield from self._to_host(way.arrives)
            elif not is_decided and (endpoint := self._host.endpoints.get(way.arrives)):
                yield self._visit(way.arrives, _IN, endpoint, normal)
            return
        if self._host.is_workload(way.leaves):
            yield self._workload(way.leaves, _IN)
        yield from self._forward(way.leaves, _OUT)

    def _early(self, interface: str) -> Iterator[Visit]:
        """What is asked before anybody knows where the packet goes; an Allow is the last of it."""
        endpoint = self._host.host_side(interface)
        if endpoint is None:
            return
        if not self._host.is_workload(interface):
            visit = self._untracked(interface, _IN, endpoint)
            yield visit
            if visit.trace.verdict is Verdict.ALLOW:
                return
        if endpoint.stage(Stage.PRE_DNAT, _IN):
            yield Visit(interface, _IN, endpoint, pre_dnat(self._packet, endpoint, self._relation, self._given))

    def _local_out(self, interface: str) -> Iterator[Visit]:
        endpoint = self._host.endpoints.get(interface)
        if endpoint is None:
            return
        early = self._untracked(interface, _OUT, endpoint)
        yield early
        if early.trace.verdict is Verdict.CONTINUE:
            yield self._visit(interface, _OUT, endpoint, normal)

    def _untracked(self, interface: str, direction: Direction, endpoint: EndpointState) -> Visit:
        found = untracked(self._packet, direction, endpoint, self._given)
        if found.verdict is Verdict.ALLOW:
            self._relation = None
        return Visit(interface, direction, endpoint, found)

    def _forward(self, interface: str, direction: Direction) -> Iterator[Visit]:
        if endpoint := self._host.host_side(interface):
            yield self._visit(interface, direction, endpoint, forward)

    def _workload(self, interface: str, direction: Direction) -> Visit:
        """The workload's own policy; an interface of a workload that nobody knows is closed."""
        endpoint = self._host.workloads.get(interface)
        if endpoint is None:
            return Visit(interface, direction, None, reasoned(Verdict.DENY, Reason.UNKNOWN_WORKLOAD, Stage.NORMAL))
        return self._visit(interface, direction, endpoint, normal)

    def _to_host(self, interface: str) -> Iterator[Visit]:
        """The setting decides about what opens a connection; the packets of one that is known go on."""
        if self._relation not in (Relation.ESTABLISHED, Relation.RELATED):
            verdict = Verdict.DENY if self._host.to_host is ToHost.DROP else Verdict.ALLOW
            yield Visit(interface, _OUT, None, reasoned(verdict, Reason.TO_HOST, Stage.NORMAL))

    def _visit(self, interface: str, direction: Direction, endpoint: EndpointState, stage: _Stage) -> Visit:
        return Visit(
            interface, direction, endpoint, stage(self._packet, direction, endpoint, self._relation, self._given)
        )


def _conclude(host: Host, visits: tuple[Visit, ...]) -> Passage:
    allowed = [visit for visit in visits if visit.trace.verdict is Verdict.ALLOW]
    is_denied = bool(visits) and visits[-1].trace.verdict is Verdict.DENY
    decided = visits[-1] if is_denied else next((v for v in reversed(allowed) if v.trace.rule), None)
    decided = decided or (allowed[-1] if allowed else None)
    is_untracked = any(visit.trace.stage is Stage.UNTRACKED for visit in allowed)
    reason = Reason.NO_ENDPOINT if decided is None else decided.trace.reason
    return Passage(
        verdict=Verdict.DENY if is_denied else Verdict.ALLOW,
        reason=reason,
        visits=visits,
        decided=decided,
        is_tracked=not is_denied and not is_untracked,
        is_rejected=is_denied and host.rejects and visits[-1].trace.stage in ANSWERED and reason is not Reason.TO_HOST,
    )
