"""WorkloadEndpoint: the end of a workload's wire on some node. Rules that select it match its addresses and ports.

Source: reference resources.md sections 8.8 and 11; what selectors see of it: selectors.md section 9.
"""

import re

from tortie.model.address import parse_net
from tortie.model.names import NAMESPACE_LABEL, ORCHESTRATOR_LABEL
from tortie.resources.addresses import address, address_of, mac, net
from tortie.resources.endpoints import port_protocol, workload_endpoint_name
from tortie.resources.fields import Field, Json, Law, Scope, list_of, object_of
from tortie.resources.kind import NAME, NAMESPACE, Column, Draft, Kind, Resource, meaning, spec_cell, spec_law
from tortie.resources.nodes import Mapping
from tortie.resources.problems import shorten
from tortie.resources.qos import qos_controls
from tortie.resources.values import SUBDOMAIN, integer, interface, name, or_empty, pattern, port_name

_CONTAINER = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?\Z"
_UNNAMED = "field should be assigned: the endpoint's name is made of it"
_WIDE, _NO_NAME = "IP network contains multiple addresses", "name must not be empty if no HostPort is specified"
_IDENTIFIERS = {"k8s": "pod", "cni": "containerID", "libnetwork": ""}
"""Which field says the third part of the name; of the others it is `workload`, of libnetwork none."""


def _check_nat(scope: Scope, value: dict[str, Json]) -> None:
    inside, outside = value.get("internalIP"), value.get("externalIP")
    versions = {parse_net(each, strict=True).version for each in (inside, outside) if isinstance(each, str)}
    if len(versions) > 1:
        scope.report("TT1331", (), "mismatched IP versions", remedy="use two addresses of one IP version")


_nat = object_of(
    {
        "internalIP": Field(address, "The workload's own address, which is in `ipNetworks`.", is_required=True),
        "externalIP": Field(address, "The address that is translated to it.", is_required=True),
    },
    _check_nat,
)


def _check_port(scope: Scope, value: dict[str, Json]) -> None:
    if "name" not in value and not value.get("hostPort") and not (scope.concern("name") or scope.concern("hostPort")):
        scope.report("TT1102", ("name",), f"WorkloadEndpointPort {_NO_NAME}", remedy="add name:")


_port = object_of(
    {
        "name": Field(or_empty(port_name), "What rules call the port; one that only has a host port may have none."),
        "protocol": Field(port_protocol, "TCP, UDP or SCTP, by name or number.", is_required=True),
        "port": Field(integer(1, 65535), "The port's number in the workload.", is_required=True),
        "hostPort": Field(integer(0, 65535), "The port of the node that leads to it; 0: none."),
        "hostIP": Field(
            or_empty(net(strict=True, may_be_address=True)), "The node's address on which the host port is."
        ),
    },
    _check_port,
    (
        Law(
            "(has(self.name) && self.name != '') || (has(self.hostPort) && self.hostPort != 0)",
            f"WorkloadEndpointPort {_NO_NAME}",
        ),
    ),
)


def _complete(draft: Draft) -> None:
    scope = Scope(draft.spec_node, "spec", draft.problems)
    _check_addresses(scope, draft.spec)
    _put_name(scope, draft)
    labels = draft.metadata.setdefault("labels", {})
    if isinstance(labels, dict):
        forced = {NAMESPACE_LABEL: draft.metadata.get("namespace"), ORCHESTRATOR_LABEL: draft.spec.get("orchestrator")}
        labels.update({label: value for label, value in forced.items() if value is not None})


def _check_addresses(scope: Scope, spec: dict[str, Json]) -> None:
    networks = spec.get("ipNetworks")
    nets = [parse_net(str(text), strict=True) for text in networks] if isinstance(networks, list) else []
    for one in nets:
        if not one.is_host:
            remedy = f"write the one address, with /{32 if one.version == 4 else 128}"
            scope.report("TT1331", ("ipNetworks",), _WIDE, found=str(one), remedy=remedy)
    nats = spec.get("ipNATs")
    if scope.concern("ipNetworks"):
        return
    for each in nats if isinstance(nats, list) else ():
        inside = each.get("internalIP") if isinstance(each, dict) else None
        if isinstance(inside, str) and parse_net(inside, strict=True) not in nets:
            remedy = "add the internalIP to ipNetworks"
            scope.report("TT1331", ("ipNATs",), "NAT is not in the endpoint networks", found=inside, remedy=remedy)


