"""What a NetworkPolicy means: its rules, for workloads of its namespace."""

from tortie.model.policy import Policy
from tortie.resources.kind import Resource
from tortie.resources.policylowering import key_of, lower_namespaced


def lower(resource: Resource) -> Policy:
    """The policy. Raises: as `lower_global`."""
    return lower_namespaced(key_of(resource), resource.spec)
