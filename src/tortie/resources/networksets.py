"""What both kinds of network set have in common: labelled networks that rules select like endpoints.

Source: reference resources.md section 8.6, selectors.md section 9.
"""

import msgspec

from tortie.model.address import parse_net
from tortie.model.endpoint import NetworkSet
from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import Field, Fields, list_of
from tortie.resources.kind import NAME, Column, Draft, Resource, cut, spec_cell
from tortie.resources.lowering import NAMESPACE_LABEL, Meaningless
from tortie.resources.nodes import Mapping

FIELDS: Fields = {
    "nets": Field(
        list_of(net(strict=False, may_be_address=True), identity=net_identity),
        "Networks and single addresses of both IP versions; host bits count for nothing.",
    )
}


def complete(draft: Draft) -> None:
    """Refuse the label that says in which namespace something is: that is not for documents to say."""
    labels = draft.metadata.get("labels")
    if isinstance(labels, dict) and NAMESPACE_LABEL in labels:
        node = draft.metadata_node
        at = (node.get("labels") if isinstance(node, Mapping) else None) or node
        path = f'metadata.labels["{NAMESPACE_LABEL}"]'
        message = f"{NAMESPACE_LABEL} is not a valid label name"
        draft.problems.add("TT1113", at, path, message, remedy="remove it")


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nets: list[str] = []


def lower(resource: Resource) -> NetworkSet:
    """The set; the calculation adds the labels that come from its namespace.

    Raises: msgspec.ValidationError, InvalidAddress, Meaningless.
    """
    if NAMESPACE_LABEL in resource.labels:
        raise Meaningless(f"a network set with the label {NAMESPACE_LABEL}")
    shape = msgspec.convert(resource.spec, _Shape)
    nets = tuple(dict.fromkeys([parse_net(text, strict=False) for text in shape.nets]))
    return NetworkSet(name=resource.name, namespace=resource.namespace, labels=resource.labels, nets=nets)


COLUMNS = (NAME,)
WIDE = (NAME, Column("NETS", cut(spec_cell("nets"))))
