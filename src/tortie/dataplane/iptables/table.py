"""A table of iptables as a value, and the script that turns what is installed into it. Pure.

A script is one transaction. It rewrites only the chains whose rules differ, so that counters of the others go on. Each
table carries the digest of its state as the name of an empty chain, by which an agent that starts knows it.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tortie.dataplane.iptables.listing import FoundTable, Jump
from tortie.dataplane.iptables.names import DIGEST_PREFIX, MADE_PREFIX, SEAL_PREFIX, short_hash
from tortie.dataplane.telling import CountKey

DIGEST_CHARACTERS = 19
TABLES = ("raw", "mangle", "filter")
"""In the order in which packets meet them, and in which they are changed."""


class Key(NamedTuple):
    """A table of the kernel."""

    version: int
    table: str


class ChainRule(NamedTuple):
    """A rule behind `-A CHAIN`. `key`: what the packets that meet it are; with `sign` -1 they are taken off."""

    text: str
    key: CountKey | None = None
    sign: int = 1


Chain = tuple[ChainRule, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Our chains by name, and our rules in chains of the kernel's. No chains: nothing of ours is in the table."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    jumps: tuple[Jump, ...] = ()

    @property
    def digest(self) -> str:
        """Names the state; empty where there is none."""
        if not self.chains:
            return ""
        made = hashlib.sha256()
        for part in (self.jumps, *((name, *(rule.text for rule in rules)) for name, rules in self.chains.items())):
            made.update(repr(part).encode())
        return short_hash((made.hexdigest(),), DIGEST_CHARACTERS)


class Script(NamedTuple):
    """Lines of one table, and the chains whose counters begin anew with them."""

    lines: list[str]
    rewritten: frozenset[str]


def change_script(old: Table, new: Table) -> Script:
    """Turns the old table into the new one; no lines where they are the same."""
    if old.digest == new.digest:
        return Script([], frozenset())
    changed = [name for name, rules in new.chains.items() if texts(old.chains.get(name)) != texts(rules)]
    gone = [*(old.chains.keys() - new.chains.keys()), *([DIGEST_PREFIX + old.digest] if old.digest else [])]
    jumps = [
        *(f"-D {jump.builtin} {jump.text}" for jump in old.jumps if jump not in new.jumps),
        *_adding(jump for jump in new.jumps if jump not in old.jumps),
    ]
    return Script(_lines(new, changed, gone, jumps), frozenset((*changed, *gone)))


def whole_script(found: FoundTable, new: Table, made: Iterable[str]) -> Script:
    """Turns whatever of ours was found into the new table. `made`: chains of the kernel's that came with ours."""
    kept = [MADE_PREFIX + name for name in made] if new.chains else []
    gone = [name for name in found.chains if name not in new.chains and name not in kept]
    jumps = [*(f"-D {jump.builtin} {jump.text}" for jump in found.jumps), *_adding(new.jumps)]
    memory = [f":{name} - [0:0]" for name in kept]
    return Script([*memory, *_lines(new, new.chains, gone, jumps)], frozenset((*found.chains, *new.chains)))


def seal_script(old: str, new: str) -> list[str]:
    """Gives the table a new seal."""
    names = [SEAL_PREFIX + seal for seal in (old, new) if seal]
    return [f":{name} - [0:0]" for name in names] + ([f"-X {SEAL_PREFIX}{old}"] if old else [])


def texts(rules: Iterable[ChainRule] | None) -> list[str] | None:
    """The rules without what they count."""
    return None if rules is None else [rule.text for rule in rules]


def _lines(new: Table, changed: Collection[str], gone: Collection[str], jumps: Iterable[str]) -> list[str]:
    """Only what is there can be flushed and deleted: the script fails where others took it away."""
    going = [name for name in gone if name != DIGEST_PREFIX + new.digest]
    return [
        *(f":{name} - [0:0]" for name in (*changed, *([DIGEST_PREFIX + new.digest] if new.digest else []))),
        *(f"-F {name}" for name in going),
        *(f"-A {name} {rule.text}" for name in changed for rule in new.chains[name]),
        *jumps,
        *(f"-X {name}" for name in going),
    ]


def _adding(jumps: Iterable[Jump]) -> Iterator[str]:
    for jump in jumps:
        yield f"-A {jump.builtin} {jump.text}" if jump.is_last else f"-I {jump.builtin} {jump.text}"
