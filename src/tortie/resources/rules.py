"""Reading a rule, and what must hold between its fields. The fields themselves are in `rulefields.py`.

Source: reference resources.md sections 5 and 6.
"""

from typing import TYPE_CHECKING, TypedDict, cast

from tortie.model.address import parse_net
from tortie.model.names import ICMP, ICMPV6, PORTED, TCP, Direction
from tortie.resources.fields import (
    BAD,
    Decoder,
    Fields,
    Json,
    Law,
    Missing,
    Scope,
    decoder,
    list_of,
    object_schema,
    read_object,
)
from tortie.resources.nodes import Mapping, Node
from tortie.resources.problems import Problems
from tortie.resources.rulefields import RuleContext, match_fields, rule_fields, rule_laws
from tortie.resources.values import protocol_number

if TYPE_CHECKING:
    # What was read, by the tables of `rulefields.py`; only what is checked here. It is read as it is, because who only
    # checks documents would wait 8 ms for what converts it to the types of `shapes.py`.
    class Services(TypedDict, total=False):
        """`services`."""

        name: str
        namespace: str

    class Entity(TypedDict, total=False):
        """`source` or `destination`."""

        nets: list[str]
        notNets: list[str]
        ports: list[int | str]
        notPorts: list[int | str]
        selector: str
        notSelector: str
        namespaceSelector: str
        serviceAccounts: Json
        services: Services

    class Rule(TypedDict, total=False):
        """A rule."""

        action: str
        protocol: int | str
        notProtocol: int | str
        ipVersion: int
        icmp: Json
        http: Json
        source: Entity
        destination: Entity


MAX_RULES = 1024


def rules_of(context: RuleContext) -> Decoder:
    """Decoder of the list of rules of one direction."""
    return list_of(_with_matches(context, rule_fields(context), rule_laws(context)), limit=MAX_RULES)


def packets_of(more: Fields) -> Decoder:
    """Decoder of an object that says which packets are meant, in the words of rules; `more`: what else it says."""
    context = RuleContext(direction=Direction.EGRESS, is_profile=True)
    return _with_matches(context, {**more, **match_fields(context)}, ())


def _with_matches(context: RuleContext, fields: Fields, laws: tuple[Law, ...]) -> Decoder:
    """Decoder of an object with the matches of a rule, and with what has to hold between them."""

    @decoder(**object_schema(fields, laws))
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        rule = read_object(node, path, problems, fields)
        if not isinstance(rule, dict) or not isinstance(node, Mapping):
            return BAD
        _RuleCheck(Scope(node, path, problems), cast("Rule", rule), context).run()
        return rule

    return decode


def is_named(port: int | str) -> bool:
    """Whether it is the name of a port, not a number or a range."""
    return isinstance(port, str) and ":" not in port