def _put_name(scope: Scope, draft: Draft) -> None:
    """Put the name in place that the specification determines, or note why there is none or another.

    Because: no field that is a segment can begin or end with a dash, so that needs no check of its own.
    """
    spec = draft.spec
    orchestrator = str(spec.get("orchestrator", ""))
    identifier = _IDENTIFIERS.get(orchestrator, "workload")
    if identifier and orchestrator and identifier not in spec and not scope.concern(identifier):
        scope.report("TT1102", (identifier,), _UNNAMED, remedy=f"add {identifier}:")
    if any(key not in spec for key in ("node", "orchestrator", "endpoint", identifier) if key):
        return
    third = str(spec[identifier]) if identifier else orchestrator
    computed = workload_endpoint_name(str(spec["node"]), orchestrator, third, str(spec["endpoint"]))
    given = draft.metadata.setdefault("name", computed)
    problems, at = draft.problems, draft.metadata_node
    if problems.concern("metadata.name"):
        return
    if given != computed:
        message = "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec"
        at = (at.get("name") if isinstance(at, Mapping) else None) or at
        found, remedy = f'"{shorten(str(given))}"', "correct it, or leave it out"
        problems.add("TT1330", at, "metadata.name", message, found=found, expected=computed, remedy=remedy)
    elif len(computed) > 253 or not re.match(SUBDOMAIN, computed):
        expected = "at most 253 of a-z, 0-9, - and ., from the fields that it is made of"
        found = f'"{shorten(computed)}"'
        problems.add("TT1112", at, "metadata.name", "the name is none", found=found, expected=expected)


def _workload_cell(resource: Resource) -> str:
    return spec_cell("workload")(resource) or spec_cell("pod")(resource)


def _nats_cell(resource: Resource) -> str:
    nats = resource.spec.get("ipNATs")
    pairs = [each for each in nats if isinstance(each, dict)] if isinstance(nats, list) else []
    return ",".join(f"{each.get('internalIP')}={each.get('externalIP')}" for each in pairs)


_COLUMNS = (
    Column("WORKLOAD", _workload_cell),
    Column("NODE", spec_cell("node")),
    Column("NETWORKS", spec_cell("ipNetworks")),
    Column("INTERFACE", spec_cell("interfaceName")),
)
KIND = Kind(
    name="WorkloadEndpoint",
    plural="workloadendpoints",
    doc="The end of a workload's wire on a node: its addresses and ports, for rules that select it.",
    aliases=("workloadendpoint", "wep", "weps"),
    is_namespaced=True,
    is_name_computed=True,
    fields={
        "orchestrator": Field(
            name, "What runs the workload: `k8s`, `cni`, `libnetwork`, `openstack` or another.", is_required=True
        ),
        "workload": Field(name, "The workload's name, for orchestrators other than `k8s`, `cni` and `libnetwork`."),
        "node": Field(name, "The node that it runs on.", is_required=True),
        "containerID": Field(
            pattern("TT1116", _CONTAINER, "letters, digits and inner dashes", may_be_empty=True),
            "The container's id, for the orchestrator `cni`.",
        ),
        "pod": Field(name, "The pod's name, for the orchestrator `k8s`."),
        "endpoint": Field(name, "Which of the workload's interfaces it is, such as `eth0`.", is_required=True),
        "serviceAccountName": Field(name, "The service account that the workload runs as."),
        "ipNetworks": Field(
            list_of(net(strict=True, may_be_address=True)),
            "The workload's addresses, each alone: what rules that select it match.",
        ),
        "ipNATs": Field(list_of(_nat), "Addresses that are translated to the workload's own."),
        "ipv4Gateway": Field(or_empty(address_of(4)), "Where the workload sends IPv4 packets that leave its network."),
        "ipv6Gateway": Field(or_empty(address_of(6)), "Where the workload sends IPv6 packets that leave its network."),
        "profiles": Field(list_of(name), "Profiles whose labels it inherits, in this order."),
        "interfaceName": Field(interface, "The node's side of the wire.", is_required=True),
        "mac": Field(mac, "The hardware address of the workload's side."),
        "ports": Field(list_of(_port), "Ports that rules can name."),
        "allowSpoofedSourcePrefixes": Field(
            list_of(net(strict=False, may_be_address=True)), "Source addresses beyond its own that it may send from."
        ),
        "qosControls": Field(qos_controls, "Limits of its traffic."),
    },
    complete=_complete,
    laws=(
        spec_law("spec.orchestrator != 'k8s' || has(spec.pod)", f"pod: {_UNNAMED}"),
        spec_law("spec.orchestrator != 'cni' || has(spec.containerID)", f"containerID: {_UNNAMED}"),
        spec_law(
            "spec.orchestrator in ['k8s', 'cni', 'libnetwork'] || has(spec.workload)",
            f"workload: {_UNNAMED}",
        ),
    ),
    lower=meaning("workloadendpoint"),
    columns=_COLUMNS,
    wide=(NAME, *_COLUMNS, Column("PROFILES", spec_cell("profiles")), Column("NATS", _nats_cell)),
    extra=(NAMESPACE, Column("ORCHESTRATOR", spec_cell("orchestrator"))),
)
