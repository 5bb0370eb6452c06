"""Kubernetes network policies to the Calico NetworkPolicy that means the same.

A rule that cannot be converted is left out and said: rules only ever allow, so that less is allowed than was asked.
Source: reference resources.md section 9.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from tortie.model.address import parse_net
from tortie.model.packet import Direction
from tortie.model.policy import DEFAULT_TIER
from tortie.resources.fields import Json
from tortie.resources.kubernetes import (
    UNCONVERTIBLE,
    LabelSelectorShape,
    merged,
    namespace_selector,
    pod_selector,
    rule_of,
    span,
)
from tortie.resources.kubernetespolicy import put_types
from tortie.resources.lowering import Meaningless, lower_rules
from tortie.resources.rules import is_named
from tortie.resources.shapes import RuleShape

ORDER = 1000
"""Of a converted policy."""


class _BlockShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cidr: str
    excepted: tuple[str, ...] = msgspec.field(name="except", default=())


class _PeerShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pod_selector: LabelSelectorShape | None = None
    namespace_selector: LabelSelectorShape | None = None
    ip_block: _BlockShape | None = None


class _PortShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class _RuleShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of either direction; `peers` are called `from` or `to` in the document."""

    peers: tuple[_PeerShape, ...] = ()
    ports: tuple[_PortShape, ...] = ()


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pod_selector: LabelSelectorShape | None = None
    ingress: tuple[object, ...] = ()
    egress: tuple[object, ...] = ()
    policy_types: tuple[Literal["Ingress", "Egress"], ...] = ()


def convert(spec: Mapping[str, Json], namespace: str) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The specification of the NetworkPolicy that means the same, and what is wrong with rules that were left out.

    Raises: msgspec.ValidationError, Meaningless, for what concerns the policy as a whole.
    """
    completed = dict(spec)
    put_types(completed)
    shape = msgspec.convert(completed, _Shape)
    found: dict[str, Json] = {
        "tier": DEFAULT_TIER,
        "order": ORDER,
        "selector": pod_selector(shape.pod_selector),
        "types": [each for each in ("Ingress", "Egress") if each in shape.policy_types],
    }
    problems: list[str] = []
    for direction, peers, side, rules in (
        (Direction.INGRESS, "from", "source", shape.ingress),
        (Direction.EGRESS, "to", "destination", shape.egress),
    ):
        converted: list[Json] = []
        for index, rule in enumerate(rules):
            try:
                those = _convert_rule(rule_of(rule), peers, side)
                lower_rules([msgspec.convert(each, RuleShape) for each in those], direction, namespace)
                converted += those
            except UNCONVERTIBLE as error:
                problems.append(f"{direction.value}[{index}] cannot be converted and allows nothing: {error}")
        if converted:
            found[direction.value] = converted
    return found, tuple(problems)


def _convert_rule(rule: Mapping[str, object], peers: str, side: str) -> list[Json]:
    """The rules that together mean this one."""
    renamed = {("peers" if key == peers else key): value for key, value in rule.items()}
    if "peers" in rule:
        raise Meaningless("the unknown field peers")
    shape = msgspec.convert(renamed, _RuleShape)
    sides = [_convert_peer(peer) for peer in shape.peers] or [{}]
    return [_merge(matches, side, peer) for matches in _convert_ports(shape.ports) for peer in sides]


def _merge(matches: Mapping[str, Json], side: str, peer: Mapping[str, Json]) -> Json:
    rule: dict[str, Json] = {"action": "Allow", **matches}
    if peer:
        there = rule.get(side)
        rule[side] = {**there, **peer} if isinstance(there, dict) else dict(peer)
    return rule


def _convert_peer(peer: _PeerShape) -> dict[str, Json]:
    block = peer.ip_block
    if block is not None:
        if peer.pod_selector is not None or peer.namespace_selector is not None:
            raise Meaningless("a peer with ipBlock and selectors")
        nets = dict.fromkeys(parse_net(each, strict=False) for each in block.excepted)
        excepted: list[Json] = [str(each) for each in nets]
        found: dict[str, Json] = {"nets": [str(parse_net(block.cidr, strict=False))]}
        return {**found, "notNets": excepted} if excepted else found
    if peer.pod_selector is None and peer.namespace_selector is None:
        raise Meaningless("a peer that is none")
    selectors = {
        "selector": pod_selector(peer.pod_selector),
        "namespaceSelector": namespace_selector(peer.namespace_selector),
    }
    return {key: text for key, text in selectors.items() if text}


def _convert_ports(ports: tuple[_PortShape, ...]) -> list[dict[str, Json]]:
    """The matches of protocol and port, by protocol; one that matches everything where there are none."""
    by_protocol: dict[str, list[_PortShape]] = {}
    for each in ports:
        by_protocol.setdefault(each.protocol, []).append(each)
    found: list[dict[str, Json]] = []
    for protocol, those in sorted(by_protocol.items()):
        rule: dict[str, Json] = {"protocol": protocol}
        listed = _list_ports(those)
        if not any(each.port is None for each in those):
            rule["destination"] = {"ports": listed}
        found.append(rule)
    return found or [{}]


def _list_ports(ports: list[_PortShape]) -> list[Json]:
    """Names of ports and ranges; two numbers or more are merged and stand behind the names."""
    found: list[Json] = []
    ranges: list[tuple[int, int]] = []
    for each in ports:
        if each.port is None or isinstance(each.port, str):
            if each.end_port is not None:
                raise Meaningless("endPort without a port that is a number")
            if each.port is not None:
                if not is_named(each.port):
                    raise Meaningless(f"the port {each.port!r}")
                found.append(each.port)
            continue
        last = each.port if each.end_port is None else each.end_port
        if not 1 <= each.port <= last <= 65535:
            raise Meaningless(f"the ports {each.port} to {last}")
        ranges.append((each.port, last))
        found.append(span(each.port, last))
    if len(ranges) > 1:
        named = [each for each in found if isinstance(each, str) and is_named(each)]
        return [*named, *(span(first, last) for first, last in merged(ranges))]
    return found
