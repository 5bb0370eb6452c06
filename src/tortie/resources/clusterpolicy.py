"""ClusterNetworkPolicy of policy.networking.k8s.io: its fields. What it is converted to is in
`clusterconversion.py`.

Source: Kubernetes network policy API, v1alpha2.
"""

from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import BAD, Decoder, Field, Fields, Json, Law, Missing, Scope, decoder, list_of, object_of
from tortie.resources.kubernetes import check_exactly_one, exactly_one, label_selector
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems
from tortie.resources.values import enum, integer, pattern, port_name, text

MAX_RULES, MAX_PEERS, MAX_NAME = 25, 25, 100
_DOMAIN = r"(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?\Z"


def _one_of(fields: Fields, what: str) -> Decoder:
    """Decoder of an object of which exactly one field is given."""
    keys = tuple(fields)
    words = f"{what} is exactly one of {', '.join(keys[:-1])} and {keys[-1]}"
    return object_of(
        fields,
        lambda scope, value: check_exactly_one(scope, keys, what),
        [Law(exactly_one(*keys), words)],
    )


# ---- who

_pods = object_of(
    {
        "namespaceSelector": Field(label_selector, "Selects namespaces; an empty one all of them.", default={}),
        "podSelector": Field(label_selector, "Selects their pods; an empty one all of them.", is_required=True),
    }
)
_WORKLOADS: Fields = {
    "namespaces": Field(label_selector, "Selects namespaces, and with them all of their pods."),
    "pods": Field(_pods, "Selects pods by their own labels and those of their namespaces."),
}
_networks = list_of(net(strict=False, may_be_address=False), limit=MAX_PEERS, identity=net_identity)
_domains = list_of(
    pattern("TT1116", _DOMAIN, "a domain name, which may begin with *."), limit=MAX_PEERS, identity=lambda value: value
)
_DESTINATIONS: Fields = {
    **_WORKLOADS,
    "nodes": Field(label_selector, "Selects nodes; cannot be enforced, so that the rule fails closed."),
    "networks": Field(_networks, "Networks; host bits count for nothing."),
    "domainNames": Field(_domains, "Names of hosts; cannot be enforced, so that the rule fails closed."),
}

# ---- what


def _check_range(scope: Scope, value: dict[str, Json]) -> None:
    start, end = value.get("start"), value.get("end")
    if isinstance(start, int) and isinstance(end, int) and start >= end:
        message, found, expected = "Start port must be less than End port", str(end), f"more than {start}"
        scope.report("TT1324", ("end",), message, found=found, expected=expected, remedy="write number: for one port")


_number = integer(1, 65535)
_range = object_of(
    {
        "start": Field(_number, "The first port.", is_required=True),
        "end": Field(_number, "The last port.", is_required=True),
    },
    _check_range,
    [Law("self.start < self.end", "Start port must be less than End port")],
)
_port = _one_of({"number": Field(_number, "One port."), "range": Field(_range, "Several ports in a row.")}, "a port")
_ported = object_of({"destinationPort": Field(_port, "The port that packets go to.", is_required=True)})
_protocol = _one_of(
    {
        "tcp": Field(_ported, "TCP to that port."),
        "udp": Field(_ported, "UDP to that port."),
        "sctp": Field(_ported, "SCTP to that port."),
        "destinationNamedPort": Field(port_name, "The port of that name on the pod, of whichever protocol."),
    },
    "a protocol",
)


@decoder(**text.schema, maxLength=MAX_NAME)
def _name(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = text(node, path, problems)
    if isinstance(value, str) and len(value) > MAX_NAME:
        found, expected = f"{len(value)} characters", f"at most {MAX_NAME}"
        problems.add("TT1110", node, path, "name is too long", found=found, expected=expected)
        return BAD
    return value


_NAMED_PORT = "networks, nodes and domainNames have no named ports"


def _check_named_ports(scope: Scope, value: dict[str, Json]) -> None:
    peers, protocols = value.get("to"), value.get("protocols")
    if not isinstance(peers, list) or not isinstance(protocols, list):
        return
    has_ports = all(isinstance(each, dict) and each.keys() <= _WORKLOADS.keys() for each in peers)
    for index, each in enumerate(protocols):
        if not has_ports and isinstance(each, dict) and "destinationNamedPort" in each:
            scope.report("TT1324", ("protocols", index), _NAMED_PORT, remedy="write the protocol and the number")


def _rules(peers: str, peer: Decoder, doc: str) -> Field:
    rule = object_of(
        {
            "name": Field(_name, "What people call the rule."),
            "action": Field(
                enum("Accept", "Deny", "Pass"),
                "What becomes of packets that fulfil the rule: Pass goes on to the next tier.",
                is_required=True,
            ),
            peers: Field(list_of(peer, limit=MAX_PEERS), "The other side, any of these.", is_required=True),
            "protocols": Field(
                list_of(_protocol, limit=MAX_PEERS), "Protocols and ports, any of these; all if absent."
            ),
        },
        _check_named_ports,
    )
    return Field(list_of(rule, limit=MAX_RULES), doc)


FIELDS: Fields = {
    "tier": Field(
        enum("Admin", "Baseline"),
        "Whether the policy comes before all namespaced policy or after it.",
        is_required=True,
    ),
    "priority": Field(
        integer(0, 1000), "Where the policy stands in its tier: smaller ones come first.", is_required=True
    ),
    "subject": Field(_one_of(_WORKLOADS, "a subject"), "The pods that the policy applies to.", is_required=True),
    "ingress": _rules(
        "from", _one_of(_WORKLOADS, "a peer"), "Rules for what comes to the pods; the first one decides."
    ),
    "egress": _rules("to", _one_of(_DESTINATIONS, "a peer"), "Rules for what the pods send; the first one decides."),
}
