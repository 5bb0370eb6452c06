"""The tree of a selector: its nodes, their canonical text, their meaning as a function, and what an index may know.

Nodes are made by the parser in `selector.py` and by nothing else. A tree is at most `MAX_DEPTH` deep, so that walking
it never meets Python's own recursion limit, and working on it takes time in proportion to its size.
Source: reference selectors.md sections 3, 4 and 7.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, assert_never

MAX_DEPTH = 350
"""Upstream has no limit; within the 1,024 characters of most fields nothing is nested deeper than this."""
MAX_VALUES = 256
"""A restriction by more values than this, of several terms together, is one by presence: it is looser, and cheap."""


class Operator(Enum):
    """How a label's value is compared with a text; the value is the canonical spelling."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    CONTAINS = "contains"
    STARTS_WITH = "starts with"
    ENDS_WITH = "ends with"


@dataclass(frozen=True, slots=True)
class Everything:
    """`all()` and the empty selector."""


@dataclass(frozen=True, slots=True)
class Global:
    """`global()`: matches like `all()`; lowering of a rule gives it its meaning."""


@dataclass(frozen=True, slots=True)
class Has:
    """`has(key)`."""

    key: str


@dataclass(frozen=True, slots=True)
class Compare:
    """`key operator "value"`; an absent label is only ever NOT_EQUAL."""

    key: str
    operator: Operator
    value: str


@dataclass(frozen=True, slots=True)
class In:
    """`key in {...}`, or `not in` when negated, which an absent label fulfils. Values are sorted and distinct."""

    key: str
    values: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more operands, in the order written."""

    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more operands, in the order written."""

    operands: tuple["Node", ...]


Leaf = Everything | Global | Has | Compare | In
Node = Leaf | Not | And | Or
Test = Callable[[Mapping[str, str]], bool]


def quote(value: str) -> str:
    """The string literal; the language has no escapes, so a value with both kinds of quote cannot occur."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def write(node: Node, out: list[str]) -> None:
    """Append the canonical text of the node, in pieces (joined once, so that deep trees stay linear)."""
    match node:
        case Everything():
            out.append("all()")
        case Global():
            out.append("global()")
        case Has(key):
            out.append(f"has({key})")
        case Compare(key, operator, value):
            out.append(f"{key} {operator.value} {quote(value)}")
        case In(key, values, negated):
            out.append(f"{key} {'not in' if negated else 'in'} {{{', '.join(map(quote, values))}}}")
        case Not(operand):
            out.append("!")
            write(operand, out)
        case And(operands) | Or(operands):
            glue = "("
            for operand in operands:
                out.append(glue)
                write(operand, out)
                glue = " && " if isinstance(node, And) else " || "
            out.append(")")
        case _:
            assert_never(node)


def compile_test(node: Node) -> Test:
    """The node's meaning as a function of the labels."""
    match node:
        case Everything() | Global():
            return lambda labels: True
        case Has(key):
            return lambda labels: key in labels
        case Compare(key, operator, value):
            return _compile_compare(key, operator, value)
        case In(key, values, negated):
            members = frozenset(values)
            if negated:
                return lambda labels: labels.get(key) not in members
            return lambda labels: labels.get(key) in members
        case Not(operand):
            test = compile_test(operand)
            return lambda labels: not test(labels)
        case And(operands):
            return _compile_and([compile_test(operand) for operand in operands])
        case Or(operands):
            return _compile_or([compile_test(operand) for operand in operands])
        case _:
            assert_never(node)


def _compile_compare(key: str, operator: Operator, value: str) -> Test:
    # `get` gives None for an absent label, which differs from every text: `!=` is true and `==` false, as they must be.
    match operator:
        case Operator.EQUAL:
            return lambda labels: labels.get(key) == value
        case Operator.NOT_EQUAL:
            return lambda labels: labels.get(key) != value
        case Operator.CONTAINS:
            return lambda labels: (found := labels.get(key)) is not None and value in found
        case Operator.STARTS_WITH:
            return lambda labels: (found := labels.get(key)) is not None and found.startswith(value)
        case Operator.ENDS_WITH:
            return lambda labels: (found := labels.get(key)) is not None and found.endswith(value)
        case _:
            assert_never(operator)


