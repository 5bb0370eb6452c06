"""Node: a machine of the cluster, with the addresses under which others reach it.

Source: reference resources.md section 8.10. Kubernetes' own kind of that name is in `kubernetesnode.py`.
"""

import base64
import binascii

from tortie.model.settings import NodeLabels
from tortie.resources.addresses import address_of, mac, net
from tortie.resources.bgp import DEFAULT_AS_NUMBER, as_number
from tortie.resources.fields import Field, Json, Law, Scope, list_of, object_of
from tortie.resources.kind import NAME, Column, GeneralCell, Kind, Resource, spec_cell
from tortie.resources.values import enum, name, optional_text, or_empty, pattern, text

_EMPTY = "Spec.BGP should not be empty"
_INTERFACE = r"[^/ \t\r\n]{1,15}\Z"


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _check_bgp(scope: Scope, value: dict[str, Json]) -> None:
    if not value and not scope.concern():
        scope.report("TT1333", (), _EMPTY, remedy="add ipv4Address: or ipv6Address:, or remove bgp")


_bgp = object_of(
    {
        "asNumber": Field(as_number, "The node's autonomous system; without it the cluster's."),
        "ipv4Address": Field(
            or_empty(net(strict=False, may_be_address=True, version=4)),
            "The node's IPv4 address with its network, from which it talks to its peers.",
        ),
        "ipv6Address": Field(
            or_empty(net(strict=False, may_be_address=True, version=6)),
            "The node's IPv6 address with its network, from which it talks to its peers.",
        ),
        "ipv4IPIPTunnelAddr": Field(or_empty(address_of(4)), "The address of the node's IP-in-IP tunnel."),
        "routeReflectorClusterID": Field(
            or_empty(address_of(4)), "Makes the node a route reflector, of the cluster with this id."
        ),
    },
    _check_bgp,
    (
        Law(
            "has(self.asNumber) || has(self.ipv4Address) || has(self.ipv6Address) || has(self.ipv4IPIPTunnelAddr) "
            "|| has(self.routeReflectorClusterID)",
            _EMPTY,
        ),
    ),
)
_wireguard = object_of(
    {
        "interfaceIPv4Address": Field(or_empty(address_of(4)), "The address of the WireGuard interface for IPv4."),
        "interfaceIPv6Address": Field(or_empty(address_of(6)), "The address of the WireGuard interface for IPv6."),
    }
)
_address = object_of(
    {
        "address": Field(
            net(strict=True, may_be_address=True), "The address, or the network that it is in.", is_required=True
        ),
        "type": Field(enum("CalicoNodeIP", "InternalIP", "ExternalIP"), "Who uses it, or where it was learned."),
    }
)
_interface = object_of(
    {
        "name": Field(pattern("TT1115", _INTERFACE, "1 to 15 characters without blanks and /"), "The name."),
        "addresses": Field(list_of(net(strict=False, may_be_address=True)), "The addresses that it has."),
    }
)
_key = pattern("TT1116", _is_key, "32 bytes in base64", may_be_empty=True)


def _asn_cell(resource: Resource, general: Resource | None) -> str:
    """The number; where the node has BGP and none of its own, the one that all nodes share, in parentheses."""
    if "bgp" not in resource.spec:
        return ""
    shared = "unknown" if general is None else spec_cell("asNumber", missing=str(DEFAULT_AS_NUMBER))(general)
    return spec_cell("bgp", "asNumber", missing=f"({shared})")(resource)


KIND = Kind(
    name="Node",
    plural="nodes",
    doc="A machine of the cluster and the addresses under which others reach it.",
    aliases=("node", "no", "nos"),
    fields={
        "bgp": Field(_bgp, "How the node takes part in BGP."),
        "ipv4VXLANTunnelAddr": Field(or_empty(address_of(4)), "The address of the node's VXLAN tunnel for IPv4."),
        "ipv6VXLANTunnelAddr": Field(or_empty(address_of(6)), "The address of the node's VXLAN tunnel for IPv6."),
        "vxlanTunnelMACAddr": Field(mac, "The hardware address of the VXLAN tunnel for IPv4."),
        "vxlanTunnelMACAddrV6": Field(mac, "The hardware address of the VXLAN tunnel for IPv6."),
        "wireguard": Field(_wireguard, "The node's WireGuard interface."),
        "orchRefs": Field(
            list_of(
                object_of(
                    {
                        "nodeName": Field(name, "What that orchestrator calls the node."),
                        "orchestrator": Field(optional_text, "The orchestrator, such as `k8s`."),
                    }
                )
            ),
            "What other systems call the node.",
        ),
        "addresses": Field(list_of(_address), "Every address of the node that others may use."),
        "interfaces": Field(list_of(_interface), "The node's interfaces as it reported them."),
    },
    status={
        "wireguardPublicKey": Field(_key, "The public key of the node's WireGuard interface for IPv4."),
        "wireguardPublicKeyV6": Field(_key, "The public key of the node's WireGuard interface for IPv6."),
        "podCIDRs": Field(list_of(text), "Networks that Kubernetes gave to the node's pods."),
    },
    keeps_status=True,
    lower=lambda resource: NodeLabels(resource.name, resource.labels),
    columns=(NAME,),
    wide=(
        NAME,
        Column("ASN", GeneralCell("BGPConfiguration", _asn_cell)),
        Column("IPV4", spec_cell("bgp", "ipv4Address")),
        Column("IPV6", spec_cell("bgp", "ipv6Address")),
    ),
)
