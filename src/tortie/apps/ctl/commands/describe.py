"""`tortie describe`."""

import click

from tortie.apps.answers import DescriptionAnswer
from tortie.apps.ctl.completing import kind_words, resource_names
from tortie.apps.ctl.fetching import told
from tortie.apps.ctl.names import some
from tortie.apps.ctl.options import choice, namespace, with_target
from tortie.apps.ctl.show import out, out_json
from tortie.apps.ctl.target import choose
from tortie.apps.ctl.words import asked_of_one_kind
from tortie.apps.documents import called, metadata_of
from tortie.apps.requests import GetQuery

MOST = 20
"""Others that a relation lists."""


@click.command()
@with_target
@click.argument("kind", shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="[NAME]...", shell_complete=resource_names)
@namespace
@click.option("-A", "-a", "--all-namespaces", "everywhere", is_flag=True, help="Of every namespace.")
@click.option(
    "-l", "--selector", default="", metavar="EXPR", help="Those with such labels: a=b,c or a == 'b' && has(c)."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(kind: str, resources: tuple[str, ...], namespace: str, everywhere: bool, selector: str, output: str) -> int:
    """Show resources with every field, what they select, what selects them, and what is wrong with them.

    \b
    Examples:
      tortie describe gnp web
      tortie describe hep -l role=web
    """
    kind, resources = asked_of_one_kind((kind, *resources), "describe")
    query = GetQuery(name=resources, namespace=namespace, all_namespaces=everywhere, selector=selector)
    answer = choose(choice()).describe(kind, query)
    if output == "json":
        out_json(answer["items"])
    else:
        found = "\n\n".join("\n".join(described(one)) for one in answer["items"])
        if found or not (answer["missing"] or answer["damaged"]):
            out(found or f"There is no {answer['kind']}")
    return told([answer])


def described(one: DescriptionAnswer) -> list[str]:
    """A resource as lines for people."""
    from tortie.apps.yamlout import to_yaml

    document = one["document"]
    metadata = metadata_of(document)
    lines = [f"{document['kind']} {called(document)}"]
    for title in ("labels", "annotations"):
        pairs = metadata.get(title) or {}
        lines += [f"{title.capitalize()}:", *(f"  {key}={value}" for key, value in sorted(pairs.items()))] * bool(pairs)
    told = [str(metadata[key]) for key in ("creationTimestamp", "uid") if metadata.get(key)]
    if told:
        lines.append(f"Created:  {', uid '.join(told)}")
    if version := metadata.get("resourceVersion"):
        lines.append(f"Revision: {version}")
    for title in ("spec", "status"):
        if value := document.get(title):
            lines += [f"{title.capitalize()}:", *(f"  {line}" for line in to_yaml(value).splitlines())]
    for relation in one["relations"]:
        lines.append(f"{relation['title']}: {some(relation['things'], MOST) or 'none'}")
    lines += [f"Warning: {warning}" for warning in one["warnings"]]
    return lines
