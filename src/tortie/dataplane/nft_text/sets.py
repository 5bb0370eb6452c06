"""The named nft sets of one table: which IP sets each stands for, and its elements.

An IP set becomes one nft set for each family that rules ask for, because an nft set holds one address type. Several
named ports of one match share one nft set (their union), so that a policy rule never becomes many nft rules.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tortie.dataplane.alternatives import outermost
from tortie.model.address import WIDTH, Net, format_address
from tortie.model.ipset import AddressSet, IPSet, Member, PortMember, PortSet
from tortie.model.packet import PORTED

ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
_HASH_BYTES = 16
_HASH_SPACE = 1 << 8 * _HASH_BYTES


@dataclass(frozen=True, slots=True)
class NamedSet:
    """One nft set. `fingerprint` is a sum over the members' hashes, so that a change costs only what it touches."""

    set_ids: tuple[str, ...]
    version: int
    has_ports: bool
    fingerprint: int

    @property
    def type_text(self) -> str:
        """The set's key type, and its flags."""
        address = ADDRESS_TYPE[self.version]
        return f"type {address} . inet_proto . inet_service;" if self.has_ports else f"type {address}; flags interval;"

    def holds(self, member: Member) -> bool:
        """Whether a member of the IP set belongs into this nft set. Policy knows ports of TCP, UDP and SCTP only."""
        if isinstance(member, PortMember):
            return self.has_ports and member.version == self.version and member.protocol in PORTED
        return not self.has_ports and member.version == self.version


Naming = Callable[[int, tuple[str, ...], int, bool], str]
"""The name of an nft set: how many there are already, the IP sets it stands for, IP version, whether it has ports."""


def name_by_number(number: int, set_ids: tuple[str, ...], version: int, has_ports: bool) -> str:
    """Short names, for a table that is always replaced as a whole."""
    return f"s{number}_v{version}"


@dataclass(slots=True)
class SetTable:
    """The nft sets that the rules rendered so far ask for, and the IP sets they asked for in vain.

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
        """The nft set that stands for the union of these IP sets in that family. All hold the same kind of member."""
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
    """The members of an nft set, before members inside others are left out."""
    return {member for set_id in named.set_ids for member in sets[set_id].members if named.holds(member)}


def elements_of(named: NamedSet, members: Iterable[Member]) -> list[str]:
    """Elements in nft's text for those members, sorted."""
    if named.has_ports:
        return [format_element(member) for member in sorted(members)]
    # An interval set of nft refuses overlapping elements.
    return [format_element(net) for net in outermost(m for m in members if isinstance(m, Net))]


def format_element(member: Member) -> str:
    """A member in nft's text."""
    if isinstance(member, PortMember):
        return f"{format_address(member.version, member.address)} . {member.protocol} . {member.port}"
    return format_address(member.version, member.address) if member.is_host else str(member)


def set_text(name: str, type_text: str, elements: Sequence[str]) -> str:
    """The declaration of a set."""
    lines = [f"\tset {name} {{", f"\t\t{type_text}"]
    if elements:
        lines.append(f"\t\telements = {{ {', '.join(elements)} }}")
    return "\n".join((*lines, "\t}"))


def is_covered(net: Net, nets: frozenset[Net]) -> bool:
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
