"""The forms in which `get` prints resources: `-o table`, `wide`, `yaml`, `json`, `name`, `custom-columns=A,B`."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from tortie.apps.answers import Document, GetAnswer, Table
from tortie.apps.ctl.show import out, out_json, table
from tortie.apps.documents import metadata_of, name_of

FORMS = ("table", "ps", "wide", "yaml", "yml", "json", "name", "custom-columns=A,B")
_SAME = {"ps": "table", "yml": "yaml"}
_NO_TEMPLATES = ("go-template", "template", "jsonpath")
_SERVER_SET = (
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


class Form(NamedTuple):
    """What -o asks for; `columns` are those of custom-columns."""

    name: str
    columns: tuple[str, ...] = ()

    @property
    def view(self) -> str:
        """The columns to ask for."""
        return "custom" if self.name == "custom-columns" else "wide" if self.name == "wide" else "table"


def parse_form(text: str) -> Form:
    """Raises: a usage error that says what to use instead."""
    name, equals, rest = text.partition("=")
    if name == "custom-columns":
        columns = tuple(filter(None, (one.strip() for one in rest.split(","))))
        if not columns:
            raise click.UsageError("need to specify at least one column, as in -o custom-columns=NAME,TIER")
        return Form(name, columns)
    if name.startswith(_NO_TEMPLATES):
        remedy = "use -o json with a program such as jq, or -o custom-columns=NAME,TIER"
        raise click.UsageError(f"output format {name!r} is not supported; {remedy}")
    if text not in FORMS or equals:
        raise click.UsageError(f"unrecognized output format {text[:60]!r}; use one of {', '.join(FORMS)}")
    return Form(_SAME.get(text, text))


def show_answers(answers: Sequence[GetAnswer], form: Form, *, is_named: bool, has_headings: bool) -> None:
    """Print what was found; `is_named`: single resources were asked for, not all of a kind."""
    if form.name in ("json", "yaml"):
        documents = [one for answer in answers for one in _documents(answer, is_named=is_named)]
        if not documents:
            return
        whole = documents[0] if len(documents) == 1 else documents
        if form.name == "json":
            out_json(whole)
        else:
            from tortie.apps.yamlout import to_yaml

            sys.stdout.write(to_yaml(whole))
        return
    for answer in answers:
        if form.name == "name":
            for document in answer["items"]:
                out(named(answer, document))
        else:
            _tables(answer["table"], is_named=is_named, has_headings=has_headings)


def named(answer: GetAnswer, document: Document) -> str:
    """`hostendpoint/node2-eth0`."""
    return f"{answer['kind'].lower()}/{name_of(document)}"


def exported(answer: GetAnswer) -> GetAnswer:
    """The answer without what only this datastore knows of its resources."""
    items = []
    for document in answer["items"]:
        kept = {name: value for name, value in metadata_of(document).items() if name not in _SERVER_SET}
        items.append({**document, "metadata": kept})
    return {**answer, "items": items}


def _documents(answer: GetAnswer, *, is_named: bool) -> list[Document]:
    """The resources, or the whole kind as a list object; each can be applied again."""
    if is_named:
        return answer["items"]
    return [
        {
            "apiVersion": answer["api_version"],
            "items": answer["items"],
            "kind": f"{answer['word']}List",
            "metadata": {"resourceVersion": str(answer["revision"])},
        }
    ]


def _tables(found: Table, *, is_named: bool, has_headings: bool) -> None:
    """One table, and with names one for each (reference cli.md section 7)."""
    groups = [[row] for row in found["rows"]] if is_named else [found["rows"]]
    for rows in groups:
        text = table({"heading": found["heading"], "rows": rows})
        if has_headings:
            out(text + "\n")
        elif rows:
            out(text.split("\n", 1)[1])
