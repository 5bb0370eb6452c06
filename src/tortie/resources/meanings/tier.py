"""What a Tier means: where its policies stand, and what its end does."""

from typing import Literal

import msgspec

from tortie.model.policy import Tier, TierAction
from tortie.resources.kind import Resource
from tortie.resources.kinds.tier import DEFAULT_ORDER


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    order: float = float(DEFAULT_ORDER)
    default_action: Literal["Deny", "Pass"] = "Deny"


def lower(resource: Resource) -> Tier:
    """The tier."""
    shape = msgspec.convert(resource.spec, _Shape)
    return Tier(resource.name, shape.order, TierAction(shape.default_action))
