"""What a Pod means: the workload endpoint that it has while it runs in a network of its own.

Source: reference resources.md section 8.8, "Pod mapping".
"""

from hashlib import sha1
from typing import Literal

import msgspec

from tortie.model.address import WIDTH, Net, parse_address
from tortie.model.endpoint import WorkloadEndpoint
from tortie.model.names import namespace_profile, service_account_profile
from tortie.resources.endpoints import workload_endpoint_name
from tortie.resources.kind import Resource
from tortie.resources.meanings.ports import PortShape, named_ports
from tortie.resources.meanings.workloadendpoint import labels_of

ORCHESTRATOR, ENDPOINT = "k8s", "eth0"
_OVER = ("Succeeded", "Failed")


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    ports: tuple[_Port, ...] = ()


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    host_network: bool = False
    service_account_name: str = ""
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] = ()


class _Address(msgspec.Struct, frozen=True):
    ip: str = ""


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""
    first: str = msgspec.field(name="podIP", default="")
    addresses: tuple[_Address, ...] = msgspec.field(name="podIPs", default=())


def lower(resource: Resource) -> WorkloadEndpoint | None:
    """The endpoint; None for a pod in the node's own network, without a node or address yet, or that is over.

    Its interface lacks the prefix, which settings say: the calculation puts it in front.

    Raises: msgspec.ValidationError, InvalidAddress.
    """
    spec = msgspec.convert(resource.spec, _Spec)
    status = msgspec.convert(resource.body.get("status", {}), _Status)
    listed = [one.ip for one in status.addresses] or [status.first]
    nets = tuple(dict.fromkeys(_host(text) for text in listed if text))
    if spec.host_network or not spec.node_name or status.phase in _OVER or not nets:
        return None
    account, namespace = spec.service_account_name, resource.namespace
    digest = sha1(f"{namespace}.{resource.name}".encode(), usedforsecurity=False).hexdigest()
    ports = (port for one in (*spec.containers, *spec.init_containers) for port in one.ports)
    return WorkloadEndpoint(
        name=workload_endpoint_name(spec.node_name, ORCHESTRATOR, resource.name, ENDPOINT),
        namespace=namespace,
        node=spec.node_name,
        interface_name=digest[:11],
        nets=nets,
        labels=labels_of(resource, ORCHESTRATOR, account),
        profiles=(namespace_profile(namespace), *([service_account_profile(namespace, account)] if account else [])),
        ports=named_ports(tuple(PortShape(one.protocol, one.container_port, one.name) for one in ports)),
    )


def _host(text: str) -> Net:
    version, value = parse_address(text)
    return Net(version, value, WIDTH[version])
