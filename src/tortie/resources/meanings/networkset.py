"""What a NetworkSet means: the same as one of the global kind, and never one of them."""

from tortie.model.endpoint import NetworkSet
from tortie.resources.kind import Resource
from tortie.resources.lowering import in_namespace
from tortie.resources.meanings import globalnetworkset


def lower(resource: Resource) -> NetworkSet:
    """The set. Raises: as that of the global kind."""
    in_namespace(resource.namespace)  # without one it would be taken for a set of the global kind
    return globalnetworkset.lower(resource)
