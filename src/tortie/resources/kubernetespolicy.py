"""Kubernetes network policies: the fields that the staged and the enforced kind share. What they are converted to is in
`kubernetesconversion.py`.

Source: reference resources.md section 8.4; Kubernetes API reference, NetworkPolicy of networking.k8s.io/v1.
"""

from tortie.model.address import WIDTH, parse_net
from tortie.resources.addresses import net
from tortie.resources.fields import ABSENT, BAD, Field, Fields, Json, Law, Missing, Scope, decoder, list_of, object_of
from tortie.resources.kubernetes import (
    check_exactly_one,
    label_selector,
)
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems
from tortie.resources.rules import is_named
from tortie.resources.values import INT_OR_STRING, enum, integer, port

_nets = net(strict=False, may_be_address=False)


def _check_block(scope: Scope, value: dict[str, Json]) -> None:
    cidr, excepted = value.get("cidr"), value.get("except")
    if not isinstance(cidr, str) or not isinstance(excepted, list):
        return
    for index, each in enumerate(excepted):
        if not _is_within(str(each), cidr):
            message, expected = "must be a strict subset of cidr", f"a part of {cidr}"
            scope.report("TT1325", ("except", index), message, found=str(each), expected=expected, remedy="remove it")


def _is_within(inner: str, outer: str) -> bool:
    part, whole = parse_net(inner, strict=False), parse_net(outer, strict=False)
    if part.version != whole.version or part.length <= whole.length:
        return False
    host_bits = WIDTH[whole.version] - whole.length
    return part.address >> host_bits == whole.address >> host_bits


_block = object_of(
    {
        "cidr": Field(_nets, "The network; host bits count for nothing.", is_required=True),
        "except": Field(list_of(_nets), "Parts of the network that do not belong to the peer."),
    },
    _check_block,
)


def _check_peer(scope: Scope, value: dict[str, Json]) -> None:
    if scope.has("podSelector") or scope.has("namespaceSelector"):
        if scope.has("ipBlock"):
            message = "ipBlock cannot be combined with selectors"
            scope.report("TT1323", ("ipBlock",), message, remedy="write two peers")
    else:
        check_exactly_one(scope, ("podSelector", "namespaceSelector", "ipBlock"), "a peer")


_peer = object_of(
    {
        "podSelector": Field(
            label_selector, "Selects pods: of the namespaces selected beside it, else of the policy's namespace."
        ),
        "namespaceSelector": Field(label_selector, "Selects namespaces; an empty one all of them."),
        "ipBlock": Field(_block, "A network; stands alone."),
    },
    _check_peer,
    [
        Law(
            "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
            "a peer is either an ipBlock or selectors",
        ),
    ],
)


@decoder(**INT_OR_STRING)
def _port(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = port(node, path, problems)
    if isinstance(value, str) and not is_named(value):
        found = node.text if isinstance(node, Scalar) else ""
        problems.add("TT1107", node, path, "a range", found=found, remedy="write port and endPort")
        return BAD
    return ABSENT if isinstance(node, Scalar) and node.value == "" else value


def _check_port(scope: Scope, value: dict[str, Json]) -> None:
    first, last = value.get("port"), value.get("endPort")
    if last is None or scope.concern("port"):
        return
    if not isinstance(first, int):
        message = "endPort needs a port that is a number"
        scope.report("TT1324", ("endPort",), message, remedy="write port as a number, or remove endPort")
    elif isinstance(last, int) and last < first:
        found, expected = str(last), f"at least {first}"
        scope.report(
            "TT1324", ("endPort",), "endPort is below port", found=found, expected=expected, remedy="swap them"
        )


_ports = object_of(
    {
        "protocol": Field(enum("TCP", "UDP", "SCTP"), "The protocol of the port.", default="TCP"),
        "port": Field(_port, "The destination port, by number or by its name on the pod; every port if absent."),
        "endPort": Field(integer(1, 65535), "The last port of a range that begins with `port`."),
    },
    _check_port,
    [
        Law(
            "!has(self.endPort) || (has(self.port) && type(self.port) == int && self.endPort >= self.port)",
            "endPort needs a port that is a number and not above it",
        )
    ],
)


def _rule(peers: str, doc: str) -> Field:
    rule = object_of(
        {
            peers: Field(list_of(_peer), "The other side, any of these; everything if absent."),
            "ports": Field(list_of(_ports), "Destination ports, any of these; everything if absent."),
        }
    )
    return Field(list_of(rule), doc)


FIELDS: Fields = {
    "podSelector": Field(
        label_selector, "Selects the pods of the namespace that the policy applies to; all if absent."
    ),
    "ingress": _rule("from", "What may come to the pods; nothing else may where the policy governs ingress."),
    "egress": _rule("to", "Where the pods may send to; nowhere else where the policy governs egress."),
    "policyTypes": Field(
        list_of(enum("Ingress", "Egress"), limit=2),
        "The directions that the policy governs; by default Ingress, and Egress if it has egress rules.",
    ),
}


def put_types(spec: dict[str, Json]) -> None:
    """The default of the directions."""
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
