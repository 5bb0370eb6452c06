"""Where rules stand: from a rule of the evaluator back to the line of its file, or to the revision that stored it.

Made only where somebody wants to see a trace: reading the text a second time costs as much as the first.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Table
from functools import cached_property

from tortie.apps.answers import SourceText
from tortie.apps.kinds import POLICIES
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey
from tortie.model.verdict import RuleRef
from tortie.resources.document import read_documents
from tortie.resources.kinds import WORDS
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.store.protocol import Key

DECIDING = (*POLICIES, "Profile", "Tier", "HostEndpoint")
"""Kinds of documents that decide about packets."""
_CONVERTED = ("KubernetesNetworkPolicy", "KubernetesClusterNetworkPolicy", "StagedKubernetesNetworkPolicy")
"""Kinds whose rules are not counted as in their documents."""


class Origins:
    """The lines of the documents in some texts, and the revisions of those that are stored.

    `instead`: staged policies by the name of the enforced one that they stand for, whose place is that of the staged.
    """

    def __init__(
        self,
        texts: Iterable[SourceText],
        revisions: Table[Key, int] | None = None,
        instead: Table[PolicyKey, PolicyKey] | None = None,
    ) -> None:
        self._texts = tuple(texts)
        self._revisions, self._instead = revisions or {}, instead or {}

    def named(self, key: PolicyKey) -> PolicyKey:
        """The policy's document: itself, or the staged one that stands for it."""
        return self._instead.get(key, key)

    def line(self, rule: RuleRef, direction: Direction) -> str:
        """`file:line`; empty for what no text says, such as built-in profiles."""
        key = self.named(rule.policy)
        for one in (key, key._replace(namespace="")):  # a document may leave its namespace to be filled in
            if found := self._lines.get((one, direction.value, rule.index)) or self._lines.get((one, "", -1)):
                return found
        return ""

    def place(self, rule: RuleRef, direction: Direction) -> str:
        """`file:line`, `revision 12` for what is stored, or nothing where neither is known."""
        if line := self.line(rule, direction):
            return line
        revision = self._revisions.get(Key(*self.named(rule.policy)))
        return "" if revision is None else f"revision {revision}"

    @cached_property
    def _lines(self) -> dict[tuple[PolicyKey, str, int], str]:
        found: dict[tuple[PolicyKey, str, int], str] = {}
        for text in self._texts:
            source = text["source"]
            for document in read_documents(text["text"].encode("utf-8", "surrogateescape"), source):
                for one in _documents(document.root) if document.root is not None else ():
                    key = _key(one)
                    found.setdefault((key, "", -1), f"{source}:{one.line}")
                    for direction, index, line in _rules(one) if key.kind not in _CONVERTED else ():
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
    said = _word(node.get("apiVersion")), _word(node.get("kind"))
    kind = WORDS[said].name if said in WORDS else said[1]
    return PolicyKey(kind, _word(inside.get("namespace")), _word(inside.get("name")))


def _word(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""
