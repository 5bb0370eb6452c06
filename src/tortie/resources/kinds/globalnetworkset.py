"""GlobalNetworkSet: labelled networks that rules select like endpoints.

Source: reference resources.md section 8.6.
"""

import msgspec

from tortie.model.address import parse_net
from tortie.model.endpoint import NetworkSet
from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, Resource, cut, spec_cell
from tortie.resources.nodes import Mapping

_NAMESPACE_LABEL = "projectcalico.org/namespace"


def _complete(draft: Draft) -> None:
    labels = draft.metadata.get("labels")
    if isinstance(labels, dict) and _NAMESPACE_LABEL in labels:
        node = draft.metadata_node
        at = (node.get("labels") if isinstance(node, Mapping) else None) or node
        path = f'metadata.labels["{_NAMESPACE_LABEL}"]'
        message = f"{_NAMESPACE_LABEL} is not a valid label name"
        draft.problems.add("TT1113", at, path, message, remedy="remove it")


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nets: list[str] = []


def _lower(resource: Resource) -> NetworkSet:
    shape = msgspec.convert(resource.spec, _Shape)
    nets = tuple(dict.fromkeys([parse_net(text, strict=False) for text in shape.nets]))
    return NetworkSet(name=resource.name, namespace=resource.namespace, labels=resource.labels, nets=nets)


KIND = Kind(
    name="GlobalNetworkSet",
    plural="globalnetworksets",
    aliases=("globalnetworkset", "gns", "gnetsets"),
    fields={"nets": Field(list_of(net(strict=False, may_be_address=True), identity=net_identity))},
    complete=_complete,
    lower=_lower,
    columns=(NAME,),
    wide=(NAME, Column("NETS", cut(spec_cell("nets")))),
)
