"""GlobalNetworkSet: labelled networks that rules select like endpoints.

Source: reference resources.md section 8.6.
"""

from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, Resource, meaning, spec_cell
from tortie.resources.nodes import Mapping
from tortie.resources.values import net, net_identity

_NAMESPACE_LABEL = "projectcalico.org/namespace"


def _complete(draft: Draft) -> None:
    labels = draft.metadata.get("labels")
    if isinstance(labels, dict) and _NAMESPACE_LABEL in labels:
        node = draft.metadata_node
        at = (node.get("labels") if isinstance(node, Mapping) else None) or node
        path = f'metadata.labels["{_NAMESPACE_LABEL}"]'
        message = f"{_NAMESPACE_LABEL} is not a valid label name"
        draft.problems.add("TT1113", at, path, message, remedy="remove it")


def _nets_cell(resource: Resource) -> str:
    cell = spec_cell("nets")(resource)
    return cell if len(cell) <= 80 else f"{cell[:77]}..."


KIND = Kind(
    name="GlobalNetworkSet",
    plural="globalnetworksets",
    aliases=("globalnetworkset", "gns", "gnetsets"),
    fields={"nets": Field(list_of(net(strict=False, may_be_address=True), identity=net_identity))},
    complete=_complete,
    lower=meaning("globalnetworkset"),
    columns=(NAME,),
    wide=(NAME, Column("NETS", _nets_cell)),
)
