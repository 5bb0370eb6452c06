"""ClusterNetworkPolicy to the GlobalNetworkPolicy that means the same.

A rule that cannot be converted is replaced by one that denies everything, or left out if it allows: fail closed.
Source: reference resources.md section 10.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tortie.model.address import parse_net
from tortie.model.packet import Direction
from tortie.resources.fields import Json
from tortie.resources.kubernetes import (
    UNCONVERTIBLE,
    LabelSelectorShape,
    namespace_selector,
    pod_selector,
    rule_of,
    span,
)
from tortie.resources.lowering import Meaningless, lower_rules
from tortie.resources.shapes import RuleShape

TIERS = {"Admin": "kube-admin", "Baseline": "kube-baseline"}
_ACTIONS = {"Accept": "Allow", "Deny": "Deny", "Pass": "Pass"}


class _PodsShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pod_selector: LabelSelectorShape
    namespace_selector: LabelSelectorShape = LabelSelectorShape()


class _WorkloadsShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subject, or a peer of an ingress rule."""

    namespaces: LabelSelectorShape | None = None
    pods: _PodsShape | None = None


class _PeerShape(_WorkloadsShape, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A peer of either direction; `nodes` and `domain_names` are known, and cannot be converted."""

    networks: tuple[str, ...] | None = None
    nodes: object = None
    domain_names: object = None


class _RangeShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: int
    end: int


class _PortShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int | None = None
    range: _RangeShape | None = None


class _PortedShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    destination_port: _PortShape


class _ProtocolShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    tcp: _PortedShape | None = None
    udp: _PortedShape | None = None
    sctp: _PortedShape | None = None
    destination_named_port: str | None = None


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tier: Literal["Admin", "Baseline"]
    priority: int
    subject: _WorkloadsShape
    ingress: tuple[object, ...] = ()
    egress: tuple[object, ...] = ()


def convert(spec: Mapping[str, Json]) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The specification of the GlobalNetworkPolicy, and what is wrong with the rules that were replaced or left out.

    Raises: msgspec.ValidationError, Meaningless, for what concerns the policy as a whole.
    """
    shape = msgspec.convert(spec, _Shape)
    found: dict[str, Json] = {"tier": TIERS[shape.tier], "order": shape.priority, **_workloads(shape.subject)}
    problems: list[str] = []
    types: list[Json] = []
    for direction, peers, rules in (
        (Direction.INGRESS, "from", shape.ingress),
        (Direction.EGRESS, "to", shape.egress),
    ):
        if rules:
            types.append(direction.value.capitalize())
            found[direction.value] = _convert_rules(rules, peers, direction, problems)
    return {**found, "types": types}, tuple(problems)


def _convert_rules(rules: Sequence[object], peers: str, direction: Direction, problems: list[str]) -> list[Json]:
    converted: list[Json] = []
    for index, each in enumerate(rules):
        rule = each if isinstance(each, dict) else {}
        name = rule.get("name")
        about: dict[str, Json] = {"metadata": {"annotations": {"name": name}}} if name and isinstance(name, str) else {}
        try:
            those = _convert_rule(rule_of(each), peers, direction)
            lower_rules([msgspec.convert(one, RuleShape) for one in those], direction)
            converted += [{**one, **about} for one in those]
        except UNCONVERTIBLE as error:
            is_left_out = rule.get("action") == "Accept"
            outcome = "allows nothing" if is_left_out else "denies everything"
            problems.append(f"{direction.value}[{index}] cannot be converted and {outcome}: {error}")
            if not is_left_out:
                converted.append({"action": "Deny", **about})
    return converted


def _convert_rule(rule: Mapping[str, object], peers: str, direction: Direction) -> list[dict[str, Json]]:
    """The rules that together mean this one."""
    if unknown := rule.keys() - {"name", "action", "protocols", peers}:
        raise Meaningless(f"the unknown field {min(unknown)}")
    action = _ACTIONS.get(str(rule.get("action")))
    if action is None:
        raise Meaningless(f"the action {rule.get('action')!r}")
    those = msgspec.convert(rule.get(peers, []), tuple[_PeerShape, ...])
    if not those:
        raise Meaningless("no peers")
    sides = [side for peer in those for side in _convert_peer(peer)]
    protocols = msgspec.convert(rule.get("protocols", []), tuple[_ProtocolShape, ...])
    matches = [_convert_protocol(each) for each in protocols] or [{}]
    key = "source" if direction is Direction.INGRESS else "destination"
    return [_joined(action, match, key, side) for match in matches for side in sides]


def _joined(action: str, match: Mapping[str, Json], key: str, side: Mapping[str, Json]) -> dict[str, Json]:
    rule: dict[str, Json] = {"action": action, **match}
    there = rule.get(key)
    rule[key] = {**there, **side} if isinstance(there, dict) else dict(side)
    return rule


def _workloads(shape: _WorkloadsShape) -> dict[str, Json]:
    """The two selectors of pods. Raises: Meaningless where they are given in no way, or in two."""
    match shape.namespaces, shape.pods:
        case LabelSelectorShape() as namespaces, None:
            pods = _PodsShape(LabelSelectorShape(), namespaces)
        case None, _PodsShape() as pods:
            pass
        case _:
            raise Meaningless("neither namespaces nor pods, or both")
    return {
        "namespaceSelector": namespace_selector(pods.namespace_selector),
        "selector": pod_selector(pods.pod_selector),
    }


def _convert_peer(peer: _PeerShape) -> list[dict[str, Json]]:
    """The sides of rules that stand for the peer: networks of both IP versions do not fit into one."""
    for word, given in (("nodes", peer.nodes), ("domainNames", peer.domain_names)):
        if given is not None:
            raise Meaningless(f"no dataplane here knows peers by {word}; write their networks")
    if peer.networks is None:
        return [_workloads(peer)]
    if peer.namespaces is not None or peer.pods is not None or not peer.networks:
        raise Meaningless("networks that are none, or beside another peer")
    nets = [parse_net(each, strict=False) for each in peer.networks]
    by_version = [[str(net) for net in nets if net.version == version] for version in (4, 6)]
    return [{"nets": [*those]} for those in by_version if those]


def _convert_protocol(shape: _ProtocolShape) -> dict[str, Json]:
    ported = {"TCP": shape.tcp, "UDP": shape.udp, "SCTP": shape.sctp}
    given = [(name, each) for name, each in ported.items() if each is not None]
    if shape.destination_named_port and not given:
        return {"destination": {"ports": [shape.destination_named_port]}}
    if len(given) != 1 or shape.destination_named_port is not None:
        raise Meaningless("a protocol that is none, or several")
    ((name, only),) = given
    port = only.destination_port
    match port.number, port.range:
        case int() as number, None:
            ports = span(number, number)
        case None, _RangeShape(start, end):
            ports = span(start, end)
        case _:
            raise Meaningless("a port that is none, or several")
    return {"protocol": name, "destination": {"ports": [ports]}}
