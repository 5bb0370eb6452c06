"""`tortie config explain`."""

import click

from tortie.apps.answers import ConfigAnswer, ConfigQuery, SettingAnswer
from tortie.apps.ctl import completing
from tortie.apps.ctl.options import choice, filenames, recursive, with_target
from tortie.apps.ctl.show import err, out, out_json, table
from tortie.apps.ctl.target import choose
from tortie.apps.files import read_files

LONGEST = 48
"""Characters of a value in the table; a question for one parameter shows all of it."""
NOT_USED = "not used"


@click.group()
def command() -> None:
    """Explain where settings get their values from.

    \b
    Examples:
      tortie config explain
      tortie config explain FailsafeInboundHostPorts
    """


@command.command()
@with_target
@click.argument("parameters", nargs=-1, metavar="[PARAM]...", shell_complete=completing.parameters)
@click.option("--all", "everything", is_flag=True, help="Every parameter, not only those that are set somewhere.")
@filenames
@recursive
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def explain(parameters: tuple[str, ...], everything: bool, names: tuple[str, ...], recursive: bool, output: str) -> int:
    """Show the parameters that are set anywhere, or all that is known about each PARAM.

    A PARAM is a parameter's name or its field in FelixConfiguration. With -f, what would be so if these documents were
    applied. Without an agent, environment and file of parameters are those of this command.

    \b
    Examples:
      tortie config explain --node web1
      tortie config explain bpfConntrackTimeouts -f felixconfig.yaml
    """
    if parameters and everything:
        raise click.UsageError("give either PARAMs or --all")
    chosen = choice()
    query: ConfigQuery = {
        "parameters": list(parameters),
        "everything": everything,
        "node": chosen.node,
        "files": read_files(names, recursive=recursive),
    }
    answer = choose(chosen).config(query)
    if output == "json":
        out_json(answer)
        return 0
    out("\n\n".join("\n".join(story(one)) for one in answer["parameters"]) if parameters else overview(answer))
    for line in remarks(answer):
        err(line)
    return 0


def overview(answer: ConfigAnswer) -> str:
    """A table with a row for each parameter."""
    if not answer["parameters"]:
        return f"No parameter is set for node {answer['node']}; --all shows the defaults."
    heading = ["PARAMETER", "VALUE", "FROM", "INSTEAD OF", "DEFAULT", "USED", "MEANING"]
    rows = [
        [
            one["name"],
            _cut(one["value"]),
            _origin(one["source"], one["place"]),
            ", ".join(_overridden(one)) or "-",
            _cut(one["default"]),
            "yes" if one["is_used"] else NOT_USED,
            one["doc"],
        ]
        for one in answer["parameters"]
    ]
    return table({"heading": heading, "rows": rows})


def story(one: SettingAnswer) -> list[str]:
    """Everything about one parameter."""
    places = [f"FELIX_{one['name']}"]
    if one["field"]:
        places.append(f"spec.{one['field']}")
    if not one["is_local"]:
        places.append(f"config.projectcalico.org/{one['name']}")
    if one["annotation"]:
        places.append(one["annotation"])
    bad = "an agent does not start" if one["is_fatal"] else "the default holds"
    none = "" if one["may_be_none"] else "; `none` is no value of it, and an agent does not start with it"
    used = "yes" if one["is_used"] else f"{NOT_USED}: accepted, and tortie does not act on it"
    lines = [
        one["name"],
        f"  {one['doc']}",
        f"  value     {one['value'] or '(none)'}, from {_where(one['source'], one['place'])}",
        f"  default   {one['default'] or '(none)'}",
        f"  values    {one['form']}; with one that cannot be read {bad}{none}",
        f"  set by    {', '.join(places)}" + ("; not by documents" if one["is_local"] else ""),
        f"  used      {used}",
    ]
    if not one["said"]:
        return [*lines, "  Nobody sets it."]
    rows = [[said["source"], said["place"], said["value"], said["state"]] for said in one["said"]]
    said = table({"heading": ["SOURCE", "PLACE", "VALUE", ""], "rows": rows})
    return [*lines, *(f"  {line}".rstrip() for line in said.split("\n"))]


def remarks(answer: ConfigAnswer) -> list[str]:
    """What is wrong with what was said, and what else has to be known."""
    lines = [
        f"warning: {one['source']}: {one['place']}: {one['problem']}"
        for setting in answer["parameters"]
        for one in setting["said"]
        if one["problem"]
    ]
    for one in answer["unknown"]:
        hint = one["hint"] or "it is passed over"
        lines.append(f"warning: {one['source']}: {one['place']}: there is no parameter {one['name'][:60]!r}; {hint}")
    return lines + [f"note: {note}" for note in answer["notes"]]


def _overridden(one: SettingAnswer) -> list[str]:
    return [
        f"{_cut(said['value'])} of {_origin(said['source'], said['place'])}"
        for said in one["said"]
        if said["state"] == "overridden"
    ]


def _origin(source: str, place: str) -> str:
    return f"{source}, annotation" if place.startswith("annotation ") else source


def _where(source: str, place: str) -> str:
    return f"{source} ({place})" if place else "the built-in default"


def _cut(text: str) -> str:
    return (text if len(text) <= LONGEST else text[: LONGEST - 3] + "...") or "-"
