"""Stored rules to model rules: what every dataplane enforces.

It trusts the shape that `shapes.py` checked and nothing else: a stored document that means nothing is refused here,
never weakened. Equal parts of different rules are one object, so that lowering and everything after it stays cheap.
Source: reference selectors.md section 10, dataplane-policy.md B.1 to B.3, resources.md sections 5 and 6.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from tortie.model.address import Net, parse_net
from tortie.model.expression import Compare, Has, In, Not, Operator
from tortie.model.ipset import NamedPortSet, SelectorSet, ServiceSet
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.names import NAMESPACE_LABEL as NAMESPACE_LABEL
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction, Side
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, Selector, conjunction, parse_selector, selector_of
from tortie.resources.rules import is_named
from tortie.resources.shapes import EntityShape, IcmpShape, RuleShape, ServiceAccountsShape
from tortie.resources.values import SUBDOMAIN, protocol_number

SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount"
NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX = "pcns.", "pcsa."
HTTP_REFUSED = "http matches need a layer-7 proxy; no packet dataplane enforces them"
_ACTIONS = {action.value: action for action in Action}


class Place(NamedTuple):
    """Where a rule stands: the direction of its list, and the namespace of its policy, empty if it has none."""

    direction: Direction
    namespace: str = ""


class Meaningless(ValueError):
    """A stored value that validation would have refused; the message names it."""


@lru_cache(maxsize=4096)
def policy_selector(selector: str, namespace_selector: str, service_account_selector: str) -> Selector:
    """What a global policy applies to.

    Raises: InvalidSelector.
    """
    parts = [parse_selector(selector)] if selector else []
    if namespace_selector:
        parts.append(parse_selector(namespace_selector).prefixed(NAMESPACE_PREFIX))
        parts = [conjunction(*parts).replaced(everything=Has(NAMESPACE_LABEL))]
    if service_account_selector:
        parts.append(parse_selector(service_account_selector).prefixed(SERVICE_ACCOUNT_PREFIX))
        parts = [conjunction(*parts).replaced(everything=Has(SERVICE_ACCOUNT_LABEL))]
    return conjunction(*parts)


@lru_cache(maxsize=4096)
def in_namespace(namespace: str) -> Selector:
    """What is in that namespace.

    Raises: Meaningless.
    """
    if not re.match(SUBDOMAIN, namespace):
        raise Meaningless(f"{namespace!r} is no namespace")
    return selector_of(Compare(NAMESPACE_LABEL, Operator.EQUAL, namespace))


@lru_cache(maxsize=4096)
def namespaced_selector(namespace: str, selector: str, service_account_selector: str) -> Selector:
    """What a policy of that namespace applies to: never anything outside of it, so no host endpoint either.

    Raises: InvalidSelector, Meaningless.
    """
    inside = in_namespace(namespace)
    found = conjunction(parse_selector(selector), inside) if selector else inside
    if service_account_selector:
        found = conjunction(found, parse_selector(service_account_selector).prefixed(SERVICE_ACCOUNT_PREFIX))
    return found


@lru_cache(maxsize=4096)
def _entity_selector(
    selector: str, not_selector: str, namespace_selector: str, accounts: ServiceAccountsShape | None, namespace: str
) -> Selector | None:
    """The positive selector of one side of a rule; None where there is none.

    `namespace`: that of the policy, in which the side is sought if it does not name others; empty for global policy and
    profiles. A negative selector beside a positive one is folded into it; alone, it is no part of this.
    """
    main: list[Selector] = []
    if accounts is not None:
        if accounts.selector:
            main.append(parse_selector(accounts.selector).prefixed(SERVICE_ACCOUNT_PREFIX))
        if accounts.names:
            if any("'" in name or '"' in name for name in accounts.names):
                raise Meaningless("serviceAccounts.names holds a name with quotes")
            main.append(selector_of(In(SERVICE_ACCOUNT_LABEL, tuple(sorted(set(accounts.names))), negated=False)))
        main = [conjunction(*main)] if main else []
    if selector:
        main = [conjunction(*main, parse_selector(selector))]
    if namespace_selector:
        prefixed = parse_selector(namespace_selector).prefixed(NAMESPACE_PREFIX)
        is_namespaced = Has(NAMESPACE_LABEL)
        main.insert(0, prefixed.replaced(everything=is_namespaced, everywhere_global=Not(is_namespaced)))
    elif namespace and (main or not_selector):
        main.insert(0, in_namespace(namespace))
    if not main:
        return None
    positive = conjunction(*main)
    if not_selector:
        return conjunction(positive, selector_of(Not(parse_selector(not_selector).root)))
    return positive


@lru_cache(maxsize=65536)
def _net(text: str) -> Net:
    if "/" not in text:
        raise Meaningless(f"{text!r} is no network with a prefix length")
    return parse_net(text, strict=True)


@lru_cache(maxsize=16384)
def _net_match(side: Side, texts: tuple[str, ...], is_negated: bool) -> NetMatch:
    return NetMatch(side, tuple(dict.fromkeys([_net(text) for text in texts])), is_negated)


@lru_cache(maxsize=512)
def _protocol_match(protocol: int | str, is_negated: bool) -> ProtocolMatch:
    number = protocol_number(protocol)
    if number is None or not 1 <= number <= 255:
        raise Meaningless(f"protocol {protocol!r} is out of range")
    return ProtocolMatch(number, is_negated)


_VERSIONS = {4: VersionMatch(4), 6: VersionMatch(6)}


@lru_cache(maxsize=16384)
def _ranges(ports: tuple[int | str, ...]) -> tuple[PortRange, ...]:
    found: list[PortRange] = []
    for port in ports:
        if is_named(port):
            continue
        first, _, last = str(port).partition(":")
        try:
            span = PortRange(int(first), int(last or first))
        except ValueError:
            raise Meaningless(f"{port!r} is no port range") from None
        if not 1 <= span.first <= span.last <= 65535:
            raise Meaningless(f"{port!r} is no port range")
        found.append(span)
    return tuple(found)


@lru_cache(maxsize=16384)
def _port_match(
    side: Side, ports: tuple[int | str, ...], is_negated: bool, protocol: int | None, selector: Selector
) -> PortMatch:
    if protocol is not None and protocol not in PORTED:
        raise Meaningless(f"ports with protocol {protocol}, which has none")
    ranges = _ranges(ports)
    if ranges and protocol is None:
        raise Meaningless("numeric ports without a protocol")
    named = [NamedPortSet(selector, protocol, port) for port in ports if isinstance(port, str) and is_named(port)]
    return PortMatch(side, ranges, tuple(named), is_negated)


def _lower_entity(entity: EntityShape, side: Side, place: Place, protocol: int | None, out: list[Match]) -> None:
    """Append the matches of one side: cheap ones first, as drivers without a better plan test them in this order."""
    if entity.nets:
        out.append(_net_match(side, entity.nets, False))
    if entity.not_nets:
        match = _net_match(side, entity.not_nets, True)
        if any(net.length == 0 for net in match.nets):
            raise Meaningless("a catch-all net in notNets")
        out.append(match)
    positive = _positive_selector(entity, place.namespace)
    if entity.services is not None:
        namespace = entity.services.namespace or place.namespace
        if not entity.services.name or not namespace:
            raise Meaningless("services without a name or a namespace")
        with_ports = side is Side.DESTINATION and place.direction is Direction.EGRESS
        out.append(SetMatch(side, ServiceSet(namespace, entity.services.name, with_ports)))
    is_folded = bool(entity.ports) and all(map(is_named, entity.ports))
    if positive is not None and not is_folded:
        out.append(SetMatch(side, SelectorSet(positive)))
    if positive is None and entity.not_selector:
        out.append(SetMatch(side, SelectorSet(parse_selector(entity.not_selector)), negated=True))
    ports_of = positive or ALL
    if entity.ports:
        out.append(_port_match(side, entity.ports, False, protocol, ports_of))
    if entity.not_ports:
        out.append(_port_match(side, entity.not_ports, True, protocol, ports_of))


def _positive_selector(entity: EntityShape, namespace: str) -> Selector | None:
    is_negative_scoped = bool(namespace and entity.not_selector)
    if entity.selector or entity.namespace_selector or entity.service_accounts is not None or is_negative_scoped:
        return _entity_selector(
            entity.selector, entity.not_selector, entity.namespace_selector, entity.service_accounts, namespace
        )
    return None


@lru_cache(maxsize=1024)
def _icmp_match(shape: IcmpShape, is_negated: bool) -> IcmpMatch | None:
    if shape.type is None:
        if shape.code is not None:
            raise Meaningless("an ICMP code without a type")
        return None
    if not (0 <= shape.type <= 254 and (shape.code is None or 0 <= shape.code <= 255)):
        raise Meaningless("an ICMP type or code out of range")
    return IcmpMatch(shape.type, shape.code, is_negated)


_NOTHING = EntityShape()


def _net_version(rule: RuleShape) -> int | None:
    """The one IP version of the rule's nets: a rule with any net says nothing about packets of the other version."""
    versions = {
        _net(text).version
        for entity in (rule.source, rule.destination)
        for texts in (entity.nets, entity.not_nets)
        for text in texts
    }
    if len(versions) > 1:
        raise Meaningless("nets of both IP versions in one rule")
    return versions.pop() if versions else None


