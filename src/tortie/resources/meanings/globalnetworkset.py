"""What a GlobalNetworkSet means: networks that rules select by their labels."""

import msgspec

from tortie.model.address import parse_net
from tortie.model.endpoint import NetworkSet
from tortie.resources.kind import Resource


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nets: list[str] = []


def lower(resource: Resource) -> NetworkSet:
    """The set."""
    shape = msgspec.convert(resource.spec, _Shape)
    nets = tuple(dict.fromkeys([parse_net(text, strict=False) for text in shape.nets]))
    return NetworkSet(name=resource.name, namespace=resource.namespace, labels=resource.labels, nets=nets)
