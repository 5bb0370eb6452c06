"""What a HostEndpoint means: an interface of a host that policies select."""

import msgspec

from tortie.model.address import WIDTH, Net, parse_address
from tortie.model.endpoint import HostEndpoint
from tortie.model.xdp import ANNOTATION, XdpUse
from tortie.resources.kind import Resource
from tortie.resources.lowering import NAMESPACE_LABEL, Meaningless
from tortie.resources.meanings.ports import PortShape, named_ports
from tortie.resources.problems import shorten


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    node: str
    interface_name: str | None = None
    expected_ips: tuple[str, ...] = msgspec.field(name="expectedIPs", default=())
    profiles: tuple[str, ...] = ()
    ports: tuple[PortShape, ...] = ()


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
        # No host endpoint is in a namespace, so that nothing namespaced ever selects one.
        labels={key: value for key, value in resource.labels.items() if key != NAMESPACE_LABEL},
        profiles=shape.profiles,
        ports=named_ports(shape.ports),
        xdp=_xdp(resource),
    )


def _xdp(resource: Resource) -> XdpUse | None:
    said = resource.annotations.get(ANNOTATION, "")
    try:
        return XdpUse(said) if said else None
    except ValueError:
        raise Meaningless(f"annotation {ANNOTATION}: {shorten(said)!r} is none of its values") from None
