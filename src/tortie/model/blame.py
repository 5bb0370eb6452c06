"""Why a selector matches labels, or does not: the terms that made it so.

    blame(a == "x" && (has(b) || has(c)), {a: y, c: ..})  ──▶  a == "x"; a is "y"

The terms are those that would each have to turn, one of them or all, for the answer to turn; what has no part in the
answer is left out. Linear in the size of the selector.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, assert_never

from tortie.model.expression import And, Compare, Everything, Global, Has, In, Leaf, Node, Not, Or, compile_test, write
from tortie.model.selector import Selector


class Blamed(NamedTuple):
    """A term, whether it holds, and what it was held against; `found` None: there is no such label."""

    term: str
    holds: bool
    label: str | None
    found: str | None

    def __str__(self) -> str:
        if self.label is None:
            return f"{self.term} holds for everything"
        state = f"{self.label} is absent" if self.found is None else f'{self.label} is "{self.found}"'
        return f"!{self.term}: {state}" if self.holds else f"{self.term}: {state}"


def blame(selector: Selector, labels: Mapping[str, str]) -> tuple[Blamed, ...]:
    """The terms that decide, each once, in the order of the selector."""
    held: dict[int, bool] = {}
    holds = _judge(selector.root, labels, held)
    return tuple(dict.fromkeys(_terms(selector.root, labels, held, holds=holds)))


def _judge(node: Node, labels: Mapping[str, str], held: dict[int, bool]) -> bool:
    """Whether the node holds, remembered by its identity, as for every node below it: none is judged twice."""
    match node:
        case Not(operand):
            holds = not _judge(operand, labels, held)
        case And(operands):
            found = [_judge(operand, labels, held) for operand in operands]  # every one, for `_terms`
            holds = all(found)
        case Or(operands):
            found = [_judge(operand, labels, held) for operand in operands]
            holds = any(found)
        case Everything() | Global() | Has() | Compare() | In():
            holds = compile_test(node)(labels)
        case _:
            assert_never(node)
    held[id(node)] = holds
    return holds


def _terms(node: Node, labels: Mapping[str, str], held: Mapping[int, bool], *, holds: bool) -> Iterator[Blamed]:
    match node:
        case Not(operand):
            yield from _terms(operand, labels, held, holds=not holds)
        case And(operands) | Or(operands):
            for operand in operands:
                if held[id(operand)] is holds:
                    yield from _terms(operand, labels, held, holds=holds)
        case Everything() | Global() | Has() | Compare() | In():
            yield _blamed(node, labels, holds)
        case _:
            assert_never(node)


def _blamed(leaf: Leaf, labels: Mapping[str, str], holds: bool) -> Blamed:
    pieces: list[str] = []
    write(leaf, pieces)
    key = None if isinstance(leaf, Everything | Global) else leaf.key
    return Blamed("".join(pieces), holds, key, None if key is None else labels.get(key))
