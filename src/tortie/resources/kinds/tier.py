"""Tier: an ordered group of policies.

Source: reference resources.md section 8.5.
"""

import re

from tortie.resources.fields import Field, Law, Scope, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, meaning, order_cell, spec_law
from tortie.resources.metadata import condition
from tortie.resources.values import enum, number

DEFAULT_ORDER = 1_000_000
BUILT_IN = {"default": (1_000_000, "Deny"), "kube-admin": (1_000, "Pass"), "kube-baseline": (10_000_000, "Pass")}
"""Tiers that always exist, with the order and action that they must have."""
_WRONG_NAME = "the name of a tier has at most 63 characters and no dot"
_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z"


def _check_name(name: str) -> str | None:
    return None if re.match(_NAME, name) else _WRONG_NAME


def _complete(draft: Draft) -> None:
    # A given value is compared, a missing one takes the built-in tier's own default.
    order, action = BUILT_IN.get(draft.name, (DEFAULT_ORDER, "Deny"))
    if draft.name in BUILT_IN:
        scope = Scope(draft.spec_node, "spec", draft.problems)
        if draft.spec.get("order", order) != order:
            message = f"{draft.name} tier order must be {order}"
            scope.report("TT1318", ("order",), message, remedy=f"write order: {order}")
        if draft.spec.get("defaultAction", action) != action:
            message = f"The '{draft.name}' tier must have default action '{action}'"
            scope.report("TT1318", ("defaultAction",), message, remedy=f"write defaultAction: {action}")
    draft.spec.setdefault("order", order)
    draft.spec.setdefault("defaultAction", action)


def _law(name: str, order: int, action: str) -> Law:
    order_holds = f"!has(spec.order) || spec.order == {order}.0"
    action_holds = f"!has(spec.defaultAction) || spec.defaultAction == '{action}'"
    rule = f"self.metadata.name != '{name}' || (({order_holds}) && ({action_holds}))"
    return spec_law(rule, f"the tier {name} has order {order} and default action {action}")


KIND = Kind(
    name="Tier",
    plural="tiers",
    doc="An ordered group of policies; packets meet the tiers in their order.",
    aliases=("tier",),
    check_name=_check_name,
    fields={
        "order": Field(number, "Where the tier stands: smaller orders come first; tiers of one order go by name."),
        "defaultAction": Field(
            enum("Deny", "Pass"),
            "What becomes of packets that policies of the tier concern and none decides; Pass: the next tier is asked.",
        ),
    },
    complete=_complete,
    laws=(
        Law(r"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')", _WRONG_NAME),
        *(_law(name, order, action) for name, (order, action) in BUILT_IN.items()),
    ),
    lower=meaning("tier"),
    columns=(NAME, Column("ORDER", order_cell)),
    wide=(NAME, Column("ORDER", order_cell)),
    status={"conditions": Field(list_of(condition), "What controllers say of the tier.")},
)
