"""The driver's IP sets: members change one by one, and a frozen value is made only where somebody compiles it."""

from collections.abc import Collection, Iterator, Mapping, Set
from typing import cast

from tortie.model.address import Net
from tortie.model.desired import SetChange
from tortie.model.ipset import AddressSet, IPSet, Member, PortMember, PortSet
from tortie.model.nets import Nets

_FEW = 64


class Sets(Mapping[str, IPSet]):
    """Set id -> members. What `get` answers stays the same object until the set changes.

    A set that the desired state dropped stays until `forget_dropped`, with its last members: what is enforced may still
    be an older state that needs it.
    """

    def __init__(self) -> None:
        self._members: dict[str, set[Member] | Nets] = {}
        """As they came: packed ones stay so while few of them change at a time."""
        self._has_ports: dict[str, bool] = {}
        self._frozen: dict[str, IPSet] = {}
        self._dropped: set[str] = set()
        self.changes: dict[str, SetChange | None] = {}
        """What came since somebody last emptied this; one change for each set. None: it was dropped."""

    def change(self, set_id: str, change: SetChange | None) -> None:
        """Take one change of the desired state."""
        self.changes[set_id] = _joined(self.changes[set_id], change) if set_id in self.changes else change
        if change is None:
            self._dropped.add(set_id)
            return
        self._dropped.discard(set_id)
        self._frozen.pop(set_id, None)
        if change.is_new:
            self._members[set_id] = change.added if isinstance(change.added, Nets) else set(change.added)
            self._has_ports[set_id] = change.has_ports
            return
        members = self._members[set_id]
        if isinstance(members, Nets) and len(change.added) + len(change.removed) <= _FEW:
            self._members[set_id] = members.changed(cast(Set[Net], change.added), cast(Set[Net], change.removed))
            return
        if isinstance(members, Nets):
            members = self._members[set_id] = set(members)
        members -= change.removed
        members |= frozenset(change.added)

    def dropped(self) -> Collection[str]:
        """Sets that the desired state does not have any more."""
        return self._dropped

    def forget_dropped(self, *, kept: Collection[str]) -> None:
        """Let go of the sets that were dropped, those `kept` excepted."""
        for set_id in self._dropped - set(kept):
            self._members.pop(set_id, None)
            self._has_ports.pop(set_id, None)
            self._frozen.pop(set_id, None)
            self._dropped.discard(set_id)

    def has_ports(self, set_id: str) -> bool:
        """Whether the members are (address, protocol, port)."""
        return self._has_ports.get(set_id, False)

    def __getitem__(self, set_id: str) -> IPSet:
        found = self._frozen.get(set_id)
        if found is None:
            members = self._members[set_id]
            if self._has_ports[set_id]:
                found = PortSet(member for member in members if isinstance(member, PortMember))
            else:
                # as a whole: one by one, a large set would take long
                found = AddressSet(cast(set[Net] | Nets, members))
            self._frozen[set_id] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _joined(first: SetChange | None, second: SetChange | None) -> SetChange | None:
    """Two changes of one set as one: what came and went again, or went and came again, is in neither part of it."""
    if first is None or second is None or second.is_new:
        return second
    came, comes = frozenset(first.added), frozenset(second.added)
    if first.is_new:
        return SetChange((came - second.removed) | comes, frozenset(), is_new=True, has_ports=first.has_ports)
    return SetChange(
        added=(came - second.removed) | (comes - first.removed),
        removed=(first.removed - comes) | (second.removed - came),
        has_ports=first.has_ports,
    )
