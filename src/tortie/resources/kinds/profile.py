"""Profile: labels that endpoints inherit, and rules for traffic that no tier decided.

Source: reference resources.md section 8.9.
"""

from tortie.model.names import DEFAULT_ALLOW, Direction
from tortie.resources.fields import Field
from tortie.resources.kind import NAME, Column, Kind, Resource, meaning
from tortie.resources.metadata import labels
from tortie.resources.rulefields import RuleContext
from tortie.resources.rules import rules_of


def _check_name(name: str) -> str | None:
    return f"{DEFAULT_ALLOW} is provided by tortie and cannot be changed" if name == DEFAULT_ALLOW else None


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
    lower=meaning("profile"),
    columns=(NAME,),
    wide=(NAME, Column("LABELS", _labels_cell)),
)
