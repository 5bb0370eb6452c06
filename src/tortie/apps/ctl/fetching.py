"""Resources as they are stored, for commands that change them and write them back."""

import json
from typing import NamedTuple

from tortie.apps.answers import Document, SourceText
from tortie.apps.ctl.options import choice
from tortie.apps.ctl.target import choose
from tortie.apps.failure import Code, Failure
from tortie.apps.hits import called
from tortie.apps.requests import GetQuery


class Fetched(NamedTuple):
    """Documents of one kind, each with the resourceVersion that makes writing it back safe."""

    kind: str
    items: list[Document]

    def key(self, document: Document) -> tuple[object, object, str]:
        """What tells the document from others."""
        return document.get("apiVersion"), document.get("kind"), called(document)


def fetch(kind: str, names: list[str], namespace: str) -> Fetched:
    """The resources of these names. Raises: Failure NOT_FOUND for those that are not there."""
    answer = choose(choice()).get(kind, GetQuery(name=tuple(names), namespace=namespace))
    if answer["missing"]:
        missing = ", ".join(f"{answer['kind']}({name})" for name in answer["missing"])
        raise Failure(Code.NOT_FOUND, f"resource does not exist: {missing}; see tortie get {answer['kind'].lower()}")
    for name, why in answer["damaged"].items():
        raise Failure(Code.FAILED, f"{answer['kind']}({name}) is damaged: {why}, or delete it")
    return Fetched(answer["kind"], answer["items"])


def as_file(document: Document, source: str) -> SourceText:
    """The document as a file of that name."""
    # Not escaped: YAML readers do not join the two halves that JSON makes of some characters.
    return {"source": source, "text": json.dumps(document, indent=2, ensure_ascii=False)}
