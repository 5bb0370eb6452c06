"""Where rules stand: from a rule of the evaluator back to the file and line of its document.

Made only where somebody wants to see a trace: reading the text a second time costs as much as the first.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

from tortie.apps.answers import SourceText
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey
from tortie.model.verdict import RuleRef
from tortie.resources.document import read_documents
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence


class Origins:
    """The lines of the documents in some texts."""

    def __init__(self, texts: Iterable[SourceText]) -> None:
        self._texts = tuple(texts)

    def line(self, rule: RuleRef, direction: Direction) -> str:
        """`file:line`; empty for what no document says, such as built-in profiles."""
        key = rule.policy
        found = self._lines.get((key, direction.value, rule.index)) or self._lines.get((key, "", -1))
        return found or ""

    @cached_property
    def _lines(self) -> dict[tuple[PolicyKey, str, int], str]:
        found: dict[tuple[PolicyKey, str, int], str] = {}
        for text in self._texts:
            source = text["source"]
            for document in read_documents(text["text"].encode("utf-8", "surrogateescape"), source):
                for one in _documents(document.root) if document.root is not None else ():
                    key = _key(one)
                    found.setdefault((key, "", -1), f"{source}:{one.line}")
                    for direction, index, line in _rules(one):
                        found.setdefault((key, direction, index), f"{source}:{line}")
        return found


def _documents(node: Node) -> Iterator[Mapping]:
    """Every mapping that says its kind, those inside others included."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _documents(item)
    elif isinstance(node, Mapping):
        if node.get("metadata") is not None:
            yield node
        for below in ("resources", "items"):
            if (inner := node.get(below)) is not None:
                yield from _documents(inner)


def _rules(node: Mapping) -> Iterator[tuple[str, int, int]]:
    spec = node.get("spec")
    for direction in Direction:
        rules = spec.get(direction.value) if isinstance(spec, Mapping) else None
        if isinstance(rules, Sequence):
            for index, rule in enumerate(rules.items):
                yield direction.value, index, rule.line


def _key(node: Mapping) -> PolicyKey:
    metadata = node.get("metadata")
    inside = metadata if isinstance(metadata, Mapping) else node
    return PolicyKey(_word(node.get("kind")), _word(inside.get("namespace")), _word(inside.get("name")))


def _word(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""
