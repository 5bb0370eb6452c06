"""BGPConfiguration: how nodes announce routes: `default` for all of them, `node.<name>` for one.

Source: reference resources.md section 8.16.
"""

import re

from tortie.resources.addresses import address_of
from tortie.resources.bgp import (
    DEFAULT_AS_NUMBER,
    INTERFACE,
    as_number,
    community,
    is_community,
    network,
    priority,
    secret,
)
from tortie.resources.fields import Field, Fields, Json, Scope, list_of, object_of
from tortie.resources.kind import NAME, Column, Draft, Kind, spec_cell, spec_law
from tortie.resources.values import SUBDOMAIN, boolean, duration, enum, integer, name, or_empty, pattern

MAX_COMMUNITIES, MAX_ADVERTISEMENTS, MAX_COMMUNITIES_USED = 500, 500, 50
_DEFAULT_ONLY = {
    "nodeToNodeMeshEnabled": "nodeToNodeMeshEnabled",
    "asNumber": "ASNumber",
    "serviceClusterIPs": "ServiceClusterIPs",
    "serviceExternalIPs": "ServiceExternalIPs",
    "serviceLoadBalancerIPs": "ServiceLoadBalancerIPs",
    "nodeMeshPassword": "NodeMeshPassword",
    "nodeMeshMaxRestartTime": "NodeMeshMaxRestartTime",
}
"""What only the object `default` may say, with its name in messages."""
_MESH = ("nodeMeshPassword", "nodeMeshMaxRestartTime")
_UNUSED = "communities are defined but not used in prefixAdvertisements"
_NO_MESH = "cannot be set while the node-to-node mesh is disabled"


def _only_default(words: str) -> str:
    return f"Cannot set {words} on a non default BGP Configuration."


def _complete(draft: Draft) -> None:
    spec, scope = draft.spec, Scope(draft.spec_node, "spec", draft.problems)
    if draft.name != "default":
        for key, words in _DEFAULT_ONLY.items():
            if key in spec:
                scope.report(
                    "TT1335", (key,), _only_default(words), remedy="move it to the BGPConfiguration called default"
                )
    elif spec.get("nodeToNodeMeshEnabled") is False:
        for key in _MESH:
            if key in spec:
                scope.report("TT1333", (key,), f"{key} {_NO_MESH}", remedy="remove it, or enable the mesh")
    _check_communities(scope, spec)


def _check_communities(scope: Scope, spec: dict[str, Json]) -> None:
    defined, advertised = spec.get("communities"), spec.get("prefixAdvertisements")
    if defined and not advertised and not scope.concern("prefixAdvertisements"):
        scope.report("TT1334", ("communities",), _UNUSED, remedy="add prefixAdvertisements, or remove them")
    if scope.concern("communities") or scope.concern("prefixAdvertisements") or not isinstance(advertised, list):
        return
    names = {each.get("name") for each in defined if isinstance(each, dict)} if isinstance(defined, list) else set()
    for index, each in enumerate(advertised):
        used = each.get("communities") if isinstance(each, dict) else None
        for place, one in enumerate(used if isinstance(used, list) else ()):
            if one not in names and not is_community(str(one)):
                where = ("prefixAdvertisements", index, "communities", place)
                message, remedy = "community used is invalid or not defined.", "define it in communities"
                scope.report("TT1334", where, message, found=str(one), remedy=remedy)


_networks = list_of(object_of({"cidr": Field(network, "The network that is announced.", is_required=True)}))
_community = object_of(
    {
        "name": Field(name, "What prefixAdvertisements call it.", is_required=True),
        "value": Field(community, "Its value: aa:nn, or aa:nn:mm for a large one.", is_required=True),
    }
)
_advertisement = object_of(
    {
        "cidr": Field(network, "Routes to this network, and to parts of it.", is_required=True),
        "communities": Field(
            list_of(
                pattern("TT1334", lambda value: re.match(SUBDOMAIN, value) or is_community(value), "a name or a value"),
                limit=MAX_COMMUNITIES_USED,
            ),
            "The communities that they get: values, or names of those that are defined.",
        ),
    }
)


def _service_networks() -> Fields:
    words = {
        "Cluster": "cluster addresses",
        "External": "external addresses",
        "LoadBalancer": "load balancer addresses",
    }
    return {
        f"service{key}IPs": Field(_networks, f"Networks of services' {meaning} that are announced.")
        for key, meaning in words.items()
    }


