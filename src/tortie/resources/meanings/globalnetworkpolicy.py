"""What a GlobalNetworkPolicy means: its rules, and the selector of the endpoints that it is for."""

from tortie.model.policy import Policy
from tortie.resources.kind import Resource
from tortie.resources.policylowering import key_of, lower_global


def lower(resource: Resource) -> Policy:
    """The policy. Raises: as `lower_global`."""
    return lower_global(key_of(resource), resource.spec)
