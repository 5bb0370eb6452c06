"""Values that documents give, over values that other documents imply.

Calico's own documents and objects of Kubernetes may describe one thing: a Profile `kns.shop` and the Namespace `shop`,
a WorkloadEndpoint and its Pod. What somebody gave in so many words counts; what is only implied counts where nothing is
given.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from tortie.calc.settings import WORKLOAD_PREFIXES
from tortie.model.endpoint import WorkloadEndpoint

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Overlay(Generic[Key, Value]):
    """Both values of each thing, whichever came first; each change answers the one that counts now."""

    def __init__(self) -> None:
        self._given: dict[Key, Value] = {}
        self._implied: dict[Key, Value] = {}

    def give(self, key: Key, value: Value | None) -> Value | None:
        """What counts after a document gave the value, or gives none any more."""
        return self._put(self._given, key, value)

    def imply(self, key: Key, value: Value | None) -> Value | None:
        """What counts after a document implied the value, or implies none any more."""
        return self._put(self._implied, key, value)

    def _put(self, table: dict[Key, Value], key: Key, value: Value | None) -> Value | None:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
        return self._given[key] if key in self._given else self._implied.get(key)


Place = tuple[str, str]
"""Namespace and name."""


Touched = Iterator[tuple[Place, WorkloadEndpoint | None]]
"""Endpoints by their names, and what counts of each now."""


class Workloads:
    """Workload endpoints by their own names, over those of pods, which are known by the pods' names.

    The host's end of a pod's wire is called by the first workload prefix of the settings, and what the pod says.
    Source: reference resources.md section 8.8, "Pod mapping".
    """

    def __init__(self) -> None:
        self._endpoints: Overlay[Place, WorkloadEndpoint] = Overlay()
        self._pods: dict[Place, WorkloadEndpoint] = {}
        self._prefix = WORKLOAD_PREFIXES[0]

    def give(self, place: Place, endpoint: WorkloadEndpoint | None) -> WorkloadEndpoint | None:
        """The endpoint of that name that counts after a document gave it, or gives none any more."""
        return self._endpoints.give(place, endpoint)

    def set_pod(self, pod: Place, endpoint: WorkloadEndpoint | None) -> Touched:
        """What the pod's change touches. One that starts anew on another node has an endpoint of another name there."""
        before = self._pods.pop(pod, None)
        if endpoint is not None:
            self._pods[pod] = endpoint
        after = None if endpoint is None else _place(endpoint)
        if before is not None and _place(before) != after:
            yield _place(before), self._endpoints.imply(_place(before), None)
        if endpoint is not None:
            yield self._imply(endpoint)

    def set_prefixes(self, prefixes: Sequence[str]) -> Touched:
        """What the settings' workload prefixes touch: every pod, where the first one is another."""
        prefix = next((one for one in prefixes if one), WORKLOAD_PREFIXES[0])
        if prefix != self._prefix:
            self._prefix = prefix
            for endpoint in self._pods.values():
                yield self._imply(endpoint)

    def _imply(self, endpoint: WorkloadEndpoint) -> tuple[Place, WorkloadEndpoint | None]:
        wired = replace(endpoint, interface_name=f"{self._prefix}{endpoint.interface_name}")
        return _place(endpoint), self._endpoints.imply(_place(endpoint), wired)


def _place(endpoint: WorkloadEndpoint) -> Place:
    return endpoint.namespace, endpoint.name
