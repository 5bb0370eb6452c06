"""Service of Kubernetes: addresses and ports in front of pods. Which pods, its EndpointSlices say."""

from tortie.model.address import InvalidAddress, parse_address
from tortie.resources.fields import Field, list_of, map_of
from tortie.resources.kind import NAME, NAMESPACE, Column, Kind, spec_cell
from tortie.resources.kubernetesobjects import READ_ONLY, V1, host_address, node_port, open_object, protocol
from tortie.resources.metadata import check_label_key
from tortie.resources.values import (
    enum,
    integer,
    optional_text,
    or_empty,
    pattern,
    port,
    port_name,
    text,
)

HEADLESS = "None"


def _is_cluster_address(value: str) -> bool:
    if value == HEADLESS:
        return True
    try:
        parse_address(value)
    except InvalidAddress:
        return False
    return True


_cluster_address = pattern("TT1106", _is_cluster_address, "an address, or None", may_be_empty=True)
_port = open_object(
    {
        "name": Field(or_empty(port_name), "The port's name."),
        "protocol": protocol,
        "port": Field(integer(1, 65535), "The port's number.", is_required=True),
        "targetPort": Field(port, "The number or name of the pods' port; without it, the same number."),
        "nodePort": node_port,
    }
)
_COLUMNS = (NAME, Column("TYPE", spec_cell("type")), Column("CLUSTERIPS", spec_cell("clusterIPs")))
KIND = Kind(
    name="Service",
    plural="services",
    doc="Addresses and ports in front of pods.",
    aliases=("service", "svc"),
    short_names=("svc",),
    api_version=V1,
    is_namespaced=True,
    fields={
        "type": Field(
            enum("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
            "Where it can be reached.",
            default="ClusterIP",
        ),
        "clusterIP": Field(_cluster_address, "Its address in the cluster; `None`: it has none."),
        "clusterIPs": Field(list_of(_cluster_address), "Its addresses in the cluster, one of each IP version."),
        "externalIPs": Field(list_of(host_address), "Addresses of nodes that lead to it."),
        "selector": Field(map_of(check_label_key, text, null=""), "Labels that its pods have."),
        "ports": Field(list_of(_port), "Its ports."),
    },
    status={
        "loadBalancer": Field(
            open_object(
                {
                    "ingress": Field(
                        list_of(
                            open_object(
                                {
                                    "ip": Field(host_address, "An address."),
                                    "hostname": Field(optional_text, "A name that stands for addresses."),
                                }
                            )
                        ),
                        "Where it can be reached from outside.",
                    )
                }
            ),
            "What its load balancer says.",
        )
    },
    keeps_status=True,
    is_open=True,
    lower=None,
    read_only=READ_ONLY,
    columns=_COLUMNS,
    wide=_COLUMNS,
    extra=(NAMESPACE,),
)
