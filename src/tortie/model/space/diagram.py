"""Decision diagrams over intervals: a map from packets to values, exact, with equal parts stored once.

    node  = a field, cut into intervals, and where each of them leads
    leaf  = the value of every packet that came to it; NOTHING where there is none

On each way down fields come in one order, and a field that does not matter is not there. Equal nodes are one object, so
that equality is identity and every pair of nodes is merged once. What is made here lives as long as its `Diagrams`.

Source: docs/decisions/0013-sets-of-packets.md.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

_BELOW_ALL_FIELDS = 1 << 10
_MUCH_WIDER = 8
"""From this ratio of widths on, slices of the wider node are looked up instead of walking along it."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """The end of a way."""

    field: ClassVar[int] = _BELOW_ALL_FIELDS
    value: Hashable


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A field; `bounds` are the last values of its intervals in order, `children` where they lead."""

    field: int
    bounds: tuple[int, ...]
    children: tuple["Diagram", ...]


Diagram = Node | Leaf
NOTHING = Leaf(None)
"""The packets that a map says nothing about."""
Merge = Callable[["Diagrams", Diagram, Diagram], Diagram | None]
"""What two diagrams give where that is known without looking below them, else None; of two leaves it always is."""


def otherwise(_: "Diagrams", one: Diagram, other: Diagram) -> Diagram | None:
    """The first map; where it says nothing, the second."""
    if one is NOTHING:
        return other
    if other is NOTHING or one is other or isinstance(one, Leaf):
        return one
    return None


def within(_: "Diagrams", one: Diagram, other: Diagram) -> Diagram | None:
    """The first map, where the second says something."""
    if one is NOTHING or other is NOTHING:
        return NOTHING
    if one is other or isinstance(other, Leaf):
        return one
    return None


def without(_: "Diagrams", one: Diagram, other: Diagram) -> Diagram | None:
    """The first map, where the second says nothing."""
    if other is NOTHING:
        return one
    if one is NOTHING or one is other or isinstance(other, Leaf):
        return NOTHING
    return None


