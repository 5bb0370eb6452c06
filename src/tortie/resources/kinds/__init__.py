"""The kinds of resources, one file for each, named like its kind in lower case. The folder is the registry.

A kind is loaded when somebody asks for it: a command that shows one kind does not pay for thirty. Their names are in
`index.py`, which `tests/resources/kind_index.py` writes; a test holds it equal to the folder.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TypeVar

from tortie.resources.fields import suggest
from tortie.resources.index import INDEX
from tortie.resources.kind import Kind

_Word = TypeVar("_Word")


@cache
def _load(name: str) -> Kind:
    kind: Kind = import_module(f"{__name__}.{name.lower()}").KIND
    return kind


class _Kinds(Mapping[_Word, Kind]):
    """Kinds by some word of theirs; only those that are looked at are loaded."""

    def __init__(self, names: Mapping[_Word, str]) -> None:
        self._names = names

    def __getitem__(self, word: _Word) -> Kind:
        return _load(self._names[word])

    def __iter__(self) -> Iterator[_Word]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


KINDS: Mapping[str, Kind] = _Kinds({name: name for name in INDEX})
"""Every kind by its name."""
WORDS: Mapping[tuple[str, str], Kind] = _Kinds({(names.api_version, names.word): name for name, names in INDEX.items()})
"""Every kind by what its documents say of themselves."""
_ALIASES = {alias.lower(): name for name, names in INDEX.items() for alias in (name, names.plural, *names.aliases)}


class UnknownKind(ValueError):
    """A word that names no kind; the message says which one was probably meant."""


def kind_of(alias: str) -> Kind:
    """The kind that the word names, in any letter case, singular, plural or short.

    Raises: UnknownKind.
    """
    name = _ALIASES.get(alias.lower())
    if name is None:
        hint = suggest(alias, _ALIASES) or f"known kinds: {', '.join(sorted(KINDS))}"
        raise UnknownKind(f"resource type {alias[:60]!r} is not supported; {hint}")
    return KINDS[name]
