"""What a network set of either kind means: networks that rules select by their labels."""

import msgspec

from tortie.model.endpoint import NetworkSet
from tortie.model.nets import Nets
from tortie.resources.kind import Resource
from tortie.resources.lowering import NAMESPACE_LABEL, Meaningless


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nets: list[str] = []


def lower(resource: Resource) -> NetworkSet:
    """The set; the calculation adds the labels that come from its namespace.

    Raises: msgspec.ValidationError, InvalidAddress, Meaningless.
    """
    if NAMESPACE_LABEL in resource.labels:
        raise Meaningless(f"a network set with the label {NAMESPACE_LABEL}")
    shape = msgspec.convert(resource.spec, _Shape)
    nets = Nets.parse(shape.nets)
    return NetworkSet(name=resource.name, namespace=resource.namespace, labels=resource.labels, nets=nets)
