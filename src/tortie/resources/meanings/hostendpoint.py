"""What a HostEndpoint means: an interface of a host that policies select."""

from typing import Literal

import msgspec

from tortie.model.address import WIDTH, Net, parse_address
from tortie.model.endpoint import HostEndpoint, NamedPort
from tortie.resources.kind import Resource
from tortie.resources.rules import protocol_number


class _PortShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    protocol: Literal["TCP", "UDP", "SCTP", 6, 17, 132]
    port: int


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    node: str
    interface_name: str | None = None
    expected_ips: tuple[str, ...] = msgspec.field(name="expectedIPs", default=())
    profiles: tuple[str, ...] = ()
    ports: tuple[_PortShape, ...] = ()


def _host_net(text: str) -> Net:
    version, value = parse_address(text)
    return Net(version, value, WIDTH[version])


def lower(resource: Resource) -> HostEndpoint:
    """The endpoint."""
    shape = msgspec.convert(resource.spec, _Shape)
    return HostEndpoint(
        name=resource.name,
        node=shape.node,
        interface_name=shape.interface_name or None,
        expected_ips=tuple(dict.fromkeys(_host_net(text) for text in shape.expected_ips)),
        labels=resource.labels,
        profiles=shape.profiles,
        ports=tuple(NamedPort(each.name, protocol_number(each.protocol) or 0, each.port) for each in shape.ports),
    )