class _RuleCheck:
    """The checks across the fields of one rule. A field that was refused already makes no second problem."""

    def __init__(self, scope: Scope, rule: "Rule", context: RuleContext) -> None:
        self._scope, self._rule, self._context = scope, rule, context
        self._sides = (("source", rule.get("source", {})), ("destination", rule.get("destination", {})))

    def run(self) -> None:
        """Note every problem."""
        self._check_ports()
        self._check_icmp()
        self._check_versions()
        self._check_http()
        for side, entity in self._sides:
            self._check_catch_all(side, entity)
            if "services" in entity:
                self._check_services(side, entity, entity["services"])

    def _check_ports(self) -> None:
        scope = self._scope
        if scope.concern("protocol"):
            return
        number = protocol_number(self._rule.get("protocol"))
        for side, entity in self._sides:
            for key, ports in (("ports", entity.get("ports", [])), ("notPorts", entity.get("notPorts", []))):
                if number is None:
                    numeric = [each for each in ports if not is_named(each)]
                    if numeric and not scope.concern(side, key):
                        message = "rules with numeric port or port range must set protocol to TCP or UDP or SCTP"
                        remedy = "add protocol: TCP to the rule"
                        scope.report("TT1311", (side, key), message, found=str(numeric[0]), remedy=remedy)
                elif ports and number not in PORTED:
                    message = "rules that specify ports must set protocol to TCP or UDP or SCTP"
                    found, remedy = f"protocol {self._rule.get('protocol')}", "change protocol, or remove the ports"
                    scope.report("TT1311", (side, key), message, found=found, remedy=remedy)

    def _check_icmp(self) -> None:
        scope, rule = self._scope, self._rule
        is_icmp = protocol_number(rule.get("protocol")) in (ICMP, ICMPV6)
        if "icmp" in rule and not is_icmp and not scope.concern("protocol"):
            message = "ICMP fields require protocol to be ICMP or ICMPv6"
            scope.report("TT1312", ("icmp",), message, remedy="add protocol: ICMP or protocol: ICMPv6")
        wanted = rule.get("ipVersion")
        for key, named in (("protocol", rule.get("protocol")), ("notProtocol", rule.get("notProtocol"))):
            number = protocol_number(named)
            if (number, wanted) in ((ICMP, 6), (ICMPV6, 4)):
                label, version = ("ICMP", 4) if number == ICMP else ("ICMPv6", 6)
                message = f"protocol {label} requires ipVersion {version}"
                found, remedy = f"ipVersion {wanted}", "change one of them"
                scope.report("TT1313", (key,), message, found=found, remedy=remedy)

    def _check_versions(self) -> None:
        scope, wanted = self._scope, self._rule.get("ipVersion")
        first: int | None = None
        for side, entity in self._sides:
            for key, nets in (("nets", entity.get("nets", [])), ("notNets", entity.get("notNets", []))):
                for each in nets:
                    version = parse_net(each, strict=True).version
                    if wanted is not None and version != wanted:
                        message = "rule IP version doesn't match CIDR version"
                        expected = f"an IPv{wanted} network"
                        scope.report(
                            "TT1313", (side, key), message, found=each, expected=expected, remedy="split the rule"
                        )
                        break
                    if first is not None and version != first:
                        message = "rule contains both IPv4 and IPv6 CIDRs"
                        remedy = "write one rule for each IP version"
                        scope.report("TT1313", (side, key), message, found=each, remedy=remedy)
                        return
                    first = version

    def _check_catch_all(self, side: str, entity: "Entity") -> None:
        for each in entity.get("notNets", []):
            if parse_net(each, strict=True).length == 0:
                message = "catch-all CIDR in negation creates logical contradiction (matches no traffic)"
                self._scope.report(
                    "TT1320", (side, "notNets"), message, found=each, remedy="remove the rule or the net"
                )

    def _check_http(self) -> None:
        scope, rule = self._scope, self._rule
        if "http" not in rule:
            return
        if rule.get("action") != "Allow" and not scope.concern("action"):
            remedy = "change the action to Allow, or remove http"
            scope.report("TT1314", ("http",), "HTTP match is only valid on Allow rules", remedy=remedy)
        if protocol_number(rule.get("protocol")) not in (None, TCP):
            message = "rules with HTTP match must have protocol TCP or unset"
            scope.report(
                "TT1314", ("http",), message, found=f"protocol {rule.get('protocol')}", remedy="use protocol: TCP"
            )
        if self._context.direction is Direction.EGRESS and not self._context.is_profile:
            scope.report("TT1314", ("http",), "not allowed in egress rule(s)", remedy="remove it")

    def _check_services(self, side: str, entity: "Entity", services: "Services") -> None:
        scope = self._scope
        conflicts: list[tuple[object, str]] = [
            (entity.get("namespaceSelector"), "cannot specify NamespaceSelector and Services on the same rule"),
            ("serviceAccounts" in entity, "cannot specify ServiceAccounts and Services on the same rule"),
            (
                entity.get("selector") or entity.get("notSelector"),
                "cannot specify Selector/NotSelector and Services on the same rule",
            ),
            (entity.get("nets") or entity.get("notNets"), "cannot specify Nets/NotNets and Services on the same rule"),
        ]
        if side == "destination":
            conflicts.append(
                (entity.get("ports") or entity.get("notPorts"), "ports and notPorts cannot be specified with services")
            )
        where = (side, "services")
        for is_there, message in conflicts:
            if is_there:
                scope.report("TT1315", where, message, remedy="write two rules")
        if not services.get("name") and not scope.concern(*where, "name"):
            scope.report("TT1315", where, "services must specify a service name", remedy="add name")
        if not (services.get("namespace") or self._context.is_namespaced or scope.concern(*where, "namespace")):
            scope.report("TT1315", where, "must specify a namespace", remedy="add namespace to services")
        if self._context.is_profile:
            return
        if side == "source" and self._context.direction is Direction.EGRESS:
            scope.report("TT1315", where, "not allowed in egress rule source", remedy="remove it")
        if side == "destination" and self._context.direction is Direction.INGRESS:
            scope.report("TT1315", where, "not allowed in ingress rule destination", remedy="remove it")
