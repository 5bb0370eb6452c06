"""What rules ask for of IP sets: one set of netfilter for each union of IP sets and each IP version. Pure.

An IP set becomes one set for each family that rules ask for, because sets of netfilter hold one address type. Several
named ports of one match share one set (their union), so that a policy rule never becomes many.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from tortie.model.address import WIDTH, Net
from tortie.model.desired import SetChange
from tortie.model.ipset import AddressSet, IPSet, Member, PortMember, PortSet
from tortie.model.packet import PORTED

_HASH_BYTES = 16
_HASH_SPACE = 1 << 8 * _HASH_BYTES


@dataclass(frozen=True, slots=True)
class NamedSet:
    """One set of netfilter. `fingerprint` is a sum over the members' hashes: a change costs only what it touches."""

    set_ids: tuple[str, ...]
    version: int
    has_ports: bool
    fingerprint: int

    def holds(self, member: Member) -> bool:
        """Whether a member of the IP set belongs into this set. Policy knows ports of TCP, UDP and SCTP only."""
        if isinstance(member, PortMember):
            return self.has_ports and member.version == self.version and member.protocol in PORTED
        return not self.has_ports and member.version == self.version


Naming = Callable[[int, tuple[str, ...], int, bool], str]
"""The name of a set: how many there are already, the IP sets it stands for, IP version, whether it has ports."""


def name_by_number(number: int, set_ids: tuple[str, ...], version: int, has_ports: bool) -> str:
    """Short names, for a table that is always replaced as a whole."""
    return f"s{number}_v{version}"


@dataclass(slots=True)
class SetTable:
    """The sets of netfilter that the rules rendered so far ask for, and the IP sets they asked for in vain.

    `sums`: whether each named set gets its fingerprint at once.
    """

    sets: Mapping[str, IPSet]
    naming: Naming = name_by_number
    sums: bool = True
    named: dict[str, NamedSet] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    _names: dict[tuple[tuple[str, ...], int], str] = field(default_factory=dict)

    def kind(self, set_id: str) -> type[AddressSet] | type[PortSet] | None:
        """What the IP set holds; None for one that does not exist, which is noted."""
        match self.sets.get(set_id):
            case AddressSet():
                return AddressSet
            case PortSet():
                return PortSet
            case _:
                self.absent.add(set_id)
                return None

    def name(self, set_ids: tuple[str, ...], version: int) -> str:
        """The set that stands for the union of these IP sets in that family. All hold the same kind of member."""
        key = (tuple(sorted(set(set_ids))), version)
        if key not in self._names:
            has_ports = isinstance(self.sets[set_ids[0]], PortSet)
            self._names[key] = name = self.naming(len(self._names), key[0], version, has_ports)
            empty = NamedSet(key[0], version, has_ports, 0)
            self.named[name] = summed(empty, self.sets) if self.sums else empty
        return self._names[key]


def summed(named: NamedSet, sets: Mapping[str, IPSet]) -> NamedSet:
    """The named set with the fingerprint of the members that it has now."""
    return replace(named, fingerprint=sum_members(members_of(named, sets)))


def members_of(named: NamedSet, sets: Mapping[str, IPSet]) -> set[Member]:
    """The members of a set, before members inside others are left out."""
    return {member for set_id in named.set_ids for member in sets[set_id].members if named.holds(member)}


def union_change(
    named: NamedSet, changes: Mapping[str, SetChange], after: Mapping[str, IPSet]
) -> tuple[set[Member], set[Member]]:
    """Members that came to and went from the union of a set's IP sets."""

    def was_in(set_id: str, member: Member) -> bool:
        change = changes.get(set_id)
        if change is not None and (member in change.added or member in change.removed):
            return member in change.removed
        return after[set_id].has(member)

    own = [changes[set_id] for set_id in named.set_ids if set_id in changes]
    come = {m for change in own for m in change.added if named.holds(m)}
    gone = {m for change in own for m in change.removed if named.holds(m)}
    added = {m for m in come if not any(was_in(set_id, m) for set_id in named.set_ids)}
    removed = {m for m in gone if not any(after[set_id].has(m) for set_id in named.set_ids)}
    return added, removed


def is_covered(net: Net, nets: Container[Net]) -> bool:
    """Whether a wider net of these covers it."""
    width = WIDTH[net.version]
    return any(
        Net(net.version, net.address >> (width - length) << (width - length), length) in nets
        for length in range(net.length)
    )


def sum_members(members: Iterable[Member]) -> int:
    """A fingerprint that does not depend on order, to which one can add and from which one can subtract.

    It tells states of ours apart; it is no defence against somebody who chooses members to collide.
    """
    return sum(_hash(member) for member in members) % _HASH_SPACE


def shift_fingerprint(fingerprint: int, added: Iterable[Member], removed: Iterable[Member]) -> int:
    """The fingerprint after those members came and went."""
    return (fingerprint + sum_members(added) - sum_members(removed)) % _HASH_SPACE


def _hash(member: Member) -> int:
    kind = "p" if isinstance(member, PortMember) else "n"
    text = f"{kind}{','.join(map(str, member))}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=_HASH_BYTES).digest(), "big")
