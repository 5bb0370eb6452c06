"""Files to what is looked at: each document with its resources as subjects, or with what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tortie.apps.answers import SourceText
from tortie.apps.decoding import settled, without_documents
from tortie.apps.linting.subject import Subject
from tortie.resources.codec import Reading, read_trees, resource_nodes
from tortie.resources.kind import Resource
from tortie.resources.nodes import Node
from tortie.store.protocol import Key


@dataclass(frozen=True, slots=True)
class Page:
    """A document of a file. `root` None: it is no tree. No subjects where anything is wrong with it, nor in a question
    about policy, which is its own command's business: its resources may be meant to be odd."""

    reading: Reading
    root: Node | None
    subjects: tuple[Subject, ...]


def read_pages(files: Sequence[SourceText]) -> list[Page]:
    """Every document of all files in their order."""
    pages: list[Page] = []
    first: dict[Key, Resource] = {}
    for file in files:
        before = len(pages)
        for read, root in read_trees(file["text"].encode("utf-8", "surrogateescape"), file["source"]):
            pages.append(_page(settled(read, "", first), root))
        if len(pages) == before:
            pages.append(_page(without_documents(file["source"]), None))
    return pages


def _page(reading: Reading, root: Node | None) -> Page:
    if reading.is_question:
        return Page(reading._replace(problems=()), None, ())
    if reading.problems or root is None:
        return Page(reading, root, ())
    stand = zip(reading.resources, resource_nodes(root), strict=True)
    return Page(reading, root, tuple(Subject(resource, node, way) for resource, (way, node) in stand))
