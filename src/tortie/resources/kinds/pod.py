"""Pod of Kubernetes: where it runs, its addresses and its ports, of which a workload endpoint is made.

Source: reference resources.md section 8.8, "Pod mapping".
"""

from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, NAMESPACE, Column, Kind, Resource, meaning, spec_cell
from tortie.resources.kubernetesobjects import READ_ONLY, V1, host_address, open_object, protocol
from tortie.resources.values import enum, flag, integer, name, optional_text, or_empty, port_name

_port = open_object(
    {
        "name": Field(or_empty(port_name), "What rules call the port."),
        "containerPort": Field(integer(1, 65535), "The port's number in the pod.", is_required=True),
        "protocol": protocol,
        "hostPort": Field(integer(0, 65535), "The port of the node that leads to it; 0: none."),
        "hostIP": Field(host_address, "The node's address on which the host port is."),
    }
)
_container = open_object(
    {
        "name": Field(optional_text, "The container's name."),
        "ports": Field(list_of(_port), "The ports that it listens on."),
    }
)
_phase = enum("Pending", "Running", "Succeeded", "Failed", "Unknown")


def _phase_cell(resource: Resource) -> str:
    status = resource.body.get("status")
    return str(status.get("phase", "")) if isinstance(status, dict) else ""


def _ips_cell(resource: Resource) -> str:
    status = resource.body.get("status")
    found = status.get("podIPs") if isinstance(status, dict) else None
    return (
        ",".join(str(each.get("ip", "")) for each in found if isinstance(each, dict)) if isinstance(found, list) else ""
    )


_COLUMNS = (NAME, Column("STATUS", _phase_cell), Column("IPS", _ips_cell))
KIND = Kind(
    name="Pod",
    plural="pods",
    doc="Containers that run together on a node, with one set of addresses.",
    aliases=("pod", "po"),
    short_names=("po",),
    api_version=V1,
    is_namespaced=True,
    fields={
        "nodeName": Field(name, "The node that it runs on; none while it is not scheduled."),
        "hostNetwork": Field(flag, "Whether it uses the node's own network, and so is no workload endpoint."),
        "serviceAccountName": Field(name, "What it runs as."),
        "containers": Field(list_of(_container), "Its containers."),
        "initContainers": Field(list_of(_container), "Containers that run before the others."),
    },
    status={
        "phase": Field(_phase, "How far it is in its life; one that is over has no address."),
        "podIP": Field(host_address, "Its first address."),
        "podIPs": Field(
            list_of(open_object({"ip": Field(host_address, "The address.")})), "Its addresses, one of each IP version."
        ),
    },
    keeps_status=True,
    is_open=True,
    lower=meaning("pod"),
    read_only=READ_ONLY,
    columns=_COLUMNS,
    wide=(*_COLUMNS, Column("NODE", spec_cell("nodeName"))),
    extra=(NAMESPACE,),
)
