"""What a shell offers for a word that is being typed: kinds, names of resources, fields.

Nothing is printed here and nothing fails: where the answer cannot be had, there is none.
"""

from collections.abc import Callable, Sequence

import click
from click.shell_completion import CompletionItem

from tortie.apps.ctl.target import Choice, choose
from tortie.apps.failure import Failure


def kind_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A word for each kind that has one that begins so: the plural, else an alias."""
    from tortie.resources.kinds import KINDS

    typed = incomplete.lower()
    found = []
    for kind in KINDS.values():
        words = [word for word in (kind.plural, *kind.aliases) if word.startswith(typed)]
        if words:
            found.append(CompletionItem(words[0], help=kind.doc))
    return found


def resource_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the resources of the kind that was typed before, without those that were typed too."""
    from tortie.apps.requests import GetQuery
    from tortie.store.protocol import StoreError

    kind, typed = ctx.params.get("kind") or ctx.params.get("kinds"), ctx.params.get(param.name or "") or ()
    if not kind:
        return []
    try:
        answer = choose(_choice(ctx)).get(kind, GetQuery(namespace=str(ctx.params.get("namespace") or "")))
    except (Failure, StoreError, OSError):
        return []
    names = [row[0] for row in answer["table"]["rows"]]
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name not in typed]


def one_of(words: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Words of a list that has others besides, so that it is no choice."""
    return lambda ctx, param, incomplete: [CompletionItem(word) for word in words if word.startswith(incomplete)]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Whatever files the shell finds."""
    return [CompletionItem(incomplete, type="file")]


def field_paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds, and behind a dot the fields of the kind or field before it."""
    if "." not in incomplete:
        return kind_words(ctx, param, incomplete)
    from tortie.apps.ctl.explaining import find
    from tortie.apps.kinds import find_kind

    before, _, last = incomplete.rpartition(".")
    word, *path = before.split(".")
    try:
        children = find(find_kind(word), path).children
    except Failure:
        return []
    return [CompletionItem(f"{before}.{each.name}", help=each.doc) for each in children if each.name.startswith(last)]


def _choice(ctx: click.Context) -> Choice:
    """What the user said about where to go: no command runs here, so it is in what was parsed."""
    given: dict[str, str | None] = {**ctx.find_root().params, **(ctx.obj or {})}
    return Choice(datastore=given.get("datastore"), socket=given.get("socket"), node=given.get("node"))
