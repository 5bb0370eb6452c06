"""BGPFilter: which routes are taken from BGP peers and told to them. Source: reference resources.md section 8.18."""

from tortie.resources.addresses import net
from tortie.resources.bgp import INTERFACE, as_number, community, priority
from tortie.resources.fields import Decoder, Field, Json, Law, Missing, Scope, decoder, list_of, object_of, require
from tortie.resources.kind import NAME, Column, Kind, Resource
from tortie.resources.nodes import Node, Sequence
from tortie.resources.problems import Problems
from tortie.resources.values import enum, integer, or_empty, pattern

MAX_OPERATIONS, MAX_PREPENDED = 10, 10
_HALF = "cidr and matchOperator must both be set or both be empty"
_NEEDS_CIDR = "prefixLength needs cidr"
_ACCEPT_ONLY = "operations may only be used with action Accept"
_ONE_OF = "an operation is exactly one of addCommunity, prependASPath and setPriority"
_LENGTHS = {4: 32, 6: 128}


def _check(scope: Scope, value: dict[str, Json]) -> None:
    is_judged = scope.concern("cidr") or scope.concern("matchOperator")
    if ("cidr" in value) != ("matchOperator" in value) and not is_judged:
        given = "cidr" if "cidr" in value else "matchOperator"
        scope.report("TT1336", (given,), _HALF, remedy="add the other one, or remove it")
    if "prefixLength" in value and "cidr" not in value and not scope.concern("cidr"):
        scope.report("TT1336", ("prefixLength",), _NEEDS_CIDR, remedy="add cidr and matchOperator")
    if "operations" in value and value.get("action") == "Reject":
        scope.report("TT1336", ("operations",), _ACCEPT_ONLY, remedy="remove them, or write action: Accept")


def _check_operation(scope: Scope, value: dict[str, Json]) -> None:
    if len(value) != 1 and not scope.concern():
        scope.report("TT1336", (), _ONE_OF, remedy="write a list item for each")


_operation = object_of(
    {
        "addCommunity": Field(
            object_of({"value": Field(community, "The community.", is_required=True)}), "Gives the route a community."
        ),
        "prependASPath": Field(
            object_of(
                {
                    "prefix": Field(
                        list_of(as_number, limit=MAX_PREPENDED), "The numbers, the nearest first.", is_required=True
                    )
                }
            ),
            "Puts numbers in front of the route's path.",
        ),
        "setPriority": Field(
            object_of({"value": Field(priority, "The metric.", is_required=True)}),
            "Changes the metric that the kernel gives the route.",
        ),
    },
    _check_operation,
    (
        Law(
            "[has(self.addCommunity), has(self.prependASPath), has(self.setPriority)].filter(one, one).size() == 1",
            _ONE_OF,
        ),
    ),
)
_values = list_of(community, limit=1)


@decoder(**{**_values.schema, "minItems": 1})
def _one_value(node: Node, path: str, problems: Problems) -> Json | Missing:
    if isinstance(node, Sequence) and not node.items:
        require(node, path, problems)
    return _values(node, path, problems)


def _rules(version: int) -> Decoder:
    last = _LENGTHS[version]
    lengths = object_of(
        {
            "min": Field(integer(0, last), "The least length; without it, that of `cidr`."),
            "max": Field(integer(0, last), f"The greatest length; without it, {last}."),
        }
    )
    return list_of(
        object_of(
            {
                "action": Field(enum("Accept", "Reject"), "What becomes of the route.", is_required=True),
                "cidr": Field(
                    or_empty(net(strict=True, may_be_address=False, version=version)),
                    "A network, with which the route's own is compared as `matchOperator` says.",
                ),
                "matchOperator": Field(
                    enum("Equal", "NotEqual", "In", "NotIn", may_be_empty=True), "How the two are compared."
                ),
                "prefixLength": Field(lengths, "The lengths of the route's network, beside `cidr`."),
                "source": Field(
                    enum("RemotePeers", may_be_empty=True), "Where the route comes from: RemotePeers, from other peers."
                ),
                "interface": Field(
                    pattern(
                        "TT1115", INTERFACE, "1 to 15 of a-z, A-Z, 0-9, _, ., -, and * for any text", may_be_empty=True
                    ),
                    "The interface that the route leads through.",
                ),
                "peerType": Field(
                    enum("eBGP", "iBGP", may_be_empty=True), "Whether the peer is of another autonomous system."
                ),
                "communities": Field(
                    object_of(
                        {"values": Field(_one_value, "The one community.", is_required=True)},
                    ),
                    "A community that the route has.",
                ),
                "asPathPrefix": Field(list_of(as_number), "Numbers that the route's path begins with."),
                "priority": Field(priority, "The metric that the route has."),
                "operations": Field(
                    list_of(_operation, limit=MAX_OPERATIONS), "Changes of a route that is accepted, in this order."
                ),
            },
            _check,
            (
                Law(
                    "(has(self.cidr) && self.cidr != '') == (has(self.matchOperator) && self.matchOperator != '')",
                    _HALF,
                ),
                Law("!has(self.prefixLength) || (has(self.cidr) && self.cidr != '')", _NEEDS_CIDR),
                Law("!has(self.operations) || self.operations.size() == 0 || self.action == 'Accept'", _ACCEPT_ONLY),
            ),
        )
    )


def _count(key: str) -> Column:
    def cell(resource: Resource) -> str:
        rules = resource.spec.get(key)
        return str(len(rules)) if isinstance(rules, list) else "0"

    return Column(f"NUM{key.upper()}", cell)


_RULES = {version: _rules(version) for version in _LENGTHS}
_SIDES = {"export": "told to peers", "import": "taken from peers"}
_COLUMNS = (NAME, *(_count(key) for key in ("exportV4", "importV4", "exportV6", "importV6")))
KIND = Kind(
    name="BGPFilter",
    plural="bgpfilters",
    doc="Which routes are taken from BGP peers and told to them; the first rule that matches decides.",
    aliases=("bgpfilter", "bgpf", "bgpfs", "bf", "bfs"),
    fields={
        f"{side}V{version}": Field(rules, f"Rules for IPv{version} routes that are {meaning}.")
        for version, rules in _RULES.items()
        for side, meaning in _SIDES.items()
    },
    lower=None,
    columns=_COLUMNS,
    wide=_COLUMNS,
)
