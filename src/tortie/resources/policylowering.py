"""Stored specifications of policies to model policies: those of Calico's kinds, and those that Kubernetes policies are
converted to.

Source: reference selectors.md section 10.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from tortie.model.packet import Direction
from tortie.model.policy import DEFAULT_TIER, Policy, PolicyKey
from tortie.model.selector import Selector
from tortie.resources.fields import Json
from tortie.resources.kind import Resource
from tortie.resources.lowering import HTTP_REFUSED, lower_rules, namespaced_selector, policy_selector
from tortie.resources.shapes import RuleShape


class PolicyShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What every policy has, and all that one with a namespace has."""

    tier: str = DEFAULT_TIER
    order: float | None = None
    selector: str = ""
    service_account_selector: str = ""
    types: tuple[Literal["Ingress", "Egress"], ...] = ()
    ingress: list[RuleShape] = []
    egress: list[RuleShape] = []
    performance_hints: tuple[str, ...] = ()


class GlobalPolicyShape(PolicyShape, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a policy without a namespace has."""

    namespace_selector: str = ""
    do_not_track: bool = False
    pre_dnat: bool = msgspec.field(name="preDNAT", default=False)
    apply_on_forward: bool = False


def key_of(resource: Resource) -> PolicyKey:
    """The identity of the policy that the resource is lowered to."""
    return PolicyKey(resource.kind, resource.namespace, resource.name)


def lower_global(key: PolicyKey, spec: Mapping[str, Json]) -> Policy:
    """The policy of a specification of a GlobalNetworkPolicy.

    Raises: msgspec.ValidationError, InvalidSelector, InvalidAddress, Meaningless.
    """
    shape = msgspec.convert(spec, GlobalPolicyShape)
    selector = policy_selector(shape.selector, shape.namespace_selector, shape.service_account_selector)
    return _lower(
        key,
        shape,
        selector,
        do_not_track=shape.do_not_track,
        pre_dnat=shape.pre_dnat,
        apply_on_forward=shape.apply_on_forward,
    )


def lower_namespaced(key: PolicyKey, spec: Mapping[str, Json]) -> Policy:
    """The policy of a specification of a NetworkPolicy: of nothing outside its namespace. Raises: as `lower_global`."""
    shape = msgspec.convert(spec, PolicyShape)
    return _lower(key, shape, namespaced_selector(key.namespace, shape.selector, shape.service_account_selector))


_DIRECTIONS = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}


def _lower(
    key: PolicyKey,
    shape: PolicyShape,
    selector: Selector,
    *,
    do_not_track: bool = False,
    pre_dnat: bool = False,
    apply_on_forward: bool = False,
) -> Policy:
    has_http = any(rule.http is not None for rules in (shape.ingress, shape.egress) for rule in rules)
    return Policy(
        key=key,
        tier=shape.tier or DEFAULT_TIER,
        order=shape.order,
        selector=selector,
        ingress=lower_rules(shape.ingress, Direction.INGRESS, key.namespace),
        egress=lower_rules(shape.egress, Direction.EGRESS, key.namespace),
        governs=frozenset(_DIRECTIONS[each] for each in shape.types) or frozenset(Direction),
        do_not_track=do_not_track,
        pre_dnat=pre_dnat,
        apply_on_forward=apply_on_forward,
        needed_everywhere="AssumeNeededOnEveryNode" in shape.performance_hints,
        reason_refused=HTTP_REFUSED if has_http else None,
    )
