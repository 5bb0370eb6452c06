"""Policies -> the classifier's tables. Pure: bytes in, bytes out; `extensions/tables.c` does the work in bulk.

A policy's rules of one direction become a `Block` once, for as long as the policy object lives; a generation of an
interface puts blocks in order and compiles their tables together.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf._tables import ffi, lib
from tortie.dataplane.ebpf.members import Members, records4, records6
from tortie.dataplane.ebpf.terms import Atom, NetsAtom, SetAtom, Spans, Term, terms
from tortie.model.address import Net
from tortie.model.ipset import IPSet
from tortie.model.rule import Action, Rule

if TYPE_CHECKING:
    from tortie.dataplane.ebpf._tables import CData

TABLES = (
    *("src4_hosts", "src4_nets", "src6", "dst4_hosts", "dst4_nets", "dst6", "services", "sports"),
    *("cells", "fold_a", "fold_b", "bits_src", "bits_dst", "bits_svc", "bits_sport", "terms"),
)
"""Names of the maps, in the order of `enum table` in extensions/api.h."""
LIVE_TABLES = ("src4_hosts", "src6", "dst4_hosts", "dst6", "cells")
"""What members are added to in place."""

ACTIONS = {
    Action.ALLOW: lib.ACTION_ALLOW,
    Action.DENY: lib.ACTION_DENY,
    Action.PASS: lib.ACTION_PASS,
    Action.LOG: lib.ACTION_LOG,
}
BACKENDS = {"auto": -1, "cells": lib.BACKEND_CELLS, "folded": lib.BACKEND_FOLDED, "bits": lib.BACKEND_BITS}
NONE = 0xFFFFFFFF
_TERM = Struct("<IBBxx4Q4I8I")
_SET_FLAG = 1 << 31
_64 = (1 << 64) - 1
_LINE_BYTES, _TRIE_BLOCK_BYTES = 64, 1024

if sys.byteorder != "little" or _TERM.size != ffi.sizeof("struct term"):
    raise ImportError("tortie's classifier needs a little-endian machine and matching record layouts")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The compiled rules of one policy and direction. `sets`: the IP sets it refers to, numbered after its own nets."""

    terms: bytes
    pool: bytes
    nets4: bytes
    nets6: bytes
    net_atoms: int
    sets: tuple[SetAtom, ...]
    rules: int


def compile_rules(rules: Sequence[Rule], sets: Mapping[str, IPSet]) -> Block:
    """The block of a policy's rules. `sets` gives the members of port sets, which terms depend on."""
    building = _Building()
    for index, rule in enumerate(rules):
        for term in terms(rule, sets):
            building.add(index, rule.action, term)
    return building.block(len(rules))


class _Building:
    """A block on its way."""

    def __init__(self) -> None:
        self.records = bytearray()
        self.pool = array("I")
        self.nets: dict[NetsAtom, int] = {}
        self.sets: dict[SetAtom, int] = {}

    def add(self, rule: int, action: Action, term: Term) -> None:
        dports, dports_count = self._spans(term.dports)
        sports, sports_count = self._spans(term.sports)
        lists = [self._atoms(a) for a in (term.source_in, term.source_out, term.destination_in, term.destination_out)]
        mask = term.protocols
        self.records += _TERM.pack(
            *(rule, ACTIONS[action], term.version),
            *(mask & _64, mask >> 64 & _64, mask >> 128 & _64, mask >> 192),
            *(dports, dports_count, sports, sports_count),
            *(offset for offset, _ in lists),
            *(count for _, count in lists),
        )

    def _spans(self, spans: Spans | None) -> tuple[int, int]:
        if spans is None:
            return 0, NONE
        at = len(self.pool)
        for span in spans:
            self.pool.extend(span)
        return at, len(spans)

    def _atoms(self, atoms: Iterable[Atom]) -> tuple[int, int]:
        at = len(self.pool)
        numbers = set()
        for atom in atoms:
            if isinstance(atom, NetsAtom):
                numbers.add(self.nets.setdefault(atom, len(self.nets)))
            else:
                numbers.add(self.sets.setdefault(atom, len(self.sets)) | _SET_FLAG)
        self.pool.extend(numbers)
        return at, len(self.pool) - at

    def block(self, rules: int) -> Block:
        return Block(
            terms=bytes(self.records),
            pool=self.pool.tobytes(),
            nets4=records4((net, number) for atom, number in self.nets.items() for net in atom.nets),
            nets6=records6((net, number) for atom, number in self.nets.items() for net in atom.nets),
            net_atoms=len(self.nets),
            sets=tuple(self.sets),
            rules=rules,
        )


class Outcome(NamedTuple):
    """What a counter stands for: the rules met, in order, by number over all blocks, the last one deciding if the
    reason is policy (REASON_BASE); else the plain reason."""

    reason: int
    verdict: int
    rules: tuple[int, ...]


