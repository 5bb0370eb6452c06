"""What a Profile means: labels that its endpoints inherit, and the rules behind all tiers."""

import msgspec

from tortie.model.packet import Direction
from tortie.model.policy import Profile
from tortie.resources.kind import Resource
from tortie.resources.lowering import HTTP_REFUSED, lower_rules
from tortie.resources.shapes import RuleShape


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    ingress: list[RuleShape] = []
    egress: list[RuleShape] = []
    labels_to_apply: dict[str, str] = {}


def lower(resource: Resource) -> Profile:
    """The profile."""
    shape = msgspec.convert(resource.spec, _Shape)
    has_http = any(rule.http is not None for rule in (*shape.ingress, *shape.egress))
    return Profile(
        resource.name,
        shape.labels_to_apply,
        lower_rules(shape.ingress, Direction.INGRESS),
        lower_rules(shape.egress, Direction.EGRESS),
        reason_refused=HTTP_REFUSED if has_http else None,
    )
