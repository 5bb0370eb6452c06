"""Values that documents give, over values that other documents imply.

Calico's own documents and objects of Kubernetes may describe one thing: a Profile `kns.shop` and the Namespace `shop`,
a WorkloadEndpoint and its Pod. What somebody gave in so many words counts; what is only implied counts where nothing is
given.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

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
