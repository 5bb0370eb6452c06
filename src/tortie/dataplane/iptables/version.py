"""The tables of one IP version: what is installed, and how it gets to be what is wanted. Acts.

    make ─▶ nobody changed anything since ours: what differs ─▶ one script
         ─▶ else read ─▶ nothing known: adopt, or replace; else what differs ─▶ one script

Each table is one transaction. They are changed in the order in which packets meet them; what a crash leaves is tables
of the old state and of the new one, each of them whole.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from tortie.dataplane.iptables.listing import FoundTable, are_in_place, read_tables
from tortie.dataplane.iptables.render import ENTRY_CHAIN, ENTRY_TABLE
from tortie.dataplane.iptables.table import (
    TABLES,
    WHOLE,
    Chain,
    Key,
    Script,
    Table,
    change_script,
    seal_script,
    whole_script,
)
from tortie.dataplane.telling import CountKey
from tortie.kernel import iptables, nft
from tortie.kernel.errors import KernelError

_FAMILY = {4: "ip", 6: "ip6"}
_TABLE_ITSELF = "TABLE"


class MadeTables(NamedTuple):
    """Whether anything was written, and names of tables that turned out to be broken."""

    is_changed: bool
    repaired: tuple[str, ...]


class VersionTables:
    """Wanted against installed, in one variant of iptables. `restore` carries out a script for that IP version, for
    whoever has the `turn`."""

    def __init__(self, variant: str, version: int, turn: Lock, restore: Callable[[int, str], None]) -> None:
        self._variant, self._version, self._turn, self._restore = variant, version, turn, restore
        self._keys = tuple(Key(version, table) for table in TABLES)
        self._tables: dict[Key, Table] = {}
        """What was last made or adopted."""
        self._doubtful = set(self._keys)
        """Tables that have to be read before they are changed."""
        self._fingerprints: dict[Key, str] = {}
        self._made: dict[Key, frozenset[str]] = {}
        """Chains of the kernel's that came with ours."""
        self._totals: Counter[CountKey] = Counter()
        """Counted by rules that are gone."""
        self.transactions = 0
        """Of nf_tables, made here since whoever counts them set this to 0."""

    @property
    def is_known(self) -> bool:
        """Whether anything was made or adopted."""
        return bool(self._tables)

    @property
    def is_all_doubtful(self) -> bool:
        """Whether the next `make` reads all tables, and adopts or replaces each of them."""
        return len(self._doubtful) == len(self._keys)

    def make(self, everything: Mapping[Key, Table], *, is_untouched: Callable[[], bool]) -> MadeTables:
        """Make the tables of this IP version so. Raises: KernelError; what is not made is tried again.

        `is_untouched` tells whoever has the turn that nobody changed anything since we did; only the nft variant can.
        """
        wanted = {key: everything.get(key, Table()) for key in self._keys}
        change = self._change(wanted)
        made = MadeTables(is_changed=False, repaired=())
        if change:
            # What is read is only good for as long as nobody, the other IP version's script neither, comes between.
            with self._turn:
                quickly = self._make_quickly(change, wanted) if is_untouched() else None
                if self._doubtful & change.keys():  # it broke off
                    change = self._change(wanted)
                made = quickly or self._make_surely(change, wanted)
        self._tables = wanted
        self._doubtful.clear()
        return made

    def _make_quickly(self, change: Mapping[Key, Script | None], wanted: Mapping[Key, Table]) -> MadeTables | None:
        """Change tables without reading them, where they are surely as they were made. None: that did not go."""
        scripts = {key: script for key, script in change.items() if script is not None}
        if len(scripts) < len(change):
            return None
        totals: dict[Key, Counter[CountKey]] = {key: Counter() for key in scripts}
        try:
            for key, script in scripts.items():
                chains = self._known(key).chains
                for name in script.gone.keys() & chains.keys():
                    length, packets = nft.rule_counts(self._version, key.table, name, script.gone[name])
                    if length != len(chains[name]):
                        return None
                    _count(chains[name][script.gone[name]], packets, totals[key])
            self._run(scripts, wanted, totals)
        except KernelError:
            return None  # what is there has to be read
        return MadeTables(is_changed=True, repaired=())

    def _make_surely(self, change: Mapping[Key, Script | None], wanted: Mapping[Key, Table]) -> MadeTables:
        is_sure = None not in change.values()
        try:
            return self._make(change, wanted)
        except KernelError:
            if not is_sure:
                raise
        # Perhaps somebody took away what the script refers to; whole tables need nothing to be there.
        self._doubtful |= {key for key, table in wanted.items() if self._known(key) is not table}
        return self._make(self._change(wanted), wanted)

    def _change(self, wanted: Mapping[Key, Table]) -> dict[Key, Script | None]:
        """What differs from what was made last, by table; None: that one has to be read to know."""
        scripts: dict[Key, Script | None] = {}
        for key, table in wanted.items():
            known = self._known(key)
            # What else comes with our rules is written in the tables themselves: they are read where ours come or go.
            if key in self._doubtful or bool(known.chains) != bool(table.chains):
                scripts[key] = None
            elif (script := change_script(known, table)).lines:
                scripts[key] = script
        return scripts

    def _make(self, change: Mapping[Key, Script | None], wanted: Mapping[Key, Table]) -> MadeTables:
        # Right before the change: what is counted between the two is lost, and what others do is not seen.
        found = self._read(with_counters=True)
        # Places of rules are only what they were as long as nobody put others between them.
        tampered = {key for key in change if self._known(key).chains and not self._is_as_made(key, found[key])}
        scripts: dict[Key, Script] = {}
        for key, script in change.items():
            if script is not None and key not in tampered:
                scripts[key] = script
            elif script is not None or not self._adopts(key, found[key], wanted[key]):
                whole = whole_script(found[key], wanted[key], self._note_made(key, found[key], wanted[key]))
                scripts |= {key: whole} if whole.lines else {}
        if scripts:
            self._run(scripts, wanted, {key: self._counted(key, found[key], one.gone) for key, one in scripts.items()})
        return MadeTables(bool(scripts), tuple(map(_name, sorted(tampered))))

    def _known(self, key: Key) -> Table:
        return self._tables.get(key, Table())

    def _read(self, *, with_counters: bool = False) -> dict[Key, FoundTable]:
        """The tables as they are. Raises: KernelError."""
        tables = read_tables(iptables.save(self._variant, self._version, with_counters=with_counters))
        return {key: tables.get(key.table, FoundTable()) for key in self._keys}

    def _adopts(self, key: Key, found: FoundTable, table: Table) -> bool:
        """Whether what was found is what is wanted, and nobody has changed it."""
        if not table.chains:
            return not found.is_ours
        if found.digest != table.digest or not found.is_intact or not are_in_place(found.jumps, table.jumps):
            return False
        self._fingerprints[key] = found.fingerprint
        self._made[key] = found.made
        return True

    def _run(
        self, scripts: Mapping[Key, Script], wanted: Mapping[Key, Table], totals: Mapping[Key, Counter[CountKey]]
    ) -> None:
        """Carry out scripts for tables. `totals`: what the rules counted that go."""
        is_removal = not any(wanted[key].chains for key in scripts)
        ordered = sorted(scripts, key=lambda key: TABLES.index(key.table), reverse=is_removal)
        self._doubtful |= scripts.keys()
        try:
            self._restore(self._version, "".join(_block(key, scripts[key].lines) for key in ordered))
        except KernelError:
            self._note_done(ordered, wanted, totals)
            raise
        self.transactions += len(ordered)
        for key in ordered:
            self._totals.update(totals[key])  # an addition would copy everything
            self._fingerprints.pop(key, None)
            if not wanted[key].chains:
                self._unmake(key)

    def _note_done(
        self, ordered: Iterable[Key], wanted: Mapping[Key, Table], totals: Mapping[Key, Counter[CountKey]]
    ) -> None:
        """How far a script came that broke off: tables of ours before the one that it broke off at are others now.
        Raises: KernelError."""
        found = self._read()
        for key in ordered:
            known = self._known(key)
            if not known.chains or known.digest == wanted[key].digest or found[key].digest != wanted[key].digest:
                return
            self._totals.update(totals[key])
            self._fingerprints.pop(key, None)
            self._tables[key] = wanted[key]
            self._doubtful.discard(key)

    # ---- the kernel's chains that come with ours

    def _note_made(self, key: Key, found: FoundTable, table: Table) -> frozenset[str]:
        """Chains of the kernel's that come, or came, into being with our rules, where anybody can take them away."""
        made = found.made or self._made.get(key, frozenset())
        if table.chains and self._variant == iptables.NFT and not found.is_ours:
            there = _base_chains(key)
            made |= {jump.builtin for jump in table.jumps} - (there or {}).keys()
            made |= {_TABLE_ITSELF} if there is None else set()
        self._made[key] = made
        return made

    def _unmake(self, key: Key) -> None:
        """Take away what came with our rules, as far as it is empty."""
        made = self._made.pop(key, frozenset())
        there = _base_chains(key) if made else None
        if there is None:
            return
        where = f"{_FAMILY[key.version]} {key.table}"
        gone = [name for name in made if there.get(name)]
        script = "".join(f"delete chain {where} {name}\n" for name in gone)
        if _TABLE_ITSELF in made and len(gone) == len(there):
            script += f"delete table {where}\n"
        if script:
            nft.run(script)
            self.transactions += 1

    # ---- looking

    def check(self) -> list[str]:
        """Names of the tables that are not as they were made, which the next `make` replaces. Raises: KernelError.

        At the first check behind a change of ours, they are known by the number of rules and the name of the state:
        iptables shows rules in other words than they were given in.
        """
        tampered: list[str] = []
        if not self._tables.keys() - self._doubtful:
            return tampered
        seals: list[str] = []
        for key, found in self._read().items():
            if key not in self._tables or key in self._doubtful:
                continue
            if not self._is_as_made(key, found):
                self._doubtful.add(key)
                tampered.append(_name(key))
            elif self._known(key).chains:
                self._fingerprints[key] = found.fingerprint
                if not found.is_intact:
                    seals.append(_block(key, seal_script(found.seal, found.fingerprint)))
        if seals:  # of all tables by one process
            with self._turn:
                self._restore(self._version, "".join(seals))
            self.transactions += len(seals)
        return tampered

    @property
    def is_unseen(self) -> bool:
        """Whether a check has yet to see how some table looks that we made."""
        return any(table.chains and key not in self._fingerprints for key, table in self._tables.items())

    def doubt(self) -> None:
        """Make all tables anew at the next `make`, but for those that an earlier check sealed."""
        self._doubtful |= set(self._keys)

    def _is_as_made(self, key: Key, found: FoundTable) -> bool:
        """Whether it looks as it did when it was made, or at the first check behind that."""
        table = self._known(key)
        if not table.chains:
            return not found.is_ours
        sizes = {name: len(rules) for name, rules in table.chains.items()}
        if found.digest != table.digest or {n: len(found.chains.get(n, ())) for n in sizes} != sizes:
            return False
        return are_in_place(found.jumps, table.jumps) and self._fingerprints.get(key) in (None, found.fingerprint)

    def interfaces(self) -> frozenset[str]:
        """Interfaces that the rules police that are there. Raises: KernelError."""
        rules = (rule.split() for rule in self._read()[Key(self._version, ENTRY_TABLE)].chains.get(ENTRY_CHAIN, ()))
        return frozenset(words[1] for words in rules if words[0] == "-i")

    def found(self) -> list[str]:
        """Names of the tables with something of ours in them. Raises: KernelError."""
        return [f"{self._variant} {_name(key)}" for key, found in self._read().items() if found.is_ours]

    def counts(self) -> Counter[CountKey]:
        """Exact totals. Raises: KernelError."""
        total = self._totals.copy()
        if chains := {key: dict.fromkeys(table.chains, WHOLE) for key, table in self._tables.items() if table.chains}:
            found = self._read(with_counters=True)
            for key, its in chains.items():
                # an addition would leave out what counted nothing
                total.update(self._counted(key, found[key], its))
        return total

    def _counted(self, key: Key, found: FoundTable, chains: Mapping[str, slice]) -> Counter[CountKey]:
        """What those rules of an installed table, by chain, show in what was found."""
        counted: Counter[CountKey] = Counter()
        known = self._known(key).chains
        for name in chains.keys() & known.keys():
            rules, packets = known[name], found.packets.get(name, [])
            if len(rules) == len(packets):  # else somebody changed it
                _count(rules[chains[name]], packets[chains[name]], counted)
        return counted


def _count(rules: Chain, packets: Iterable[int], counted: Counter[CountKey]) -> None:
    for rule, number in zip(rules, packets, strict=True):
        if rule.key is not None:
            counted[rule.key] += rule.sign * number


def _name(key: Key) -> str:
    return f"IPv{key.version} {key.table}"


def _block(key: Key, lines: Iterable[str]) -> str:
    return f"*{key.table}\n" + "".join(f"{line}\n" for line in lines) + "COMMIT\n"


def _base_chains(key: Key) -> dict[str, bool] | None:
    """The chains of a table as nft lists it, and whether each is one of the kernel's and empty; None: no table."""
    listing = nft.list_table(_FAMILY[key.version], key.table)
    if listing is None:
        return None
    entries = listing["nftables"]
    filled = {entry["rule"]["chain"] for entry in entries if "rule" in entry}
    chains = (entry["chain"] for entry in entries if "chain" in entry)
    return {one["name"]: one["name"] not in filled and one.get("policy") == "accept" for one in chains}
