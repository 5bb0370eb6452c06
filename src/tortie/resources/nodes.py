"""The tree of a document: what the reader of text makes, and the kinds read. Every node knows where it stands.

Apart from `document.py`, so that commands that read no text do not load the YAML library.
"""

from typing import NamedTuple

from tortie.resources.scalars import Value


class Scalar(NamedTuple):
    """A leaf: its value as a Python scalar, and the text it was read from.

    `verbatim`: how many columns after `column` the text begins, where it stands there character for character.
    """

    line: int
    column: int
    value: Value
    text: str
    verbatim: int | None = None


class Sequence(NamedTuple):
    """A list."""

    line: int
    column: int
    items: "list[Node]"


class Mapping(NamedTuple):
    """An object; keys are distinct texts, each with its own position."""

    line: int
    column: int
    entries: "dict[str, tuple[Scalar, Node]]"

    def get(self, key: str) -> "Node | None":
        """The value of a key; None where it is absent or null."""
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry[1], Scalar) and entry[1].value is None):
            return None
        return entry[1]


Node = Scalar | Sequence | Mapping
