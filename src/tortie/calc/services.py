"""Which slices are behind which Service, and what they contribute to the service sets that are active.

A Service of which no slice is known is an empty set, which matches nothing. The Service's own document says nothing
that a set needs: which endpoints it has is in its slices, and packets are judged by the addresses of those.

Source: reference resources.md section 6 (`services`), dataplane-policy.md B.3 and E.2 (ServiceIndex).
"""

from collections.abc import Callable, Set

from tortie.model.endpoint import ServiceSlice
from tortie.model.ipset import Member, PortMember, ServiceSet

Key = tuple[str, str]
"""Namespace and name: of a Service, or of a slice."""
Changed = Callable[[str, Set[Member], Set[Member]], None]
"""Told of a set id, and what one slice contributes to that set more than before, and what not any more."""

NOTHING: frozenset[Member] = frozenset()


class ServiceIndex:
    """The slices of every Service, and the sets that are made of them while something refers to them."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._slices: dict[Key, ServiceSlice] = {}
        self._behind: dict[Key, dict[Key, ServiceSlice]] = {}
        self._active: dict[Key, dict[str, ServiceSet]] = {}

    def set_slice(self, key: Key, value: ServiceSlice | None) -> None:
        """A slice as it is now; None: it is gone."""
        before = self._slices.get(key)
        if value == before:
            return
        if before is not None:
            del self._slices[key]
            slices = self._behind[_service(before)]
            del slices[key]
            if not slices:
                del self._behind[_service(before)]
        if value is not None:
            self._slices[key] = value
            self._behind.setdefault(_service(value), {})[key] = value
        for service in {_service(one) for one in (before, value) if one is not None}:
            for set_id, source in self._active.get(service, {}).items():
                old, new = members(before, source), members(value, source)
                self._changed(set_id, new - old, old - new)

    def activate(self, source: ServiceSet) -> None:
        """Something refers to the set from now on: every slice contributes to it."""
        service = (source.namespace, source.name)
        self._active.setdefault(service, {})[source.set_id] = source
        for one in self._behind.get(service, {}).values():
            self._changed(source.set_id, members(one, source), NOTHING)

    def deactivate(self, source: ServiceSet) -> None:
        """Nothing refers to the set any more; of its members nothing is told."""
        service = (source.namespace, source.name)
        sets = self._active[service]
        del sets[source.set_id]
        if not sets:
            del self._active[service]


def members(one: ServiceSlice | None, source: ServiceSet) -> frozenset[Member]:
    """What a slice contributes to the set; nothing where it is another Service's."""
    if one is None or _service(one) != (source.namespace, source.name):
        return NOTHING
    if not source.with_ports:
        return one.nets
    return frozenset(
        PortMember(net.version, net.address, protocol, port) for net in one.nets for protocol, port in one.ports
    )


def _service(one: ServiceSlice) -> Key:
    return one.namespace, one.service
