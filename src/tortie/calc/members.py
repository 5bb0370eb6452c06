"""Members of the active IP sets: which addresses each selector, named port or service stands for.

Endpoints, network sets and slices of services contribute; several may contribute one member, which stays until the
last of them withdraws it. A set exists while something refers to it. What changed since the last `flush` is kept as a
difference, so that a set that goes and comes back in between, or a member that does, costs the driver nothing.

Source: reference selectors.md sections 12 and 13, resources.md section 6 (named ports).
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import assert_never, cast

from tortie.calc.labels import LabelIndex
from tortie.calc.services import ServiceIndex
from tortie.model.address import Net
from tortie.model.desired import SetChange
from tortie.model.endpoint import NamedPort, ServiceSlice
from tortie.model.ipset import (
    AddressSet,
    IPSet,
    Member,
    NamedPortSet,
    PortMember,
    PortSet,
    SelectorSet,
    ServiceSet,
    SetSource,
)
from tortie.model.nets import Nets

_FEW = 64
"""Networks up to which each has a value of its own from the beginning; and how many change at a time in packed sets."""
_PATIENCE = 1_000

Contributor = tuple[str, str, str]
"""Kind, namespace and name of an endpoint or network set."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one contributor adds to the sets that match it. Network sets have no ports."""

    nets: Nets
    ports: tuple[NamedPort, ...] = ()

    def members(self, source: SetSource) -> frozenset[Member] | Nets:
        """Its members of that set, given that the set's selector matches it; many of them packed."""
        match source:
            case SelectorSet():
                return self.nets if len(self.nets) > _FEW else frozenset(self.nets)
            case NamedPortSet():
                return frozenset(
                    PortMember(net.version, net.address, port.protocol, port.port)
                    for port in self.ports
                    if port.name == source.port_name and source.protocol in (None, port.protocol)
                    for net in self.nets
                )
            case ServiceSet():
                return frozenset()  # slices contribute to those, through their own index
            case _:
                assert_never(source)

    def beyond(self, other: "Contribution", source: SetSource) -> frozenset[Member] | Nets:
        """Its members of that set that the other one lacks."""
        if not len(other.nets):
            return self.members(source)
        if isinstance(source, SelectorSet):
            return self.nets - other.nets
        return frozenset(self.members(source)) - frozenset(other.members(source))


@dataclass(slots=True)
class _ActiveSet:
    """`shared` counts only members with two contributors or more; `added` and `removed` are against the last flush.

    Members that one contributor brought packed stay so while few others come and go.
    """

    source: SetSource
    references: int = 0
    members: set[Member] | Nets = field(default_factory=set)
    patience: int = 0
    """How many changes packed members take before each of them gets a value."""
    shared: dict[Member, int] = field(default_factory=dict)
    added: set[Member] = field(default_factory=set)
    removed: set[Member] = field(default_factory=set)
    is_known: bool = False
    """Whether the last flush told of it; until then all that it has is new, and `added` stays empty."""
    is_other: bool = False
    """Whether it is to be told as if it were new: it had become empty, and then very many came. `removed` is then what
    it had at the last flush."""

    @property
    def has_ports(self) -> bool:
        return isinstance(self.source, NamedPortSet) or (isinstance(self.source, ServiceSet) and self.source.with_ports)

    def add(self, given: Set[Member] | Nets) -> None:
        if isinstance(given, Nets) and not self.members:
            self.members, self.patience, self.added = given, _PATIENCE, set()
            self.is_other = self.is_known
            return
        members = frozenset(given) if isinstance(given, Nets) else given
        again = members & self.members if isinstance(self.members, set) else {m for m in members if m in self.members}
        for member in again:
            self.shared[member] = self.shared.get(member, 1) + 1
        fresh = members - again if again else members
        self._change(fresh, frozenset())
        if self.is_known and not self.is_other:
            self.added |= fresh - self.removed if self.removed else fresh
            self.removed -= fresh

    def withdraw(self, given: Set[Member] | Nets) -> None:
        members = frozenset(given) if isinstance(given, Nets) else given
        staying = self.shared.keys() & members if self.shared else frozenset[Member]()
        for member in staying:
            left = self.shared[member] - 1
            if left == 1:
                del self.shared[member]
            else:
                self.shared[member] = left
        gone = members - staying if staying else members
        self._change(frozenset(), gone)
        if self.is_known and not self.is_other:
            self.removed |= gone - self.added if self.added else gone
            self.added -= gone

    def _change(self, come: Set[Member], gone: Set[Member]) -> None:
        if isinstance(self.members, Nets):
            self.patience -= 1
            if self.patience > 0 and len(come) + len(gone) <= _FEW:
                self.members = self.members.changed(cast(Set[Net], come), cast(Set[Net], gone))
                return
            self.members = set(self.members)
        self.members |= come
        self.members -= gone

    def change(self) -> SetChange | None:
        """What changed since the last flush, which this one is; None: nothing did."""
        if self.is_other and len(self.members) == len(self.removed) and set(self.members) == self.removed:
            self.is_other, self.removed = False, set()
        is_new = not self.is_known or self.is_other
        if not (is_new or self.added or self.removed):
            return None
        if is_new:
            whole = self.members if isinstance(self.members, Nets) else frozenset(self.members)
            change = SetChange(whole, frozenset(), is_new=True, has_ports=self.has_ports)
        else:
            change = SetChange(frozenset(self.added), frozenset(self.removed), has_ports=self.has_ports)
        self.is_known, self.is_other, self.added, self.removed = True, False, set(), set()
        return change

    def flushed(self) -> Iterable[Member]:
        """The members as of the last flush."""
        if self.is_other:
            return self.removed
        if not (self.added or self.removed):
            return self.members
        return (frozenset(self.members) - self.added) | self.removed


