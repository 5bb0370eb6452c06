"""What a WorkloadEndpoint means: addresses and ports that rules select, and on its own node an endpoint of policy.

Source: reference selectors.md section 9.
"""

from collections.abc import Mapping

import msgspec

from tortie.model.address import parse_net
from tortie.model.endpoint import WorkloadEndpoint
from tortie.model.names import NAMESPACE_LABEL, ORCHESTRATOR_LABEL
from tortie.resources.kind import Resource
from tortie.resources.lowering import (
    NAMESPACE_PREFIX,
    SERVICE_ACCOUNT_LABEL,
    SERVICE_ACCOUNT_PREFIX,
    Meaningless,
)
from tortie.resources.meanings.ports import PortShape, named_ports

_WIDE = "IP network contains multiple addresses"


class _NatShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    internalIP: str
    externalIP: str


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    interface_name: str
    orchestrator: str
    node: str
    endpoint: str
    workload: str = ""
    container_id: str = msgspec.field(name="containerID", default="")
    pod: str = ""
    service_account_name: str = ""
    ip_networks: tuple[str, ...] = ()
    ip_nats: tuple[_NatShape, ...] = msgspec.field(name="ipNATs", default=())
    ipv4_gateway: str = msgspec.field(name="ipv4Gateway", default="")
    ipv6_gateway: str = msgspec.field(name="ipv6Gateway", default="")
    profiles: tuple[str, ...] = ()
    mac: str = ""
    ports: tuple[PortShape, ...] = ()
    allow_spoofed_source_prefixes: tuple[str, ...] = ()
    qos_controls: dict[str, int | str] = {}


def lower(resource: Resource) -> WorkloadEndpoint:
    """The endpoint. Raises: msgspec.ValidationError, InvalidAddress, Meaningless."""
    shape = msgspec.convert(resource.spec, _Shape)
    nets = tuple(dict.fromkeys(parse_net(text, strict=True) for text in shape.ip_networks))
    if not all(one.is_host for one in nets):
        raise Meaningless(_WIDE)
    return WorkloadEndpoint(
        name=resource.name,
        namespace=resource.namespace,
        node=shape.node,
        interface_name=shape.interface_name,
        nets=nets,
        labels=labels_of(resource, shape.orchestrator, shape.service_account_name),
        profiles=shape.profiles,
        ports=named_ports(shape.ports),
    )


def labels_of(resource: Resource, orchestrator: str, service_account: str) -> Mapping[str, str]:
    """The labels that selectors see of a workload, but for what profiles give; none that looks as if one gave it."""
    inherited = (NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX)
    labels = {label: value for label, value in resource.labels.items() if not label.startswith(inherited)}
    labels[ORCHESTRATOR_LABEL] = orchestrator
    if resource.namespace:
        labels[NAMESPACE_LABEL] = resource.namespace
    if service_account:
        labels[SERVICE_ACCOUNT_LABEL] = service_account
    return labels
