"""Text of YAML or JSON as plain values: for what is no resource, such as a patch. The limits are those of documents."""

from tortie.resources.document import read_documents
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import InvalidDocument, Problem

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def read_plain(text: str | bytes, source: str) -> Plain:
    """The one value that the text holds. Raises: InvalidDocument."""
    values = read_plain_documents(text, source)
    if len(values) != 1:
        message = f"expected one document, found {len(values)}"
        raise InvalidDocument([Problem(code="TT1011", message=message, source=source, remedy="write one")])
    return values[0]


def read_plain_documents(text: str | bytes, source: str) -> list[Plain]:
    """The value of each document of the text. Raises: InvalidDocument."""
    documents = list(read_documents(text, source))
    problems = [problem for document in documents for problem in document.problems.listed()]
    if problems:
        raise InvalidDocument(problems)
    return [plain(document.root) for document in documents if document.root is not None]


def plain(node: Node) -> Plain:
    """The value of the tree."""
    match node:
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value
