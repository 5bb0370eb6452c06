"""Staged policies: documents that say what would be enforced or deleted. Nothing of them is ever enforced.

Source: reference resources.md sections 8.3 and 8.4.
"""

from collections.abc import Collection, Iterable, Mapping

from tortie.resources.fields import Field, Json, Law, Scope
from tortie.resources.kind import Draft, spec_law
from tortie.resources.nodes import Mapping as MappingNode
from tortie.resources.nodes import Node, Scalar, Sequence
from tortie.resources.values import enum

ACTION = "stagedAction"
STAGED_ACTION = Field(
    enum("Set", "Delete", "Learn", "Ignore", may_be_empty=True),
    "What would be done with the enforced policy of this name: Set makes or changes it, Delete removes it.",
    default="Set",
)


def is_deletion(spec: Mapping[str, Json]) -> bool:
    """Whether the document stages the deletion of a policy."""
    return spec.get(ACTION) == "Delete"


def deletion_law(parts: Iterable[str], message: str) -> Law:
    """What `check_deletion` checks, for API servers; `parts`: conditions under which something else is said."""
    return spec_law(f"!has(spec.{ACTION}) || spec.{ACTION} != 'Delete' || !({' || '.join(parts)})", message)


def check_deletion(draft: Draft, kept: Collection[str], types: str, message: str) -> None:
    """Note every field that a staged deletion may not have: all but `kept`. `types`: a list that may be there, empty.

    An empty text or mapping and false count as not given, an empty list and the number 0 do not.
    """
    scope = Scope(draft.spec_node, "spec", draft.problems)
    for key in draft.spec_node.entries:
        node = draft.spec_node.get(key)
        is_zero = node is None or _is_zero(node) or (key == types and isinstance(node, Sequence) and not node.items)
        if key != ACTION and key not in kept and not is_zero and not scope.concern(key):
            scope.report("TT1321", (key,), message, remedy=f"remove {key}")


def _is_zero(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.value is False or node.value == ""
    return isinstance(node, MappingNode) and not node.entries
