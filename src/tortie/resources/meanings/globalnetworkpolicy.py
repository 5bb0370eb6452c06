"""What a GlobalNetworkPolicy means: its rules, and the selector of the endpoints that it is for."""

from typing import Literal

import msgspec

from tortie.model.packet import Direction
from tortie.model.policy import DEFAULT_TIER, Policy, PolicyKey
from tortie.resources.kind import Resource
from tortie.resources.lowering import HTTP_REFUSED, lower_rules, policy_selector
from tortie.resources.shapes import RuleShape


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    tier: str = DEFAULT_TIER
    order: float | None = None
    selector: str = ""
    namespace_selector: str = ""
    service_account_selector: str = ""
    types: tuple[Literal["Ingress", "Egress"], ...] = ()
    ingress: list[RuleShape] = []
    egress: list[RuleShape] = []
    do_not_track: bool = False
    pre_dnat: bool = msgspec.field(name="preDNAT", default=False)
    apply_on_forward: bool = False
    performance_hints: tuple[str, ...] = ()


_DIRECTIONS = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}


def lower(resource: Resource) -> Policy:
    """The policy."""
    shape = msgspec.convert(resource.spec, _Shape)
    has_http = any(rule.http is not None for rules in (shape.ingress, shape.egress) for rule in rules)
    return Policy(
        key=PolicyKey(resource.kind, resource.namespace, resource.name),
        tier=shape.tier or DEFAULT_TIER,
        order=shape.order,
        selector=policy_selector(shape.selector, shape.namespace_selector, shape.service_account_selector),
        ingress=lower_rules(shape.ingress, Direction.INGRESS),
        egress=lower_rules(shape.egress, Direction.EGRESS),
        governs=frozenset(_DIRECTIONS[each] for each in shape.types) or frozenset(Direction),
        do_not_track=shape.do_not_track,
        pre_dnat=shape.pre_dnat,
        apply_on_forward=shape.apply_on_forward,
        needed_everywhere="AssumeNeededOnEveryNode" in shape.performance_hints,
        reason_refused=HTTP_REFUSED if has_http else None,
    )