class SetMembers:
    """The sets that active rules refer to, and their members."""

    def __init__(self) -> None:
        self._sets: dict[str, _ActiveSet] = {}
        self._contributions: dict[Contributor, Contribution] = {}
        self._changed: set[str] = set()
        self._index: LabelIndex[str, Contributor] = LabelIndex(self._match_started, self._match_stopped)
        self._services = ServiceIndex(self._service_changed)

    def set_parent(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Labels that contributors inherit from a profile."""
        self._index.set_parent(name, labels)

    def set_contributor(
        self, contributor: Contributor, labels: Mapping[str, str], parents: tuple[str, ...], contribution: Contribution
    ) -> None:
        """Add an endpoint or network set, or change it."""
        before = self._contributions.get(contributor)
        self._contributions[contributor] = contribution
        if before is not None and before != contribution:
            for set_id in self._index.keys(contributor):
                active = self._sets[set_id]
                active.add(contribution.beyond(before, active.source))
                active.withdraw(before.beyond(contribution, active.source))
                self._changed.add(set_id)
        self._index.set_item(contributor, labels, parents)

    def remove_contributor(self, contributor: Contributor) -> None:
        """Forget an endpoint or network set."""
        self._index.remove_item(contributor)
        del self._contributions[contributor]

    def set_slice(self, key: tuple[str, str], value: ServiceSlice | None) -> None:
        """A part of what is behind a Service, by namespace and name of the part, as it is now."""
        self._services.set_slice(key, value)

    def acquire(self, source: SetSource) -> None:
        """One more reference to the set; the first one activates it."""
        set_id = source.set_id
        active = self._sets.get(set_id)
        if active is None:
            active = self._sets[set_id] = _ActiveSet(source)
        active.references += 1
        if active.references == 1:
            self._changed.add(set_id)
            if isinstance(source, ServiceSet):
                self._services.activate(source)
            else:
                self._index.set_selector(set_id, source.selector)

    def release(self, source: SetSource) -> None:
        """One reference less; with the last one the set goes."""
        set_id = source.set_id
        active = self._sets[set_id]
        active.references -= 1
        if active.references == 0:
            self._changed.add(set_id)
            # Emptied at once: member by member, as matches stop, a large set would take long.
            if active.is_known and not active.is_other:
                active.removed |= frozenset(active.members) - active.added
            active.members, active.added, active.shared, active.is_other = set(), set(), {}, False
            if isinstance(source, ServiceSet):
                self._services.deactivate(source)
            else:
                self._index.remove_selector(set_id)

    def flush(self) -> dict[str, SetChange | None]:
        """What changed since the last flush; None: the set is gone."""
        changes: dict[str, SetChange | None] = {}
        for set_id in sorted(self._changed):
            active = self._sets[set_id]
            if active.references == 0:
                del self._sets[set_id]
                if active.is_known:
                    changes[set_id] = None
                continue
            if change := active.change():
                changes[set_id] = change
        self._changed.clear()
        return changes

    def is_empty(self, source: SetSource) -> bool:
        """Whether the set, which something refers to, had no member at the last flush."""
        return not any(True for _ in self._sets[source.set_id].flushed())

    def flushed(self) -> dict[str, IPSet]:
        """Every set as of the last flush.

        Because they are made anew for each call: few ask, and large ones would be there twice for ever.
        """
        return {set_id: _as_value(active) for set_id, active in sorted(self._sets.items()) if active.is_known}

    def _service_changed(self, set_id: str, gained: Set[Member], lost: Set[Member]) -> None:
        active = self._sets[set_id]
        active.add(gained)
        active.withdraw(lost)
        self._changed.add(set_id)

    def _match_started(self, set_id: str, contributor: Contributor) -> None:
        active = self._sets[set_id]
        active.add(self._contributions[contributor].members(active.source))
        self._changed.add(set_id)

    def _match_stopped(self, set_id: str, contributor: Contributor) -> None:
        active = self._sets[set_id]
        if active.references:
            active.withdraw(self._contributions[contributor].members(active.source))
            self._changed.add(set_id)


def _as_value(active: _ActiveSet) -> IPSet:
    members = active.flushed()
    if isinstance(members, Nets):
        return AddressSet(members)
    if active.has_ports:
        return PortSet(m for m in members if isinstance(m, PortMember))
    return AddressSet(m for m in members if isinstance(m, Net))
