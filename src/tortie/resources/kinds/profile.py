"""Profile: labels that endpoints inherit, and rules for traffic that no tier decided.

Source: reference resources.md section 8.9.
"""

import msgspec

from tortie.model.packet import Direction
from tortie.model.policy import DEFAULT_ALLOW, Profile
from tortie.resources.fields import Field
from tortie.resources.kind import NAME, Column, Kind, Resource
from tortie.resources.lowering import HTTP_REFUSED, Meaningless, lower_rules
from tortie.resources.metadata import labels
from tortie.resources.rulefields import RuleContext
from tortie.resources.rules import rules_of
from tortie.resources.shapes import RuleShape


def _check_name(name: str) -> str | None:
    return f"{DEFAULT_ALLOW} is provided by tortie and cannot be changed" if name == DEFAULT_ALLOW else None


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    ingress: list[RuleShape] = []
    egress: list[RuleShape] = []
    labels_to_apply: dict[str, str] = {}


def _lower(resource: Resource) -> Profile:
    shape = msgspec.convert(resource.spec, _Shape)
    if any(rule.http is not None for rules in (shape.ingress, shape.egress) for rule in rules):
        raise Meaningless(HTTP_REFUSED)
    return Profile(
        resource.name,
        shape.labels_to_apply,
        lower_rules(shape.ingress, Direction.INGRESS),
        lower_rules(shape.egress, Direction.EGRESS),
    )


def _labels_cell(resource: Resource) -> str:
    applied = resource.spec.get("labelsToApply")
    return ",".join(f"{key}={value}" for key, value in sorted(applied.items())) if isinstance(applied, dict) else ""


KIND = Kind(
    name="Profile",
    plural="profiles",
    doc="Labels that endpoints inherit, and rules for traffic that no tier decided.",
    aliases=("profile", "pro", "pros"),
    check_name=_check_name,
    fields={
        "ingress": Field(
            rules_of(RuleContext(direction=Direction.INGRESS, is_profile=True)),
            "Rules for traffic to the endpoint that no tier decided; the first one that matches decides.",
        ),
        "egress": Field(
            rules_of(RuleContext(direction=Direction.EGRESS, is_profile=True)),
            "Rules for traffic from the endpoint that no tier decided; the first one that matches decides.",
        ),
        "labelsToApply": Field(
            labels, "Labels that endpoints with this profile have, unless they have other values for them."
        ),
    },
    lower=_lower,
    columns=(NAME,),
    wide=(NAME, Column("LABELS", _labels_cell)),
)