class Classifier:
    """The tables of one generation of one interface. Close it when its generation goes.

    Raises: Unsupported where the policy is larger than the tables can be.
    """

    def __init__(
        self,
        tiers: Sequence[Sequence[Block]],
        members: Mapping[SetAtom, Members],
        *,
        backend: str = "auto",
        spare_bytes: int = 64 << 10,
    ) -> None:
        self._tables: CData = ffi.gc(lib.tables_new(), lib.tables_free)
        if not self._tables:
            raise MemoryError
        self.atoms: dict[SetAtom, int] = {}
        for tier in tiers:
            for position, block in enumerate(tier):
                self._add(block, members, starts_tier=position == 0)
        _checked(lib.tables_compile(self._tables, BACKENDS[backend], spare_bytes if self.atoms else 0))
        self._layout = ffi.new("struct tables_layout *")
        lib.tables_layout(self._tables, self._layout)

    def _add(self, block: Block, members: Mapping[SetAtom, Members], *, starts_tier: bool) -> None:
        numbers = array("I")
        for atom in block.sets:
            if atom not in self.atoms:
                nets4, nets6 = members.get(atom, Members(b"", b""))
                self.atoms[atom] = _checked(
                    lib.tables_add_set(
                        self._tables,
                        *(ffi.from_buffer("struct net4[]", nets4), len(nets4) // 12),
                        *(ffi.from_buffer("struct net6[]", nets6), len(nets6) // 24),
                    )
                )
            numbers.append(self.atoms[atom])
        # the pool holds set numbers with a flag; the C side counts them after the block's own nets
        pool = array("I", block.pool)
        if block.sets:
            pool = array("I", (block.net_atoms + (n ^ _SET_FLAG) if n & _SET_FLAG else n for n in pool))
        keep = [
            ffi.from_buffer("struct term[]", block.terms),
            ffi.from_buffer("u32[]", pool),
            ffi.from_buffer("struct net4[]", block.nets4),
            ffi.from_buffer("struct net6[]", block.nets6),
        ]
        record = ffi.new(
            "struct block *",
            [
                *keep,
                len(block.terms) // _TERM.size,
                len(block.nets4) // 12,
                len(block.nets6) // 24,
                block.net_atoms,
                block.rules,
            ],
        )
        _checked(lib.tables_add_block(self._tables, record, ffi.from_buffer("u32[]", numbers), starts_tier))

    def close(self) -> None:
        """Free the tables; nothing of them may be used afterwards."""
        ffi.release(self._tables)

    @property
    def backend(self) -> str:
        """Which back end was chosen: cells, folded or bits."""
        return next(name for name, number in BACKENDS.items() if number == self._layout.backend)

    @property
    def counts_rules(self) -> bool:
        """Counters stand for single rules (bit vectors), not for outcomes."""
        return self.backend == "bits"

    @property
    def results(self) -> int:
        """Number of counters, the reasons not counted."""
        return int(self._layout.results)

    def config(self) -> dict[str, int | bytes]:
        """The fields of `struct config` (bpf/include/tortie/config.h) that follow from the tables."""
        names = (
            *("backend", "services", "sports", "destination_stride", "service_stride", "sport_stride", "fold_stride"),
            *("sport_none", "sport_fragment", "summary_words", "row_shift", "steps", "has_log"),
        )
        found: dict[str, int | bytes] = {name: int(getattr(self._layout, name)) for name in names}
        for side, part in zip(("source", "destination"), self._layout.side, strict=True):
            for name in (
                *("used", "hosts4", "hosts4_shift", "nets4", "table6", "table6_shift", "table6_seed", "hosts6"),
                *("lengths6_count", "default4", "default6"),
            ):
                found[f"{side}.{name}"] = int(getattr(part, name))
            found[f"{side}.lengths6"] = bytes(ffi.buffer(part.lengths6))
        return found

    def sizes(self) -> dict[str, int]:
        """Bytes of each table; 0 where this generation has none."""
        return {name: int(lib.tables_bytes(self._tables, index)) for index, name in enumerate(TABLES)}

    def unit(self, table: str) -> int:
        """Bytes of which a table begins at a multiple: no element, no line of the cache, and no row of bits lies across
        two pages then."""
        if table.endswith("_nets"):
            return _TRIE_BLOCK_BYTES
        return max(_LINE_BYTES, 8 << self._layout.row_shift) if table.startswith("bits_") else _LINE_BYTES

    def fill(self, table: str, memory: object) -> None:
        """Write a table into a writable buffer of its size; for LIVE_TABLES the buffer must outlive `change_host`."""
        index = TABLES.index(table)
        view = ffi.from_buffer(memory, require_writable=True)
        if len(view) < lib.tables_bytes(self._tables, index):
            raise ValueError(f"the buffer for {table} is too small")
        lib.tables_fill(self._tables, index, view)

    def settle(self, counters: int) -> None:
        """Free what `fill` copied, and without sets all but the meaning of the counters.

        `counters`: results that the installed generation has counters for.
        """
        lib.tables_settle(self._tables, counters, bool(self.atoms))

    def outcome(self, result: int) -> Outcome | None:
        """What a counter stands for; None if it is not in use. For bit vectors the counter is the rule's own."""
        if self.counts_rules:
            return None
        out = ffi.new("struct tables_outcome *")
        if not lib.tables_result(self._tables, result, out):
            return None
        return Outcome(out.reason, out.verdict, tuple(out.rules[i] for i in range(out.count)))

    def change_host(self, net: Net, atom: SetAtom, *, is_member: bool) -> bool:
        """Add one address to a set, or remove it, in the installed tables; False: a new generation is needed."""
        number = self.atoms.get(atom)
        if number is None:
            return True
        where = (net.version, net.address >> 64, net.address & _64, number, is_member)
        results: list[int] = [lib.tables_change_host(self._tables, side, *where) for side in (0, 1)]
        return results == [0, 0]


_FAILURES = {
    -1: "out of memory",
    -2: "more than 32768 conditions on one interface and direction; merge rules into port lists, nets or sets",
    -3: "more than 65536 groups of ports that rules tell apart; merge rules into port lists",
    -4: "too many rules and Log rules for the general classifier; merge rules into sets, or log less",
    -5: "the tables would need more than 512 MB; merge rules into sets",
    -6: "the tables have no room",
}


def _checked(result: int) -> int:
    if result < 0:
        raise Unsupported(f"untracked policy is too large for the eBPF dataplane: {_FAILURES[result]}")
    return result


def digest(parts: Iterable[bytes]) -> bytes:
    """Identity of a generation: equal inputs, equal tables. Shape: 16 bytes."""
    hashed = blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
