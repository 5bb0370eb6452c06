"""What `iptables-save` prints: our chains, our rules in chains of others, and how much of others there is. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tortie.dataplane.iptables.names import DIGEST_PREFIX, MADE_PREFIX, PREFIX, SEAL_PREFIX, short_hash

_FINGERPRINT_CHARACTERS = 19
_RULE = re.compile(r"(?:\[(\d+):\d+\] )?-A (\S+) ?(.*)")
_CHAIN = re.compile(r":(\S+) (\S+)")
_OURS = re.compile(rf"(?:^| )-[jg] {re.escape(PREFIX)}")


class Jump(NamedTuple):
    """A rule of ours in a chain of the kernel's, wanted first in it or last; found before those of others or behind."""

    builtin: str
    text: str
    is_last: bool = False


@dataclass(slots=True)
class FoundTable:
    """One table. `builtins`: the kernel's chains and their policies. `others`: rules of others in each chain.

    `packets`: by chain of ours, what each of its rules counted, where counters were asked for.
    """

    chains: dict[str, list[str]] = field(default_factory=dict)
    packets: dict[str, list[int]] = field(default_factory=dict)
    jumps: list[Jump] = field(default_factory=list)
    builtins: dict[str, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    seal: str = ""
    made: frozenset[str] = frozenset()
    """Chains of the kernel's that were not there before ours."""

    @property
    def is_ours(self) -> bool:
        """Whether anything of ours is in it."""
        return bool(self.chains or self.jumps)

    @property
    def fingerprint(self) -> str:
        """Of all that is ours in it, but for the seal and what was made."""
        listed = [f"{name} {rules}" for name, rules in sorted(self.chains.items()) if not _is_memory(name)]
        jumps = sorted(f"{jump.builtin} {jump.text}" for jump in self.jumps)
        return short_hash((*listed, *jumps), _FINGERPRINT_CHARACTERS)

    @property
    def is_intact(self) -> bool:
        """Whether nobody changed what is ours since it was sealed."""
        return self.seal == self.fingerprint


def read_tables(listing: str) -> dict[str, FoundTable]:
    """The tables of a listing, by name."""
    tables: dict[str, FoundTable] = {}
    table = FoundTable()
    seen: dict[str, int] = {}
    for line in listing.splitlines():
        if line.startswith("*"):
            table = tables[line[1:]] = FoundTable()
            seen = {}
        elif found := _CHAIN.match(line):
            _note_chain(table, found[1], found[2])
        elif found := _RULE.match(line):
            counted, name, text = found.groups()
            seen[name] = seen.get(name, 0) + 1
            if name.startswith(PREFIX):
                table.chains.setdefault(name, []).append(text)
                table.packets.setdefault(name, []).append(int(counted or 0))
            elif _OURS.search(text):
                table.jumps.append(Jump(name, text, is_last=table.others.get(name, 0) > 0))
            else:
                table.others[name] = table.others.get(name, 0) + 1
    return tables


def _note_chain(table: FoundTable, name: str, policy: str) -> None:
    if not name.startswith(PREFIX):
        if policy == "-":
            table.others.setdefault(name, 0)
        else:
            table.builtins[name] = policy
        return
    table.chains.setdefault(name, [])
    table.packets.setdefault(name, [])
    if name.startswith(DIGEST_PREFIX):
        table.digest = name.removeprefix(DIGEST_PREFIX)
    elif name.startswith(SEAL_PREFIX):
        table.seal = name.removeprefix(SEAL_PREFIX)
    elif name.startswith(MADE_PREFIX):
        table.made |= {name.removeprefix(MADE_PREFIX)}


def are_in_place(found: Iterable[Jump], wanted: Iterable[Jump]) -> bool:
    """Whether our rules in the kernel's chains are each there once, and those that belong in front are in front."""
    listed, expected = list(found), list(wanted)
    if sorted(jump[:2] for jump in listed) != sorted(jump[:2] for jump in expected):
        return False
    behind = {jump[:2] for jump in listed if jump.is_last}
    return not any(jump[:2] in behind for jump in expected if not jump.is_last)


def _is_memory(name: str) -> bool:
    return name.startswith((SEAL_PREFIX, MADE_PREFIX))
