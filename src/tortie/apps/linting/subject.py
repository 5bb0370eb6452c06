"""A resource that is looked at, and where its parts stand in the text."""

from dataclasses import dataclass

from tortie.resources.kind import Resource
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import Place

Way = tuple[str | int, ...]
"""Keys and indexes that lead from a resource to a part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A resource with the node that it was read from, None where the text is gone; `prefix`: the way to it in its
    document, which may be a list.
    """

    resource: Resource
    node: Mapping | None = None
    prefix: Way = ()

    def place(self, way: Way) -> Place:
        """Where that part stands, or the nearest thing around it that is there: a value, or the key of several."""
        if self.node is None:
            return Place(self.resource.line, 0)
        at: Node = self.node
        found = Place(at.line, at.column)
        for key in way:
            inner: Node | None = None
            label: Node | None = None
            if isinstance(at, Mapping) and isinstance(key, str):
                label, inner = at.entries.get(key, (None, None))
            elif isinstance(at, Sequence) and isinstance(key, int) and key < len(at.items):
                inner = at.items[key]
            if inner is None:
                break
            at = inner
            mark = at if label is None or isinstance(at, Scalar) else label
            found = Place(mark.line, mark.column)
        return found

    def part(self, way: Way) -> Node | None:
        """The node of that part; None where it is not written."""
        at: Node | None = self.node
        for key in way:
            if isinstance(at, Mapping) and isinstance(key, str):
                at = at.get(key)
            elif isinstance(at, Sequence) and isinstance(key, int) and key < len(at.items):
                at = at.items[key]
            else:
                return None
        return at
