"""`tortie get`."""

import sys

import click

from tortie.apps.answers import Document, GetAnswer
from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.show import err, out, out_json, table
from tortie.apps.ctl.target import choose
from tortie.apps.failure import Code

FORMS = ("table", "wide", "yaml", "json", "name")


@click.command()
@with_target
@click.argument("kind", shell_complete=kind_words)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=resource_names)
@click.option("-o", "--output", type=click.Choice(FORMS), default="table", help="Form of the output.")
def command(kind: str, names: tuple[str, ...], output: str) -> int:
    """Show all resources of a KIND, or those of these NAMEs.

    \b
    Examples:
      tortie get hep -o wide
      tortie get gnp redis-accelerator-policy -o yaml
    """
    if not all(names):
        raise click.UsageError("resource name may not be empty")
    answer = choose(choice()).get(kind, list(names), wide=output == "wide")
    match output:
        case "json":
            if answer["items"] or not names:
                out_json(_document(answer, names))
        case "yaml":
            from tortie.apps.ctl.yamlout import to_yaml

            if answer["items"] or not names:
                sys.stdout.write(to_yaml(_document(answer, names)))
        case "name":
            for row in answer["table"]["rows"]:
                out(f"{answer['kind'].lower()}/{row[0]}")
        case _:
            _tables(answer, names)
    for name in answer["missing"]:
        err(f"tortie: resource does not exist: {answer['kind']}({name})")
    for name, why in answer["damaged"].items():
        err(f"tortie: {answer['kind']}({name}) is damaged: {why}, or delete it")
    if answer["damaged"]:
        return Code.FAILED.exit_code
    return Code.NOT_FOUND.exit_code if answer["missing"] else 0


def _document(answer: GetAnswer, names: tuple[str, ...]) -> Document | list[Document]:
    """One object, an array of several, or the whole kind as a list object; each can be applied again."""
    if names:
        return answer["items"][0] if len(names) == 1 else answer["items"]
    return {
        "apiVersion": "projectcalico.org/v3",
        "items": answer["items"],
        "kind": f"{answer['kind']}List",
        "metadata": {"resourceVersion": str(answer["revision"])},
    }


def _tables(answer: GetAnswer, names: tuple[str, ...]) -> None:
    """One table; with names one for each (reference cli.md section 7)."""
    found = answer["table"]
    groups = [[row] for row in found["rows"]] if names else [found["rows"]]
    for rows in groups:
        out(table({"heading": found["heading"], "rows": rows}) + "\n")
