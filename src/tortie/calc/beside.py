"""What the wildcard endpoint has on interfaces of workloads: its pre-DNAT and forward policy, and nothing else.

Where it has neither, it has nothing there: no interface gets programs, and memory, for want of anything to decide.
Source: semantics.md, row "Wildcard endpoint"; dataplane-policy.md A.4.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tortie.calc.order import Tiers
from tortie.calc.settings import HostSettings
from tortie.model.endpoint import HostEndpoint, Interface, WorkloadEndpoint
from tortie.model.policy import Stage

STAGES = frozenset({Stage.PRE_DNAT, Stage.FORWARD})


class Governor(NamedTuple):
    """The endpoint of an interface; whether it has it in part only, because a workload is behind it."""

    endpoint: HostEndpoint
    is_beside_workload: bool = False


class Beside:
    """The part of the wildcard's tiers, the same object for as long as it is equal."""

    def __init__(self) -> None:
        self._whole: Tiers = {}
        self._part: Tiers = {}

    def part(self, tiers: Tiers) -> Tiers:
        """The tiers that hold there; none, where there is nothing to enforce."""
        if tiers is not self._whole:
            self._whole = tiers
            part = {place: found for place, found in tiers.items() if place[0] in STAGES}
            self._part = self._part if part == self._part else part
        return self._part


def interfaces_of_workloads(
    interfaces: Mapping[str, Interface],
    workloads: Iterable[WorkloadEndpoint],
    settings: HostSettings,
    governed: Collection[str],
) -> list[str]:
    """The interfaces that workloads are behind, by their names or because an endpoint says so."""
    known = {one.interface_name for one in workloads}
    prefixes = tuple(prefix for prefix in settings.interface_prefixes if prefix)
    return [
        name
        for name, one in sorted(interfaces.items())
        if (name in known or name.startswith(prefixes)) and name not in governed and not one.is_loopback
    ]
