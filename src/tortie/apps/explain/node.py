"""One node as an explanation sees it: its endpoints, and the paths through them on which policy speaks. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import assert_never

from tortie.apps.explain.rows import Names
from tortie.apps.explain.study import Path, Question, Study, study
from tortie.apps.labelled import Labelled, Things
from tortie.apps.sentences import shown_index
from tortie.apps.trace.hostview import HostView
from tortie.model.address import WIDTH, Net
from tortie.model.desired import EndpointState
from tortie.model.endpoint import WILDCARD, HostEndpoint, NetworkSet, WorkloadEndpoint
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.verdict import RuleRef

Hits = Mapping[tuple[str, str, int | None], int]
"""Packets that met a rule of this node: by policy as text, direction and number."""
_COUNTED = (Stage.UNTRACKED, Stage.NORMAL)
_LOCAL = {4: Net(4, 127 << 24, 8), 6: Net(6, 1, 128)}


@dataclass(frozen=True, slots=True)
class Standing:
    """An endpoint in its place on the node; `state` None: an interface without endpoint."""

    interface: str
    state: EndpointState | None

    @property
    def is_workload(self) -> bool:
        """Whether it is a workload's."""
        return self.state is not None and self.state.is_workload


@dataclass(frozen=True)
class Node:
    """One node as an explanation sees it. `hits` None: no agent could be asked."""

    view: HostView
    things: Things
    hits: Hits | None = None

    @cached_property
    def names(self) -> Names:
        """What rules refer to."""
        return Names(self.view.host, self.things, self.view.origins)

    def standings(self) -> Iterator[Standing]:
        """Every interface but the loopback, host interfaces first; the wildcard where it has policy for workloads."""
        host = self.view.host
        named = sorted(name for name, one in self.view.interfaces.items() if not one.is_loopback)
        for name in named:
            if not host.is_workload(name):
                yield Standing(name, host.endpoints.get(name))
        if host.wildcard is not None and self.paths(Standing(WILDCARD, host.wildcard)):
            yield Standing(WILDCARD, host.wildcard)
        for name, state in sorted(host.workloads.items()):
            yield Standing(name, state)

    def paths(self, one: Standing) -> list[Path]:
        """The paths through the endpoint on which it has something to say."""
        state = one.state
        if state is None:
            return []
        if state.is_workload:
            return [Path.TO_WORKLOAD, Path.FROM_WORKLOAD]
        early = (Stage.UNTRACKED, Stage.PRE_DNAT)
        goes_on = any(state.stage(stage, Direction.INGRESS) for stage in (*early, Stage.FORWARD))
        found = [] if one.interface == WILDCARD else [Path.TO_HOST]
        found += [Path.FORWARD_IN] * goes_on
        found += [] if one.interface == WILDCARD else [Path.FROM_HOST]
        return found + [Path.FORWARD_OUT] * bool(state.stage(Stage.FORWARD, Direction.EGRESS))

    def labelled(self, state: EndpointState) -> Labelled | None:
        """The endpoint among the documents."""
        return next(
            (one for one in self.things.labelled if _called(one.value) == (state.is_workload, state.endpoint)), None
        )

    def own_nets(self) -> tuple[Net, ...] | None:
        """The host's addresses that packets come to over interfaces; None where none is known."""
        found = (Net(version, address, WIDTH[version]) for version, address in self.view.host.addresses.unicast)
        kept = tuple(sorted(net for net in found if not _LOCAL[net.version].contains(net.version, net.address)))
        return kept or None

    def study(self, state: EndpointState, path: Path, question: Question) -> Study:
        """What the endpoint makes of the packets in question on that path, to addresses that lead there."""
        if path is Path.TO_HOST:
            question = question.to(self.own_nets(), self.view.host.addresses.groups)
        elif path is Path.TO_WORKLOAD and (one := self.labelled(state)) is not None:
            question = question.to(tuple(one.nets) or None)
        return study(state, path, self.view.host, question)

    def hits_of(self, ref: RuleRef, direction: Direction, stages: Iterable[Stage]) -> int | None:
        """How many packets met it, in classes that programs enforce; None where nobody counts."""
        if self.hits is None or not any(stage in _COUNTED for stage in stages):
            return None
        return self.hits.get((str(ref.policy), direction.value, shown_index(ref)), 0)


def _called(value: HostEndpoint | WorkloadEndpoint | NetworkSet) -> tuple[bool, str] | None:
    """Whether it is a workload's, and its name, as an EndpointState has them; None for what is no endpoint."""
    match value:
        case HostEndpoint():
            return False, value.name
        case WorkloadEndpoint():
            return True, f"{value.namespace}/{value.name}"
        case NetworkSet():
            return None
        case _:
            assert_never(value)
