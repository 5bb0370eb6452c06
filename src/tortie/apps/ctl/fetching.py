"""Resources as they are stored, for commands that change them and write them back."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from tortie.apps.answers import DescribeAnswer, Document, GetAnswer, SourceText
from tortie.apps.ctl import show
from tortie.apps.ctl.options import choice
from tortie.apps.ctl.target import choose
from tortie.apps.documents import called
from tortie.apps.failure import Code, Failure
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
    for failure in complaints(answer):
        raise failure
    return Fetched(answer["kind"], answer["items"])


def complaints(answer: GetAnswer | DescribeAnswer) -> list[Failure]:
    """What was asked for and is not there, and what is damaged."""
    found = []
    if missing := answer["missing"]:
        where = " -A" if any("/" in name for name in missing) else ""
        named = ", ".join(f"{answer['kind']}({name})" for name in missing)
        text = f"resource does not exist: {named}; see tortie get {answer['kind'].lower()}{where}"
        found.append(Failure(Code.NOT_FOUND, text))
    for name, why in answer["damaged"].items():
        found.append(Failure(Code.FAILED, f"{answer['kind']}({name}) is damaged: {why}, or delete it"))
    return found


def told(answers: Sequence[GetAnswer | DescribeAnswer]) -> int:
    """Print the complaints; the exit code, where what is damaged weighs more than what is not there."""
    found = [failure for answer in answers for failure in complaints(answer)]
    for each in found:
        show.failure(each)
    codes = {each.code for each in found}
    first = next((code for code in (Code.FAILED, Code.NOT_FOUND) if code in codes), None)
    return 0 if first is None else first.exit_code


def as_file(document: Document, source: str) -> SourceText:
    """The document as a file of that name."""
    # Not escaped: YAML readers do not join the two halves that JSON makes of some characters.
    return {"source": source, "text": json.dumps(document, indent=2, ensure_ascii=False)}
