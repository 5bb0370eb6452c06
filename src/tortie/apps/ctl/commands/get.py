"""`tortie get`."""

from collections.abc import Iterator, Sequence

import click

from tortie.apps.answers import GetAnswer
from tortie.apps.ctl.completing import kind_words, one_of, resource_names
from tortie.apps.ctl.fetching import told
from tortie.apps.ctl.forms import FORMS, Form, exported, parse_form, show_answers
from tortie.apps.ctl.options import choice, filenames, namespace, recursive, skip_empty, with_target
from tortie.apps.ctl.show import out
from tortie.apps.ctl.target import choose
from tortie.apps.ctl.words import asked
from tortie.apps.requests import GetQuery

Question = tuple[str, GetQuery]
"""A kind as the user calls it, and which of its resources."""


@click.command()
@with_target
@click.argument("kinds", required=False, metavar="[KIND[,KIND]...]", shell_complete=kind_words)
@click.argument("resources", nargs=-1, metavar="[NAME]...", shell_complete=resource_names)
@filenames
@recursive
@skip_empty
@namespace
@click.option("-A", "-a", "--all-namespaces", "everywhere", is_flag=True, help="Of every namespace.")
@click.option(
    "-l", "--selector", default="", metavar="EXPR", help="Those with such labels: a=b,c or a == 'b' && has(c)."
)
@click.option(
    "-o",
    "--output",
    default="table",
    metavar="FORM",
    help=f"Form of the output: {', '.join(FORMS)}.",
    shell_complete=one_of(FORMS),
)
@click.option("--export", is_flag=True, help="Without what only this datastore knows; with NAMEs or -f.")
@click.option("--no-headers", is_flag=True, help="Tables without their headings.")
@click.option("-w", "--watch", is_flag=True, help="Then show what comes, changes and goes, until ^C.")
def command(
    kinds: str | None,
    resources: tuple[str, ...],
    names: tuple[str, ...],
    output: str,
    export: bool,
    no_headers: bool,
    watch: bool,
    **which: object,
) -> int:
    """Show all resources of a KIND, those of these NAMEs, or those that documents name.

    KIND/NAME, which is what -o name prints, says the same as KIND NAME, here and in every other command. With --watch
    and -o json, one line of JSON for each event.

    \b
    Examples:
      tortie get hep,gnp -o wide
      tortie get gnp -l role=web -o yaml
    """
    form = parse_form(output)
    if names:
        if watch:
            raise click.UsageError("--watch follows kinds and names; leave out -f")
        questions = list(_asked_by_files(names, form, which))
        if not questions:
            out("[]" if form.name in ("json", "yaml") else "No resources specified")
            return 0
    else:
        questions = _asked(kinds, resources, form, which)
    is_named = bool(names) or any(query.name for _, query in questions)
    if watch:
        return _watch(questions, form, has_headings=not no_headers)
    target = choose(choice())
    answers = [target.get(kind, query) for kind, query in questions]
    shown = [exported(one) for one in answers] if export and is_named else answers
    show_answers(shown, form, is_named=is_named, has_headings=not no_headers)
    return told(answers)


def _asked(kinds: str | None, resources: tuple[str, ...], form: Form, which: dict[str, object]) -> list[Question]:
    if not kinds:
        raise click.UsageError("get what? give KIND, several as KIND,KIND, or documents with -f FILE")
    query = GetQuery(
        namespace=str(which["namespace"]),
        all_namespaces=bool(which["everywhere"]),
        selector=str(which["selector"]),
        view=form.view,
        column=form.columns,
    )
    found = asked((kinds, *resources))
    return [(word, query._replace(name=one.names)) for one in found for word in _kinds(one.kind)]


def _kinds(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise click.UsageError(f"{text[:60]!r} has an empty kind; write KIND,KIND without a comma at the end")
    return words


def _asked_by_files(names: Sequence[str], form: Form, which: dict[str, object]) -> Iterator[Question]:
    """Every resource that the files name, by its name."""
    from tortie.apps.decoding import decode_files
    from tortie.apps.files import read_files
    from tortie.apps.namespaces import DEFAULT

    if which["everywhere"] or which["selector"]:
        raise click.UsageError("documents name what to get; leave out --all-namespaces and --selector")
    given, is_lenient = str(which["namespace"]), bool(which["skip_empty"])
    files = read_files(names, recursive=bool(which["recursive"]), may_be_empty=is_lenient)
    query = GetQuery(view=form.view, column=form.columns)
    for one in decode_files(files, needs_documents=not is_lenient, namespace=given):
        where = given or ("" if one.namespace == DEFAULT else one.namespace)
        yield one.kind, query._replace(name=(one.name,), namespace=where)


def _watch(questions: list[Question], form: Form, *, has_headings: bool) -> int:
    from tortie.apps.ctl.watching import follow, shower

    target = choose(choice())

    def read() -> list[GetAnswer]:
        return [target.get(kind, query) for kind, query in questions]

    told(read())
    follow(read, target.revision, shower(form, has_headings=has_headings))
    return 0  # ^C is how a watch ends
