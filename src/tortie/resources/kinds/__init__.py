"""The kinds of resources, one file for each. The folder is the registry: a module here with a `KIND` is a kind."""

import importlib
import pkgutil

from tortie.resources.fields import suggest
from tortie.resources.kind import Kind


def _find() -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        kind: Kind = importlib.import_module(f"{__name__}.{module.name}").KIND
        found[kind.name] = kind
    return found


KINDS = _find()
"""Every kind by its name."""
WORDS = {(kind.api_version, kind.word): kind for kind in KINDS.values()}
"""Every kind by what its documents say of themselves."""
_ALIASES = {alias.lower(): kind for kind in KINDS.values() for alias in (kind.name, kind.plural, *kind.aliases)}


class UnknownKind(ValueError):
    """A word that names no kind; the message says which one was probably meant."""


def kind_of(alias: str) -> Kind:
    """The kind that the word names, in any letter case, singular, plural or short.

    Raises: UnknownKind.
    """
    kind = _ALIASES.get(alias.lower())
    if kind is None:
        hint = suggest(alias, _ALIASES) or f"known kinds: {', '.join(sorted(KINDS))}"
        raise UnknownKind(f"resource type {alias[:60]!r} is not supported; {hint}")
    return kind
