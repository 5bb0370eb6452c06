"""The fields of a rule and of its two sides: what each one holds and means. What must hold between them is in
`rules.py`.

Source: reference resources.md sections 5 and 6.
"""

import re
from typing import NamedTuple

from tortie.model.names import Direction
from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import (
    BAD,
    Decoder,
    Field,
    Fields,
    Json,
    Law,
    Missing,
    Scope,
    decoder,
    describe,
    list_of,
    object_of,
)
from tortie.resources.metadata import annotations
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems
from tortie.resources.values import enum, integer, name, pattern, port, protocol, selector, text

MAX_PORTS, MAX_NETS, MAX_HTTP = 50, 256, 20
_GLOBAL_ALONE = r"[ \t]*global\([ \t]*\)[ \t]*\Z"
_PATH = r"/[^? #]*\Z"
_NO_QUOTES = r"[^'\"]+\Z"


class RuleContext(NamedTuple):
    """Where a rule stands: `services` and `http` have places where they may not be. Profiles have no such places.

    `is_namespaced`: the policy has a namespace, which a service has too if the rule does not say otherwise.
    """

    direction: Direction
    is_profile: bool = False
    is_namespaced: bool = False


@decoder(**selector().schema)
def _namespace_selector(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = selector()(node, path, problems)
    if isinstance(value, str) and "global(" in value and not re.match(_GLOBAL_ALONE, value):
        message = "global() cannot be combined with other selectors"
        problems.add("TT1202", node, path, message, found=describe(node), remedy="write global() alone")
        return BAD
    return value


# ---- a side of a rule

_nets = list_of(net(strict=True, may_be_address=False), limit=MAX_NETS, identity=net_identity)
_ports = list_of(port, limit=MAX_PORTS)
_account_names = list_of(pattern("TT1112", _NO_QUOTES, "the name of a service account"), identity=lambda value: value)
_accounts = object_of(
    {
        "names": Field(_account_names, "Names of service accounts, any of which the workload may run as."),
        "selector": Field(selector(limit=None), "Selects service accounts by their labels; narrows `names`."),
    }
)
_ENTITY: Fields = {
    "nets": Field(_nets, "Networks that the address is in, any of them."),
    "notNets": Field(_nets, "Networks that the address is in none of."),
    "selector": Field(
        selector(is_global_refused=True), "Selects the endpoints and network sets that the address belongs to."
    ),
    "notSelector": Field(selector(), "Selects endpoints and network sets that the address does not belong to."),
    "namespaceSelector": Field(
        _namespace_selector,
        "Selects the namespaces of those endpoints and network sets; `global()` stands for what has no namespace.",
    ),
    "serviceAccounts": Field(_accounts, "The service accounts that the workload with the address runs as."),
    "ports": Field(_ports, "Ports, ranges `first:last` and names of ports, any of them."),
    "notPorts": Field(_ports, "Ports, ranges `first:last` and names of ports, none of them."),
}


def _is_given(key: str) -> str:
    """A condition: text or a list is there, and is not empty, which counts as absent."""
    return f"(has(self.{key}) && size(self.{key}) > 0)"


_WITH_SERVICES = {
    "NamespaceSelector": ("namespaceSelector",),
    "Selector/NotSelector": ("selector", "notSelector"),
    "Nets/NotNets": ("nets", "notNets"),
}
_SERVICE_LAWS = (
    *(
        Law(
            f"!has(self.services) || !({' || '.join(map(_is_given, keys))})",
            f"cannot specify {words} and Services on the same rule",
        )
        for words, keys in _WITH_SERVICES.items()
    ),
    Law(
        "!has(self.services) || !has(self.serviceAccounts)",
        "cannot specify ServiceAccounts and Services on the same rule",
    ),
)
_PORTS_LAW = Law(
    f"!has(self.services) || !({_is_given('ports')} || {_is_given('notPorts')})",
    "ports and notPorts cannot be specified with services",
)
_NAMED = Law(_is_given("name"), "services must specify a service name")
_IN_NAMESPACE = Law(_is_given("namespace"), "must specify a namespace")


def _entity(context: RuleContext, *, is_destination: bool) -> Decoder:
    services = object_of(
        {
            "name": Field(name, "The name of the Kubernetes Service."),
            "namespace": Field(
                name, "Its namespace; that of the policy if absent." if context.is_namespaced else "Its namespace."
            ),
        },
        laws=(_NAMED,) if context.is_namespaced else (_NAMED, _IN_NAMESPACE),
    )
    fields = {**_ENTITY, "services": Field(services, "A Service of which the address is an endpoint.")}
    return object_of(fields, laws=(*_SERVICE_LAWS, _PORTS_LAW) if is_destination else _SERVICE_LAWS)


# ---- icmp and http


def _check_icmp(scope: Scope, value: dict[str, Json]) -> None:
    if scope.has("code") and not scope.has("type"):
        scope.report("TT1312", ("code",), "ICMP code specified without an ICMP type", remedy="add type")


def _check_path(scope: Scope, value: dict[str, Json]) -> None:
    if scope.has("exact") == scope.has("prefix"):
        scope.report("TT1314", (), "a path is exactly one of exact and prefix", remedy="write one of them")


_icmp = object_of(
    {
        "type": Field(integer(0, 254), "The ICMP type, such as 8 for an echo request."),
        "code": Field(integer(0, 255), "The ICMP code; needs `type`."),
    },
    _check_icmp,
    [Law("!has(self.code) || has(self.type)", "ICMP code specified without an ICMP type")],
)
_path = pattern("TT1314", _PATH, "a path that begins with / and holds no ?, blank or #", limit=1024)
_paths = object_of(
    {"exact": Field(_path, "The whole path."), "prefix": Field(_path, "How the path begins.")},
    _check_path,
    [Law("has(self.exact) != has(self.prefix)", "a path is exactly one of exact and prefix")],
)
_http = object_of(
    {
        "methods": Field(
            list_of(text, limit=MAX_HTTP, identity=lambda value: value), "Methods of the request, any of them."
        ),
        "paths": Field(list_of(_paths, limit=MAX_HTTP), "Paths of the request, any of them."),
    }
)


@decoder(type="integer", enum=[4, 6])
def _ip_version(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = integer()(node, path, problems)
    if isinstance(value, int) and value not in (4, 6):
        problems.add("TT1104", node, path, "unknown IP version", found=describe(node), expected="4 or 6")
        return BAD
    return value


# ---- the rule


def _is_protocol(key: str, *spellings: str | int) -> str:
    """A condition: the protocol is given and spelt in one of these ways."""
    spelt = " || ".join(f"self.{key} == {each!r}" for each in spellings)
    return f"(has(self.{key}) && ({spelt}))"


_ICMP4, _ICMP6 = ("ICMP", 1, "1"), ("ICMPv6", 58, "58")
_LAWS = (
    Law(
        f"!has(self.icmp) || {_is_protocol('protocol', *_ICMP4, *_ICMP6)}",
        "ICMP fields require protocol to be ICMP or ICMPv6",
    ),
    *(
        Law(f"!(has(self.ipVersion) && self.ipVersion == {version} && {_is_protocol(key, *spellings)})", message)
        for version, spellings, message in (
            (6, _ICMP4, "protocol ICMP requires ipVersion 4"),
            (4, _ICMP6, "protocol ICMPv6 requires ipVersion 6"),
        )
        for key in ("protocol", "notProtocol")
    ),
    Law("!has(self.http) || self.action == 'Allow'", "HTTP match is only valid on Allow rules"),
    Law(
        f"!has(self.http) || !has(self.protocol) || {_is_protocol('protocol', 'TCP', 6, '6')}",
        "rules with HTTP match must have protocol TCP or unset",
    ),
)
_NO_HTTP = Law("!has(self.http)", "not allowed in egress rule(s)")
_NO_SERVICES = {
    Direction.EGRESS: Law("!has(self.source) || !has(self.source.services)", "not allowed in egress rule source"),
    Direction.INGRESS: Law(
        "!has(self.destination) || !has(self.destination.services)", "not allowed in ingress rule destination"
    ),
}


def rule_laws(context: RuleContext) -> tuple[Law, ...]:
    """What holds between the fields of a rule, as far as it fits into short expressions."""
    if context.is_profile:
        return _LAWS
    placed = (*_LAWS, _NO_SERVICES[context.direction])
    return (*placed, _NO_HTTP) if context.direction is Direction.EGRESS else placed


_METADATA = object_of({"annotations": Field(annotations, "Free text by keys, for people.")})


def match_fields(context: RuleContext) -> Fields:
    """The fields that say which packets a rule is for."""
    return {
        "ipVersion": Field(_ip_version, "Only packets of that IP version."),
        "protocol": Field(protocol, "Only packets of that protocol, by name or number."),
        "notProtocol": Field(protocol, "Only packets of another protocol than that one."),
        "icmp": Field(_icmp, "Only ICMP packets of that type and code; needs protocol ICMP or ICMPv6."),
        "notICMP": Field(_icmp, "No ICMP packets of that type and code."),
        "source": Field(_entity(context, is_destination=False), "Where packets come from."),
        "destination": Field(_entity(context, is_destination=True), "Where packets go to."),
    }


def rule_fields(context: RuleContext) -> Fields:
    """The fields of a rule that stands there."""
    return {
        "action": Field(
            enum("Allow", "Deny", "Log", "Pass"),
            "What becomes of packets that fulfil every match: Pass goes on to the next tier, Log to the next rule.",
            is_required=True,
        ),
        **match_fields(context),
        "http": Field(_http, "Only such HTTP requests; no packet dataplane enforces it."),
        "metadata": Field(_METADATA, "What is said of the rule; nothing that is enforced."),
    }