def lower_rule(rule: RuleShape, place: Place) -> Rule:
    """The rule as the model has it.

    Raises: Meaningless, InvalidSelector, InvalidAddress.
    """
    out: list[Match] = []
    source, destination = rule.source, rule.destination
    version: int | None = rule.ip_version
    if version is None and rule.protocol in ("ICMP", "ICMPv6"):
        version = 4 if rule.protocol == "ICMP" else 6
    nets_version = _net_version(rule)
    if nets_version is not None and rule.ip_version not in (None, nets_version):
        raise Meaningless("nets of another IP version than the rule")
    if version is not None:
        out.append(_VERSIONS[version])
    if nets_version not in (None, version) and not source.nets and not destination.nets:
        # A positive list asks for its version by itself; a negated one alone would let the other version through. Where
        # the protocol's name asks for that other version, no packet fulfils both, as it must be.
        out.append(_VERSIONS[nets_version])
    protocol: int | None = None
    if rule.protocol is not None:
        match = _protocol_match(rule.protocol, False)
        protocol = match.protocol
        out.append(match)
    if rule.not_protocol is not None:
        out.append(_protocol_match(rule.not_protocol, True))
    if rule.icmp is not None:
        if protocol not in (ICMP, ICMPV6):
            raise Meaningless("icmp without protocol ICMP or ICMPv6")
        icmp = _icmp_match(rule.icmp, False)
        if icmp is not None:
            out.append(icmp)
    if rule.not_icmp is not None:
        icmp = _icmp_match(rule.not_icmp, True)
        if icmp is not None:
            out.append(icmp)
    if source is not _NOTHING:
        _lower_entity(source, Side.SOURCE, place, protocol, out)
    if destination is not _NOTHING:
        _lower_entity(destination, Side.DESTINATION, place, protocol, out)
    return Rule(_ACTIONS[rule.action], tuple(out))


def lower_rules(rules: Sequence[RuleShape], direction: Direction, namespace: str = "") -> tuple[Rule, ...]:
    """All rules of one direction; `namespace`: that of their policy, empty for global policy and profiles."""
    place = Place(direction, namespace)
    return tuple([lower_rule(rule, place) for rule in rules])
