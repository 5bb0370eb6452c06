"""What both kinds of network set have in common: labelled networks that rules select like endpoints.

Source: reference resources.md section 8.6, selectors.md section 9.
"""

from tortie.model.names import NAMESPACE_LABEL
from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import Field, Fields, list_of
from tortie.resources.kind import NAME, Column, Draft, cut, spec_cell
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


COLUMNS = (NAME,)
WIDE = (NAME, Column("NETS", cut(spec_cell("nets"))))