_COLUMNS = (
    NAME,
    Column("LOGSEVERITY", spec_cell("logSeverityScreen")),
    Column("MESHENABLED", spec_cell("nodeToNodeMeshEnabled", missing="-")),
    Column("ASNUMBER", spec_cell("asNumber", missing="-")),
)
KIND = Kind(
    name="BGPConfiguration",
    plural="bgpconfigurations",
    doc="How nodes announce routes by BGP: `default` for all of them, `node.<name>` for one.",
    aliases=("bgpconfiguration", "bgpconfig", "bgpconfigs"),
    short_names=("bgpconfig", "bgpconfigs"),
    fields={
        "logSeverityScreen": Field(
            enum("Trace", "Debug", "Info", "Warning", "Error", "Fatal", ignore_case=True, may_be_empty=True),
            "From which severity on messages are logged.",
            default="Info",
        ),
        "nodeToNodeMeshEnabled": Field(
            boolean, "Whether every node is the peer of every other one; without it, they are. Only in `default`."
        ),
        "asNumber": Field(
            as_number, f"The nodes' autonomous system; without it, {DEFAULT_AS_NUMBER}. Only in `default`."
        ),
        **_service_networks(),
        "serviceLoadBalancerAggregation": Field(
            enum("Enabled", "Disabled"),
            "Whether load balancer networks are announced whole, or each service's address by itself.",
            default="Enabled",
        ),
        "communities": Field(list_of(_community, limit=MAX_COMMUNITIES), "Names for values of communities."),
        "prefixAdvertisements": Field(
            list_of(_advertisement, limit=MAX_ADVERTISEMENTS), "Which communities routes are announced with."
        ),
        "listenPort": Field(integer(0, 65535), "The port of the routing daemon; 0 or without it, 179."),
        "nodeMeshPassword": Field(secret, "The password of the mesh. Only in `default`."),
        "nodeMeshMaxRestartTime": Field(
            duration(), "How long routes of a node that restarts are kept; without it, 120 s. Only in `default`."
        ),
        "bindMode": Field(
            enum("None", "NodeIP"), "Whether the daemon listens on all addresses, or on the node's.", default="None"
        ),
        "ignoredInterfaces": Field(
            list_of(
                pattern(
                    "TT1115",
                    lambda value: value != "*" and re.match(INTERFACE, value),
                    "1 to 15 of a-z, A-Z, 0-9, _, ., -, and * for any text, but not * alone",
                ),
                identity=lambda value: value,
            ),
            "Interfaces whose addresses and routes the daemon does not look at.",
        ),
        "localWorkloadPeeringIPV4": Field(
            or_empty(address_of(4)), "The address under which workloads find their node as an IPv4 peer."
        ),
        "localWorkloadPeeringIPV6": Field(
            or_empty(address_of(6)), "The address under which workloads find their node as an IPv6 peer."
        ),
        "programClusterRoutes": Field(
            enum("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"),
            "Which routes to other nodes' workloads the daemon gives the kernel; felix gives it the rest.",
            default="EnabledNoEncapOnly",
        ),
        "ipv4NormalRoutePriority": Field(
            priority, "The metric of IPv4 routes; it has to equal FelixConfiguration's.", default=1024
        ),
        "ipv6NormalRoutePriority": Field(
            priority, "The metric of IPv6 routes; it has to equal FelixConfiguration's.", default=1024
        ),
    },
    complete=_complete,
    laws=(
        spec_law("!has(spec.communities) || spec.communities.size() == 0 || has(spec.prefixAdvertisements)", _UNUSED),
        *(
            spec_law(
                f"!has(spec.{key}) || !has(spec.nodeToNodeMeshEnabled) || spec.nodeToNodeMeshEnabled",
                f"{key} {_NO_MESH}",
            )
            for key in _MESH
        ),
        *(
            spec_law(
                f"self.metadata.name == 'default' || !has(spec.{key})"
                + (f" || spec.{key}.size() == 0" if key.startswith("service") else ""),
                _only_default(words),
            )
            for key, words in _DEFAULT_ONLY.items()
        ),
    ),
    lower=None,
    columns=_COLUMNS,
    wide=_COLUMNS,
)