class Diagrams:
    """Where nodes are made, so that equal ones are one."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, tuple[int, ...], tuple[Diagram, ...]], Node] = {}
        self._leaves: dict[Hashable, Leaf] = {None: NOTHING}
        self._merged: dict[Merge, dict[tuple[Diagram, Diagram], Diagram]] = {}

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    def leaf(self, value: Hashable) -> Leaf:
        """The leaf of that value."""
        return self._leaves.setdefault(value, Leaf(value))

    def node(self, field: int, bounds: Sequence[int], children: Sequence[Diagram]) -> Diagram:
        """The node, with neighbours that lead to the same place as one interval; that place, where all do."""
        kept_bounds: list[int] = []
        kept: list[Diagram] = []
        for bound, child in zip(bounds, children, strict=True):
            if kept and kept[-1] is child:
                kept_bounds[-1] = bound
            else:
                kept_bounds.append(bound)
                kept.append(child)
        if len(kept) == 1:
            return kept[0]
        key = field, tuple(kept_bounds), tuple(kept)
        found = self._nodes.get(key)
        if found is None:
            found = self._nodes[key] = Node(*key)
        return found

    def merge(self, how: Merge, one: Diagram, other: Diagram) -> Diagram:
        """Both maps as one."""
        found = how(self, one, other)
        if found is not None:
            return found
        known = self._merged.setdefault(how, {})
        key = one, other
        found = known.get(key)
        if found is None:
            found = known[key] = self._merge_below(how, one, other)
        return found

    def fold(self, how: Merge, diagrams: Iterable[Diagram]) -> Diagram:
        """Many as one, neighbours first: small with small, so that the large ones are few."""
        left = list(diagrams)
        while len(left) > 1:
            pairs = [self.merge(how, left[index], left[index + 1]) for index in range(0, len(left) - 1, 2)]
            left = [*pairs, *left[len(pairs) * 2 :]]
        return left[0] if left else NOTHING

    def relabel(self, diagram: Diagram, change: Callable[[Hashable], Hashable]) -> Diagram:
        """The map with other values; None takes packets out of it."""
        known: dict[Diagram, Diagram] = {NOTHING: NOTHING}

        def relabelled(one: Diagram) -> Diagram:
            found = known.get(one)
            if found is None:
                if isinstance(one, Leaf):
                    found = self.leaf(change(one.value))
                else:
                    found = self.node(one.field, one.bounds, [relabelled(child) for child in one.children])
                known[one] = found
            return found

        return relabelled(diagram)

    def parts(self, diagram: Diagram) -> dict[Hashable, Diagram]:
        """For each value the map of that value alone: all of them at once, which costs little more than one."""
        known: dict[Diagram, dict[Hashable, Diagram]] = {NOTHING: {}}

        def split(one: Diagram) -> dict[Hashable, Diagram]:
            found = known.get(one)
            if found is None:
                found = known[one] = {one.value: one} if isinstance(one, Leaf) else self._split(one, split)
            return found

        return split(diagram)

    def _split(self, node: Node, split: Callable[[Diagram], dict[Hashable, Diagram]]) -> dict[Hashable, Diagram]:
        """The node of each value below it; intervals that do not lead to the value are joined."""
        bounds: dict[Hashable, list[int]] = {}
        children: dict[Hashable, list[Diagram]] = {}
        before = -1
        for bound, child in zip(node.bounds, node.children, strict=True):
            for value, part in split(child).items():
                its_bounds, its_children = bounds.setdefault(value, []), children.setdefault(value, [])
                if before > (its_bounds[-1] if its_bounds else -1):
                    its_bounds.append(before)
                    its_children.append(NOTHING)
                its_bounds.append(bound)
                its_children.append(part)
            before = bound
        for value, its_bounds in bounds.items():
            if its_bounds[-1] < node.bounds[-1]:
                its_bounds.append(node.bounds[-1])
                children[value].append(NOTHING)
        return {value: self.node(node.field, bounds[value], children[value]) for value in bounds}

    def _merge_below(self, how: Merge, one: Diagram, other: Diagram) -> Diagram:
        """The merged children of whichever node has the earlier field; of both where it is the same."""
        if one.field < other.field:
            upper = cast(Node, one)
            return self.node(upper.field, upper.bounds, self._each(upper.children, lambda c: self.merge(how, c, other)))
        upper = cast(Node, other)
        if one.field > other.field:
            return self.node(upper.field, upper.bounds, self._each(upper.children, lambda c: self.merge(how, one, c)))
        mine = cast(Node, one)
        if len(mine.bounds) > _MUCH_WIDER * len(upper.bounds):
            pieces = self._sliced(mine, upper, lambda wide, narrow: self.merge(how, wide, narrow))
        elif len(upper.bounds) > _MUCH_WIDER * len(mine.bounds):
            pieces = self._sliced(upper, mine, lambda wide, narrow: self.merge(how, narrow, wide))
        else:
            pieces = self._walked(how, mine, upper)
        return self.node(mine.field, *pieces)

    def _each(self, children: Iterable[Diagram], change: Callable[[Diagram], Diagram]) -> list[Diagram]:
        """Every child changed; those that are the same are changed once."""
        listed = list(children)
        changed = {child: change(child) for child in dict.fromkeys(listed)}
        return [changed[child] for child in listed]

    def _sliced(
        self, wide: Node, narrow: Node, change: Callable[[Diagram, Diagram], Diagram]
    ) -> tuple[list[int], list[Diagram]]:
        """The intervals of both, and what they lead to: a slice of the wide node for each interval of the narrow."""
        bounds: list[int] = []
        children: list[Diagram] = []
        start = 0
        for bound, below in zip(narrow.bounds, narrow.children, strict=True):
            end = bisect_left(wide.bounds, bound, start)
            bounds += wide.bounds[start:end]
            bounds.append(bound)
            children += self._each(wide.children[start : end + 1], lambda child, below=below: change(child, below))  # type: ignore[misc]
            start = end + (end < len(wide.bounds) and wide.bounds[end] == bound)
        return bounds, children

    def _walked(self, how: Merge, one: Node, other: Node) -> tuple[list[int], list[Diagram]]:
        """The intervals of both, and what they lead to, along both at once."""
        bounds: list[int] = []
        children: list[Diagram] = []
        mine, theirs, merge = 0, 0, self.merge
        my_bounds, my_children, their_bounds, their_children = one.bounds, one.children, other.bounds, other.children
        last: Diagram | None = None
        while mine < len(my_bounds):
            child = merge(how, my_children[mine], their_children[theirs])
            my_bound, their_bound = my_bounds[mine], their_bounds[theirs]
            bound = my_bound if my_bound < their_bound else their_bound
            if child is last:
                bounds[-1] = bound
            else:
                bounds.append(bound)
                children.append(child)
                last = child
            mine += my_bound == bound
            theirs += their_bound == bound
        return bounds, children


def value_of(diagram: Diagram, values: Sequence[int]) -> Hashable:
    """What the map says of the packet with those values, by field."""
    while isinstance(diagram, Node):
        diagram = diagram.children[bisect_left(diagram.bounds, values[diagram.field])]
    return diagram.value


def below(diagram: Diagram) -> Iterator[Diagram]:
    """Every node and leaf, each once."""
    seen: dict[Diagram, None] = {diagram: None}
    waiting = [diagram]
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, Node):
            new = [child for child in dict.fromkeys(one.children) if child not in seen]
            seen.update(dict.fromkeys(new))
            waiting += new


def values_below(diagram: Diagram) -> set[Hashable]:
    """Every value that some packet has."""
    return {one.value for one in below(diagram) if isinstance(one, Leaf) and one is not NOTHING}


def intervals(node: Node) -> Iterator[tuple[int, int, Diagram]]:
    """First value, last value and child of each interval that leads to something."""
    first = 0
    for bound, child in zip(node.bounds, node.children, strict=True):
        if child is not NOTHING:
            yield first, bound, child
        first = bound + 1


def regions(diagram: Diagram) -> int:
    """How many ways lead from the top to a value: regions that do not overlap and are looked at one by one."""
    known: dict[Diagram, int] = {}

    def count(one: Diagram) -> int:
        if isinstance(one, Leaf):
            return int(one is not NOTHING)
        if one not in known:
            known[one] = sum(count(child) for child in one.children)
        return known[one]

    return count(diagram)
