"""EndpointSlice of Kubernetes: addresses and ports of a part of a Service's pods.

Source: reference resources.md section 6, `services`. The label `kubernetes.io/service-name` says which Service.
"""

import re

from tortie.model.address import InvalidAddress, parse_address
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, NAMESPACE, Column, Kind, Resource, meaning
from tortie.resources.kubernetesobjects import READ_ONLY, open_object, protocol
from tortie.resources.values import SUBDOMAIN, boolean, enum, integer, name, optional_text, or_empty, pattern, port_name

SERVICE_LABEL = "kubernetes.io/service-name"


def _is_place(value: str) -> bool:
    try:
        parse_address(value)
    except InvalidAddress:
        return re.match(SUBDOMAIN, value) is not None
    return True


_place = pattern("TT1106", _is_place, "an address, or a name for addressType FQDN", limit=253)
_conditions = open_object(
    {
        "ready": Field(boolean, "Whether it takes new connections; without it, it does."),
        "serving": Field(boolean, "Whether it answers, even if it is going away."),
        "terminating": Field(boolean, "Whether it is going away."),
    }
)
_endpoint = open_object(
    {
        "addresses": Field(list_of(_place, limit=100), "Its addresses, of the slice's type.", is_required=True),
        "conditions": Field(_conditions, "What state it is in."),
        "nodeName": Field(name, "The node that it is on."),
        "targetRef": Field(
            open_object(
                {
                    "kind": Field(optional_text, "The kind of object, such as Pod."),
                    "namespace": Field(name, "Its namespace."),
                    "name": Field(name, "Its name."),
                }
            ),
            "The object behind it.",
        ),
    }
)
_port = open_object(
    {
        "name": Field(or_empty(port_name), "The port's name in the Service."),
        "protocol": protocol,
        "port": Field(integer(0, 65535), "The port's number; without it, every port."),
    }
)


def _service_cell(resource: Resource) -> str:
    return resource.labels.get(SERVICE_LABEL, "")


_COLUMNS = (NAME, Column("SERVICE", _service_cell))
KIND = Kind(
    name="EndpointSlice",
    plural="endpointslices",
    doc="Addresses and ports of a part of a Service's pods.",
    aliases=("endpointslice",),
    api_version="discovery.k8s.io/v1",
    is_namespaced=True,
    fields={},
    top={
        "addressType": Field(enum("IPv4", "IPv6", "FQDN"), "What the addresses are.", is_required=True),
        "endpoints": Field(list_of(_endpoint, limit=1000), "Those behind the Service."),
        "ports": Field(list_of(_port, limit=100), "The ports of each of them."),
    },
    is_open=True,
    lower=meaning("endpointslice"),
    read_only=READ_ONLY,
    columns=_COLUMNS,
    wide=_COLUMNS,
    extra=(NAMESPACE,),
)
