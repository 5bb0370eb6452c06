"""Profile: labels that endpoints inherit, and rules for traffic that no tier decided.

Source: reference resources.md section 8.9.
"""

from tortie.model.names import DEFAULT_ALLOW, Direction
from tortie.resources.fields import Field
from tortie.resources.kind import NAME, Column, Draft, Kind, Resource, meaning
from tortie.resources.metadata import labels
from tortie.resources.rules import RuleContext, rules_of


def _check_name(name: str) -> str | None:
    return f"{DEFAULT_ALLOW} is provided by tortie and cannot be changed" if name == DEFAULT_ALLOW else None


def _complete(draft: Draft) -> None:
    """A profile has no defaults, and nothing holds between its fields."""


def _labels_cell(resource: Resource) -> str:
    applied = resource.spec.get("labelsToApply")
    return ",".join(f"{key}={value}" for key, value in sorted(applied.items())) if isinstance(applied, dict) else ""


KIND = Kind(
    name="Profile",
    plural="profiles",
    aliases=("profile", "pro", "pros"),
    check_name=_check_name,
    fields={
        "ingress": Field(rules_of(RuleContext(Direction.INGRESS, is_profile=True))),
        "egress": Field(rules_of(RuleContext(Direction.EGRESS, is_profile=True))),
        "labelsToApply": Field(labels),
    },
    complete=_complete,
    lower=meaning("profile"),
    columns=(NAME,),
    wide=(NAME, Column("LABELS", _labels_cell)),
)
