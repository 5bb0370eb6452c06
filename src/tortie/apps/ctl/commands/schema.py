"""`tortie schema json` and `tortie schema crd`."""

import sys
from pathlib import Path

import click

from tortie.apps.ctl.completing import PATH, kind_words
from tortie.apps.ctl.show import out_json
from tortie.apps.failure import Code, Failure

KIND_ARGUMENT = click.argument("kind", required=False, shell_complete=kind_words)


@click.group()
def command() -> None:
    """Print schemas of documents: for editors, and for API servers of Kubernetes.

    \b
    Examples:
      tortie schema json > tortie.schema.json
      tortie schema crd | kubectl apply -f -
    """


@command.command("json")
@KIND_ARGUMENT
def json_command(kind: str | None) -> None:
    """Print a JSON Schema (draft 2020-12) for documents of every kind, or of this KIND.

    Editors that have a YAML language server take it with the first line of a document:
    # yaml-language-server: $schema=tortie.schema.json

    \b
    Examples:
      tortie schema json > tortie.schema.json
      tortie schema json hostendpoint
    """
    from tortie.apps.kinds import find_kind
    from tortie.resources.jsonschema import json_schema
    from tortie.resources.kinds import KINDS

    out_json(json_schema([find_kind(kind)] if kind else KINDS.values()))


@command.command("crd")
@KIND_ARGUMENT
@click.option("--folder", type=PATH, metavar="DIR", help="Write a file for each kind into this folder.")
def crd_command(kind: str | None, folder: str | None) -> None:
    """Print CustomResourceDefinitions (apiextensions.k8s.io/v1) of every kind, or of this KIND, as YAML.

    \b
    Examples:
      tortie schema crd | kubectl apply -f -
      tortie schema crd gnp
    """
    from tortie.apps.kinds import find_kind
    from tortie.apps.yamlout import to_yaml
    from tortie.resources.crd import definition, has_definition
    from tortie.resources.kinds import KINDS

    wanted = [find_kind(kind)] if kind else [each for each in KINDS.values() if has_definition(each)]
    if foreign := [each for each in wanted if not has_definition(each)]:
        raise Failure(Code.USAGE, f"{foreign[0].word} is a kind of {foreign[0].api_version}: Kubernetes defines it")
    texts = {f"{each.plural}.yaml": to_yaml(definition(each)) for each in wanted}
    if folder is None:
        sys.stdout.write("---\n".join(texts.values()))
        return
    for name, text in texts.items():
        path = Path(folder, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(Code.USAGE, f"{path}: {error.strerror}; give a folder that can be written") from None
