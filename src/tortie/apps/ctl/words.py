"""KIND and NAMEs as people type them: `gnp web api`, or `gnp/web gnp/api`, which is what `-o name` prints."""

from collections.abc import Sequence
from typing import NamedTuple

import click


class Asked(NamedTuple):
    """Resources of one kind, as the user calls it; without names all of them."""

    kind: str
    names: tuple[str, ...]


def asked(words: Sequence[str | None]) -> list[Asked]:
    """What the words name, each kind once, in the order in which they were typed. Raises: a usage error."""
    typed = [word for word in words if word is not None]
    if not typed:
        return []
    kind, *names = typed
    if "/" not in kind:
        if any("/" in name for name in names):
            text = "write KIND NAME or KIND/NAME, not both; a namespace is given with --namespace"
            raise click.UsageError(text)
        return [Asked(kind, _checked(names))]
    found: dict[str, list[str]] = {}
    for word in typed:
        kind, slash, name = word.partition("/")
        if not slash or not kind:
            raise click.UsageError(f"{word[:60]!r} is no KIND/NAME, as the words before it are")
        found.setdefault(kind, []).append(name)
    return [Asked(kind, _checked(names)) for kind, names in found.items()]


def asked_of_one_kind(words: Sequence[str | None], verb: str) -> Asked:
    """The same for a command that takes a kind at a time. Raises: a usage error."""
    found = asked(words)
    if len(found) == 1 and "," not in found[0].kind:
        return found[0]
    problem = "takes one KIND at a time" if found else "what? give KIND and NAME"
    raise click.UsageError(f"{verb} {problem}")


def asked_for_one(words: Sequence[str | None], verb: str) -> tuple[Asked, tuple[str, ...]]:
    """One resource, and the words behind it. Raises: a usage error."""
    typed = [word for word in words if word is not None]
    count = 1 if typed and "/" in typed[0] else 2
    if len(typed) < count:
        raise click.UsageError(f"{verb} what? give KIND and NAME")
    return asked_of_one_kind(typed[:count], verb), tuple(typed[count:])


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    if not all(names):
        raise click.UsageError("resource name may not be empty")
    return tuple(names)
