"""Values that documents give, over values that other documents imply.

Calico's own documents and objects of Kubernetes may describe one thing: a Profile `kns.shop` and the Namespace `shop`,
a WorkloadEndpoint and its Pod. What somebody gave in so many words counts; what is only implied counts where nothing is
given.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

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


class Workloads:
    """Workload endpoints by their own names, over those of pods, which are known by the pods' names."""

    def __init__(self) -> None:
        self._endpoints: Overlay[Place, WorkloadEndpoint] = Overlay()
        self._pods: dict[Place, WorkloadEndpoint] = {}

    def give(self, place: Place, endpoint: WorkloadEndpoint | None) -> WorkloadEndpoint | None:
        """The endpoint of that name that counts after a document gave it, or gives none any more."""
        return self._endpoints.give(place, endpoint)

    def set_pod(self, pod: Place, endpoint: WorkloadEndpoint | None) -> Iterator[tuple[Place, WorkloadEndpoint | None]]:
        """The endpoints that the pod's change touches, by their names, and what counts of each now.

        A pod that starts anew on another node has an endpoint of another name there.
        """
        before = self._pods.pop(pod, None)
        if endpoint is not None:
            self._pods[pod] = endpoint
        after = None if endpoint is None else _place(endpoint)
        if before is not None and _place(before) != after:
            yield _place(before), self._endpoints.imply(_place(before), None)
        if after is not None:
            yield after, self._endpoints.imply(after, endpoint)


def _place(endpoint: WorkloadEndpoint) -> Place:
    return endpoint.namespace, endpoint.name
