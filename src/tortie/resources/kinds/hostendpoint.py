"""HostEndpoint: an interface of a host, with the labels by which policies select it.

Source: reference resources.md section 8.7.
"""

from typing import Literal

import msgspec

from tortie.model.address import WIDTH, Net, parse_address
from tortie.model.endpoint import HostEndpoint, NamedPort
from tortie.model.packet import PORTED
from tortie.resources.fields import BAD, Field, Json, Missing, decoder, describe, list_of, object_of
from tortie.resources.kind import NAME, Column, Draft, Kind, Resource, spec_cell
from tortie.resources.lowering import NAMESPACE_LABEL
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems
from tortie.resources.rules import protocol_number
from tortie.resources.values import address, integer, interface, name, net_identity, port_name, protocol


@decoder(**protocol.schema)
def _port_protocol(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = protocol(node, path, problems)
    if isinstance(value, int | str) and protocol_number(value) not in PORTED:
        message, expected = "EndpointPort protocol does not support ports.", "TCP, UDP or SCTP"
        problems.add("TT1108", node, path, message, found=describe(node), expected=expected)
        return BAD
    return value


_port = object_of(
    {
        "name": Field(port_name, is_required=True),
        "protocol": Field(_port_protocol, is_required=True),
        "port": Field(integer(1, 65535), is_required=True),
    }
)


def _complete(draft: Draft) -> None:
    problems, spec = draft.problems, draft.spec
    if "node" not in spec and not problems.concern("spec.node"):
        remedy = "add node: with the name of the node"
        problems.add("TT1102", draft.spec_node, "spec.node", "node must be specified", remedy=remedy)
    is_judged = problems.concern("spec.interfaceName") or problems.concern("spec.expectedIPs")
    if "interfaceName" not in spec and "expectedIPs" not in spec and not is_judged:
        message = "at least one of interfaceName or expectedIPs must be specified"
        problems.add("TT1317", draft.spec_node, "spec", message, remedy="add interfaceName: with the interface's name")


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


def _lower(resource: Resource) -> HostEndpoint:
    shape = msgspec.convert(resource.spec, _Shape)
    return HostEndpoint(
        name=resource.name,
        node=shape.node,
        interface_name=shape.interface_name or None,
        expected_ips=tuple(dict.fromkeys(_host_net(text) for text in shape.expected_ips)),
        # No host endpoint is in a namespace, so that nothing namespaced ever selects one.
        labels={key: value for key, value in resource.labels.items() if key != NAMESPACE_LABEL},
        profiles=shape.profiles,
        ports=tuple(NamedPort(each.name, protocol_number(each.protocol) or 0, each.port) for each in shape.ports),
    )


_NODE = Column("NODE", spec_cell("node"))
KIND = Kind(
    name="HostEndpoint",
    plural="hostendpoints",
    aliases=("hostendpoint", "hep", "heps"),
    fields={
        "node": Field(name),
        "interfaceName": Field(interface),
        "expectedIPs": Field(list_of(address, identity=net_identity)),
        "profiles": Field(list_of(name, identity=lambda value: value)),
        "ports": Field(list_of(_port)),
    },
    complete=_complete,
    lower=_lower,
    columns=(NAME, _NODE),
    wide=(
        NAME,
        _NODE,
        Column("INTERFACE", spec_cell("interfaceName")),
        Column("IPS", spec_cell("expectedIPs")),
        Column("PROFILES", spec_cell("profiles")),
    ),
)
