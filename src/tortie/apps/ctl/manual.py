"""Manual pages (roff, man(7)) of the tree of commands: the texts of --help in another form.

No date is in them, so that the same sources make the same pages.
"""

import inspect
import re
from collections.abc import Iterator

import click

from tortie.apps.failure import Code
from tortie.apps.version import VERSION

_EXITS = {
    "0": "Done.",
    str(Code.FAILED.exit_code): "Failed, or what was asked is not so.",
    str(Code.USAGE.exit_code): "Usage.",
    str(Code.INVALID.exit_code): "An invalid document; nothing was changed.",
    str(Code.NOT_FOUND.exit_code): "A resource does not exist.",
    str(Code.CONFLICT.exit_code): "Somebody else changed it.",
    str(Code.UNREACHABLE.exit_code): "No agent or datastore can be reached.",
    "130": "Interrupted.",
}


def pages(cli: click.Group) -> dict[str, str]:
    """Every page by its file name: one for the command, one for each of its commands with those below it."""
    context = click.Context(cli, info_name="tortie", **cli.context_settings)
    found = {"tortie.1": _page(context)}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None and not command.hidden:
            inner = click.Context(command, info_name=name, parent=context)
            found[f"tortie-{name}.1"] = _page(inner)
    return found


def _page(context: click.Context) -> str:
    command, name = context.command, context.command_path.replace(" ", "-")
    text, examples = _help(command)
    summary, *rest = text.split("\n\n")
    lines = [
        f'.TH "{_text(name).upper()}" 1 "" "tortie {VERSION}" "User Commands"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(_joined(summary).rstrip('.'))}",
        ".SH SYNOPSIS",
        *_synopsis(context),
        ".SH DESCRIPTION",
        *_paragraphs([summary, *rest]),
        *_options(context),
    ]
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS", *_commands(context, command)]
    lines += [*_examples(examples), ".SH EXIT STATUS"]
    for code, meaning in _EXITS.items():
        lines += [".TP", f".B {code}", meaning]
    if context.parent is not None:
        lines += [".SH SEE ALSO", ".BR tortie (1)"]
    return "\n".join(lines) + "\n"


def _help(command: click.Command) -> tuple[str, str]:
    """The help text in two parts: the paragraphs, and the lines of its examples."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    return text.strip(), inspect.cleandoc(examples)


def _synopsis(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return [f".B {_text(context.command_path)}", _text(pieces)]


def _options(context: click.Context) -> Iterator[str]:
    options = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    records = [record for each in options if (record := each.get_help_record(context))]
    if records:
        yield ".SH OPTIONS"
    for names, meaning in records:
        yield from (".TP", f".B {_text(names)}", _text(meaning))


def _commands(context: click.Context, group: click.Group) -> Iterator[str]:
    """The commands of a group: those with a page in a line, those below them whole."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        text, examples = _help(command)
        if context.parent is None:
            yield from (".TP", f".BR {_text(f'tortie-{name}')} (1)", _text(_joined(text.split("\n\n")[0])))
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield f".SS {_text(inner.command_path)}"
        yield from _synopsis(inner)
        yield ".PP"
        yield from _paragraphs(text.split("\n\n"))
        for line in (*_options(inner), *_examples(examples)):
            yield line.replace(".SH ", ".PP\n.I ")


def _paragraphs(paragraphs: list[str]) -> Iterator[str]:
    for index, each in enumerate(paragraphs):
        if index:
            yield ".PP"
        yield _text(_joined(each))


def _examples(examples: str) -> Iterator[str]:
    if examples:
        yield from (".SH EXAMPLES", ".nf", *(_text(line) for line in examples.splitlines()), ".fi")


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _text(text: str) -> str:
    """The text with what roff would obey taken from it: backslashes, hyphens that are no dashes, first dots."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    escaped = escaped.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")
    return re.sub(r"^\.", r"\\&.", escaped, flags=re.MULTILINE)
