"""IP sets: what a selector, a named port or a service stands for in a rule, and the members it has now.

A set is named by its content (`SetSource.set_id`), so equal selectors share one set. An empty set matches nothing.
Source: reference selectors.md sections 12 and 13.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.address import WIDTH, Net
from tortie.model.nets import Nets
from tortie.model.selector import Selector
from tortie.model.selector import unique_id as unique_id


class PortMember(NamedTuple):
    """A member of a port set: one address with one protocol and port."""

    version: int
    address: int
    protocol: int
    port: int


Member = Net | PortMember


@dataclass(frozen=True, slots=True)
class SelectorSet:
    """Addresses of every endpoint and network set that the selector matches."""

    selector: Selector

    @property
    def set_id(self) -> str:
        """Content hash; equal for equal canonical selectors."""
        return self.selector.unique_id


@dataclass(frozen=True, slots=True)
class NamedPortSet:
    """(address, protocol, port) of every port with that name on an endpoint that the selector matches.

    `protocol` None stands for TCP, UDP and SCTP alike.
    """

    selector: Selector
    protocol: int | None
    port_name: str

    @property
    def set_id(self) -> str:
        """Content hash over selector, protocol and name."""
        name = {6: "tcp", 17: "udp", 132: "sctp", None: "any"}[self.protocol]
        return unique_id("n", f"{self.selector.unique_id},{name},{self.port_name}")


@dataclass(frozen=True, slots=True)
class ServiceSet:
    """Endpoints of a Kubernetes Service; `with_ports` for an egress destination, else addresses only."""

    namespace: str
    name: str
    with_ports: bool

    @property
    def set_id(self) -> str:
        """Content hash over the service's name."""
        return unique_id("svc" if self.with_ports else "svcnoport", f"{self.namespace}/{self.name}")


SetSource = SelectorSet | NamedPortSet | ServiceSet


class AddressSet:
    """Immutable members of a net set. Who only lists them does without the index that `contains` makes, and who takes
    them packed does without a value for each."""

    __slots__ = ("_by_length", "_members", "packed")

    def __init__(self, members: Iterable[Net]) -> None:
        self.packed = members if isinstance(members, Nets) else None
        """The members, where they came packed."""
        self._members: frozenset[Net] | None = None if self.packed is not None else frozenset(members)
        self._by_length: Mapping[tuple[int, int], set[int]] | None = None

    @property
    def members(self) -> frozenset[Net]:
        """All of them."""
        if self._members is None:
            self._members = frozenset(self.packed or ())
        return self._members

    @property
    def given(self) -> frozenset[Net] | Nets:
        """All of them, as they came."""
        return self.packed if self.packed is not None else self.members

    def has(self, member: object) -> bool:
        """Whether that is a member itself, be it covered or not."""
        return member in self.given

    def __len__(self) -> int:
        return len(self.given)

    def contains(self, version: int, address: int) -> bool:
        """Whether a member covers the address."""
        width = WIDTH[version]
        return any(
            v == version and address >> (width - length) << (width - length) in addresses
            for (v, length), addresses in self._indexed().items()
        )

    def _indexed(self) -> Mapping[tuple[int, int], set[int]]:
        """Addresses by version and prefix length."""
        if self._by_length is None:
            index: dict[tuple[int, int], set[int]] = {}
            for net in self.given:
                index.setdefault((net.version, net.length), set()).add(net.address)
            self._by_length = index
        return self._by_length

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AddressSet):
            return False
        if self.packed is not None and other.packed is not None:
            return self.packed == other.packed
        return self.members == other.members

    def __hash__(self) -> int:
        return hash(self.members)


class PortSet:
    """Immutable members of a port set."""

    __slots__ = ("members",)

    def __init__(self, members: Iterable[PortMember]) -> None:
        self.members: frozenset[PortMember] = frozenset(members)

    def has(self, member: object) -> bool:
        """Whether that is a member."""
        return member in self.members

    def __len__(self) -> int:
        return len(self.members)

    def contains(self, version: int, address: int, protocol: int, port: int) -> bool:
        """Whether exactly that address, protocol and port is a member."""
        return PortMember(version, address, protocol, port) in self.members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortSet) and self.members == other.members

    def __hash__(self) -> int:
        return hash(self.members)


IPSet = AddressSet | PortSet
