"""A table of iptables as a value, and the script that turns what is installed into it. Pure.

A script is one transaction. It touches only the rules that differ, so that counters of the others go on; a chain of
which much differs is written anew. Each table carries the digest of its state as the name of an empty chain, by which
an agent that starts knows it.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tortie.dataplane.iptables.listing import FoundTable, Jump
from tortie.dataplane.iptables.names import DIGEST_PREFIX, MADE_PREFIX, SEAL_PREFIX, short_hash
from tortie.dataplane.telling import CountKey

DIGEST_CHARACTERS = 19
TABLES = ("raw", "mangle", "filter")
"""In the order in which packets meet them, and in which they are changed."""
_FEW = 16
"""So many rules are changed one by one; iptables looks for the place of each from the beginning of its chain."""


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


@dataclass(frozen=True)  # without slots: the digest, which takes a while, is kept in the instance
class Table:
    """Our chains by name, and our rules in chains of the kernel's. No chains: nothing of ours is in the table."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    jumps: tuple[Jump, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Names the state; empty where there is none."""
        if not self.chains:
            return ""
        made = hashlib.sha256()
        for part in (self.jumps, *((name, *(rule.text for rule in rules)) for name, rules in self.chains.items())):
            made.update(repr(part).encode())
        return short_hash((made.hexdigest(),), DIGEST_CHARACTERS)


WHOLE = slice(None)
"""All rules of a chain."""


class Script(NamedTuple):
    """Lines of one table, and the rules of the old one, by chain, whose counters go with them."""

    lines: list[str]
    gone: Mapping[str, slice]


def change_script(old: Table, new: Table) -> Script:
    """Turns the old table into the new one; no lines where they are the same."""
    if old.digest == new.digest:
        return Script([], {})
    edits: list[str] = []
    anew: list[str] = []
    edited: dict[str, slice] = {}
    for name, rules in new.chains.items():
        before = old.chains.get(name)
        if before is rules:
            continue
        start, end, new_end = _differing(before or (), rules)
        if before is None or max(end, new_end) - start > min(_FEW, len(rules) // 2):
            anew.append(name)
        elif start < max(end, new_end):
            edited[name] = slice(start, end)
            edits += _edits(name, start, end, rules[start:new_end])
    gone = [*(old.chains.keys() - new.chains.keys()), *([DIGEST_PREFIX + old.digest] if old.digest else [])]
    jumps = [
        *(f"-D {jump.builtin} {jump.text}" for jump in old.jumps if jump not in new.jumps),
        *_adding(jump for jump in new.jumps if jump not in old.jumps),
    ]
    lines = _lines(new, anew, gone, [*edits, *jumps])
    return Script(lines, {**edited, **dict.fromkeys((*anew, *gone), WHOLE)})


def _differing(old: Chain, new: Chain) -> tuple[int, int, int]:
    """Where the first rule is that differs, and where in the old and in the new chain those that differ end."""
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and (old[start] is new[start] or old[start].text == new[start].text):
        start += 1
    tail = 0
    while tail < shorter - start and old[-1 - tail].text == new[-1 - tail].text:
        tail += 1
    return start, len(old) - tail, len(new) - tail


def _edits(name: str, start: int, end: int, rules: Chain) -> Iterator[str]:
    """Put these rules into the places from `start` to `end`, whatever is there; iptables counts from 1."""
    replaced = min(end - start, len(rules))
    for number, rule in enumerate(rules, start + 1):
        yield f"-{'R' if number <= start + replaced else 'I'} {name} {number} {rule.text}"
    for _ in range(end - start - replaced):
        yield f"-D {name} {start + replaced + 1}"


def whole_script(found: FoundTable, new: Table, made: Iterable[str]) -> Script:
    """Turns whatever of ours was found into the new table. `made`: chains of the kernel's that came with ours."""
    kept = [MADE_PREFIX + name for name in made] if new.chains else []
    gone = [name for name in found.chains if name not in new.chains and name not in kept]
    jumps = [*(f"-D {jump.builtin} {jump.text}" for jump in found.jumps), *_adding(new.jumps)]
    memory = [f":{name} - [0:0]" for name in kept]
    return Script([*memory, *_lines(new, new.chains, gone, jumps)], dict.fromkeys((*found.chains, *new.chains), WHOLE))


def seal_script(old: str, new: str) -> list[str]:
    """Gives the table a new seal."""
    names = [SEAL_PREFIX + seal for seal in (old, new) if seal]
    return [f":{name} - [0:0]" for name in names] + ([f"-X {SEAL_PREFIX}{old}"] if old else [])


def _lines(new: Table, anew: Collection[str], gone: Collection[str], rest: Iterable[str]) -> list[str]:
    """`anew`: chains that are emptied and filled. Only what is there can be flushed and deleted: the script fails where
    others took it away."""
    going = [name for name in gone if name != DIGEST_PREFIX + new.digest]
    return [
        *(f":{name} - [0:0]" for name in (*anew, *([DIGEST_PREFIX + new.digest] if new.digest else []))),
        *(f"-F {name}" for name in going),
        *(f"-A {name} {rule.text}" for name in anew for rule in new.chains[name]),
        *rest,
        *(f"-X {name}" for name in going),
    ]


def _adding(jumps: Iterable[Jump]) -> Iterator[str]:
    for jump in jumps:
        yield f"-A {jump.builtin} {jump.text}" if jump.is_last else f"-I {jump.builtin} {jump.text}"