def _compile_and(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda labels: first(labels) and second(labels)

    def holds(labels: Mapping[str, str]) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost one more frame for each level of the tree
            if not test(labels):
                return False
        return True

    return holds


def _compile_or(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda labels: first(labels) or second(labels)

    def holds(labels: Mapping[str, str]) -> bool:
        for test in tests:  # noqa: SIM110 - as above
            if test(labels):
                return True
        return False

    return holds


def rewrite(node: Node, leaf: Callable[[Leaf], Node]) -> Node:
    """The same tree with every leaf replaced by what `leaf` makes of it."""
    match node:
        case Not(operand):
            return Not(rewrite(operand, leaf))
        case And(operands):
            return And(tuple([rewrite(operand, leaf) for operand in operands]))
        case Or(operands):
            return Or(tuple([rewrite(operand, leaf) for operand in operands]))
        case Everything() | Global() | Has() | Compare() | In():
            return leaf(node)
        case _:
            assert_never(node)


class Restriction(NamedTuple):
    """What every matching label map has in common for one label.

    `values` None: any value. Empty values, or present and absent together: nothing can match.
    """

    must_be_present: bool = False
    must_be_absent: bool = False
    values: frozenset[str] | None = None


def restrictions(node: Node) -> dict[str, Restriction]:
    """A lower bound of what the node asks of each label; a label that is not in it is unrestricted."""
    match node:
        case Has(key):
            return {key: Restriction(must_be_present=True)}
        case Compare(key, operator, value) if operator is not Operator.NOT_EQUAL:
            values = frozenset((value,)) if operator is Operator.EQUAL else None
            return {key: Restriction(must_be_present=True, values=values)}
        case In(key, values, negated=False):
            return {key: Restriction(must_be_present=True, values=frozenset(values))}
        case Not(Has(key)):
            return {key: Restriction(must_be_absent=True)}
        case And(operands):
            return _restrict_and([restrictions(operand) for operand in operands])
        case Or(operands):
            return _restrict_or([restrictions(operand) for operand in operands])
        case _:
            return {}


def _restrict_and(parts: list[dict[str, Restriction]]) -> dict[str, Restriction]:
    # The largest takes in the others, so that no entry is copied more often than the logarithm of their number.
    largest = max(range(len(parts)), key=lambda number: len(parts[number]))
    joined = parts.pop(largest)
    for part in parts:
        for key, new in part.items():
            old = joined.get(key, Restriction())
            if old.values is None or new.values is None:
                values = new.values if old.values is None else old.values
            else:
                values = old.values & new.values
            joined[key] = Restriction(
                old.must_be_present or new.must_be_present, old.must_be_absent or new.must_be_absent, values
            )
    return joined


def _restrict_or(parts: list[dict[str, Restriction]]) -> dict[str, Restriction]:
    joined: dict[str, Restriction] = {}
    for key in min(parts, key=len):  # what is kept is restricted on every side
        sides = [part[key] for part in parts if key in part]
        if len(sides) < len(parts):
            continue
        present = all(side.must_be_present for side in sides)
        absent = all(side.must_be_absent for side in sides)
        if present or absent:
            joined[key] = Restriction(present, absent, _union(sides) if present else None)
    return joined


def _union(sides: list[Restriction]) -> frozenset[str] | None:
    """Every value that some side allows; None where one side allows any."""
    values = [side.values for side in sides if side.values is not None]
    if len(values) < len(sides) or sum(map(len, values)) > MAX_VALUES:
        return None
    return frozenset().union(*values)
