"""What a shell offers for a word that is being typed: kinds, names of resources, fields.

Nothing is printed here and nothing fails: where the answer cannot be had, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from tortie.apps.ctl.said import namespace_said
from tortie.apps.ctl.target import Choice, choose
from tortie.apps.documents import name_of
from tortie.apps.failure import Failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _item(word: str, type: str = "plain", help: str | None = None) -> CompletionItem:
    from click.shell_completion import CompletionItem  # only a shell asks

    return CompletionItem(word, type, help)


def kind_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A word for each kind that has one that begins so: the plural, else an alias; behind a comma, and names in
    KIND/NAME."""
    if "/" in incomplete:
        return resource_names(ctx, param, incomplete)
    before, comma, typed = incomplete.rpartition(",")
    return [_item(f"{before}{comma}{each.value}", help=each.help) for each in _kinds(typed.lower())]


def _kinds(typed: str) -> list[CompletionItem]:
    from tortie.resources.kinds import KINDS

    found = []
    for kind in KINDS.values():
        words = [word for word in (kind.plural, *kind.aliases) if word.startswith(typed)]
        if words:
            found.append(_item(words[0], help=kind.doc))
    return found


def resource_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the resources of the kinds that were typed before, without those that were typed too."""
    kinds, slash, beginning = incomplete.rpartition("/")
    kinds = kinds or str(ctx.params.get("kind") or ctx.params.get("kinds") or "")
    typed = ctx.params.get(param.name or "") or ()
    names = dict.fromkeys(name for kind in filter(None, kinds.split(",")) for name in _names(ctx, kind))
    found = [f"{kinds}/{name}" if slash else name for name in names if name.startswith(beginning)]
    return [_item(word) for word in found if word not in typed]


def _names(ctx: click.Context, kind: str) -> list[str]:
    from tortie.apps.requests import GetQuery
    from tortie.store.protocol import StoreError

    try:
        answer = choose(_choice(ctx)).get(kind, GetQuery(namespace=namespace_said(ctx)))
    except (Failure, StoreError, OSError):
        return []
    return [name_of(one) for one in answer["items"]]


def one_of(words: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Words of a list that has others besides, so that it is no choice."""
    return lambda ctx, param, incomplete: [_item(word) for word in words if word.startswith(incomplete)]


PATH = click.Path(readable=False)
"""A name that shells complete with those of files; whether it can be read is told by who reads it."""


def parameters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Parameters of an agent that begin so, by name or by field; where none does, whatever the case of the letters."""
    from tortie.resources.felix import PARAMETERS

    if not incomplete:
        return [_item(one.name, help=one.doc) for one in PARAMETERS]
    words = [_item(word, help=one.doc) for one in PARAMETERS for word in (one.name, one.field) if word]
    found = [each for each in words if each.value.startswith(incomplete)]
    return found or [each for each in words if each.value.lower().startswith(incomplete.lower())]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Whatever files the shell finds."""
    return [_item(incomplete, type="file")]


def field_paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds, and behind a dot the fields of the kind or field before it."""
    if "." not in incomplete:
        return kind_words(ctx, param, incomplete)
    from tortie.apps.ctl.fields import find
    from tortie.apps.kinds import find_kind

    before, _, last = incomplete.rpartition(".")
    word, *path = before.split(".")
    try:
        children = find(find_kind(word), path).children
    except Failure:
        return []
    return [_item(f"{before}.{each.name}", help=each.doc) for each in children if each.name.startswith(last)]


def _choice(ctx: click.Context) -> Choice:
    """What the user said about where to go: no command runs here, so it is in what was parsed."""
    given: dict[str, str | None] = {**ctx.find_root().params, **(ctx.obj or {})}
    return Choice(datastore=given.get("datastore"), socket=given.get("socket"), node=given.get("node"))
