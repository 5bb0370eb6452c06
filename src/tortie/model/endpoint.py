"""What policies select and rules refer to: endpoints, network sets, services; and the host's own interfaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.address import Net
from tortie.model.nets import Nets
from tortie.model.xdp import XdpUse

WILDCARD = "*"


class NamedPort(NamedTuple):
    """A port with a name on an endpoint."""

    name: str
    protocol: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEndpoint:
    """An interface of a host. `interface_name` None: found by `expected_ips`; `*`: every host interface.

    `xdp` None: it says nothing of it.
    """

    name: str
    node: str
    interface_name: str | None
    expected_ips: tuple[Net, ...] = ()
    labels: Mapping[str, str]
    profiles: tuple[str, ...] = ()
    ports: tuple[NamedPort, ...] = ()
    xdp: XdpUse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEndpoint:
    """The end of a workload's wire, on any node: rules refer to its addresses and ports.

    On its own node it is what policy judges at `interface_name`. Labels are all those that selectors see, but for what
    profiles give.
    """

    name: str
    namespace: str
    node: str
    interface_name: str
    nets: tuple[Net, ...]
    labels: Mapping[str, str]
    profiles: tuple[str, ...] = ()
    ports: tuple[NamedPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSet:
    """Labelled networks given by a user; namespace is empty for the global kind."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    nets: Nets


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSlice:
    """A part of what is behind a Service: single addresses that take new connections, each on each of the ports.

    A port is (protocol, number).
    """

    namespace: str
    service: str
    nets: frozenset[Net]
    ports: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of this host as the kernel reports it.

    `vlans`: the VLAN ids of the host's VLAN devices on top of it, whose frames are not this interface's.
    `broadcasts`: the IPv4 broadcast addresses of its networks, in host order.
    `forwards`: the IP versions (4, 6) of which the host passes on what came in here and is not its own.
    `kind`: what the kernel calls that sort of interface (veth, vlan, bond ...), empty for hardware; `master_kind`: the
    same of the bridge or bond that it is a port of, empty where it is none. `mtu_bytes` 0: not known.
    """

    name: str
    index: int
    addresses: frozenset[Net] = frozenset()
    is_up: bool = True
    is_loopback: bool = False
    vlans: frozenset[int] = frozenset()
    broadcasts: frozenset[int] = frozenset()
    forwards: frozenset[int] = frozenset()
    has_ethernet: bool = True
    kind: str = ""
    master_kind: str = ""
    mtu_bytes: int = 0
