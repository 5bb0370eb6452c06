"""The tables of this network namespace: what is installed, and how it gets to be what is wanted. Acts.

    make ─▶ for each IP version: read ─▶ nothing known: adopt, or replace; else what differs ─▶ one script

Each table is one transaction. They are changed in the order in which packets meet them, IPv4 before IPv6; what a crash
leaves is tables of the old state and of the new one, each of them whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from tortie.dataplane.iptables.listing import FoundTable, are_in_place, read_tables
from tortie.dataplane.iptables.render import ENTRY_CHAIN, ENTRY_TABLE
from tortie.dataplane.iptables.table import (
    TABLES,
    WHOLE,
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


class InstalledTables:
    """Wanted against installed, in one variant of iptables."""

    def __init__(self, variant: str, versions: tuple[int, ...]) -> None:
        self._variant, self._versions = variant, versions
        self._tables: dict[Key, Table] = {}
        """What was last made or adopted."""
        self._doubtful = {Key(version, table) for version in versions for table in TABLES}
        """Tables that have to be read before they are changed."""
        self._fingerprints: dict[Key, str] = {}
        self._made: dict[Key, frozenset[str]] = {}
        """Chains of the kernel's that came with ours."""
        self._totals: Counter[CountKey] = Counter()
        """Counted by rules that are gone."""

    def make(self, wanted: Mapping[Key, Table]) -> MadeTables:
        """Make the tables so. Raises: KernelError; what is not made is tried again."""
        wishes = {version: {key: wanted.get(key, Table()) for key in _keys(version)} for version in self._versions}
        is_changed = False
        repaired: tuple[str, ...] = ()
        for version, mine in wishes.items():
            if change := self._change(mine):
                made = self._make_surely(version, change, mine)
                is_changed |= made.is_changed
                repaired += made.repaired
            self._tables |= mine
            self._doubtful -= mine.keys()
        return MadeTables(is_changed, repaired)

    def _make_surely(
        self, version: int, change: Mapping[Key, Script | None], wanted: Mapping[Key, Table]
    ) -> MadeTables:
        is_sure = None not in change.values()
        try:
            return self._make(version, change, wanted)
        except KernelError:
            if not is_sure:
                raise
        # Somebody took away what the script refers to; whole tables need nothing to be there.
        self._doubtful |= wanted.keys()
        return MadeTables(self._make(version, self._change(wanted), wanted).is_changed, tuple(map(_name, wanted)))

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

    def _make(self, version: int, change: Mapping[Key, Script | None], wanted: Mapping[Key, Table]) -> MadeTables:
        # Right before the change: what is counted between the two is lost, and what others do is not seen.
        found = self._read(version, with_counters=True)
        # Places of rules are only what they were as long as nobody put others between them.
        tampered = {key for key, script in change.items() if script and not self._is_as_made(key, found[key])}
        scripts: dict[Key, Script] = {}
        for key, script in change.items():
            if script is not None and key not in tampered:
                scripts[key] = script
            elif key in tampered or not self._adopts(key, found[key], wanted[key]):
                whole = whole_script(found[key], wanted[key], self._note_made(key, found[key], wanted[key]))
                scripts |= {key: whole} if whole.lines else {}
        if scripts:
            self._run(scripts, wanted, found)
        return MadeTables(bool(scripts), tuple(map(_name, sorted(tampered))))

    def _known(self, key: Key) -> Table:
        return self._tables.get(key, Table())

    def _read(self, version: int, *, with_counters: bool = False) -> dict[Key, FoundTable]:
        tables = read_tables(iptables.save(self._variant, version, with_counters=with_counters))
        return {key: tables.get(key.table, FoundTable()) for key in _keys(version)}

    def _read_each(self, versions: Sequence[int], *, with_counters: bool = False) -> dict[int, dict[Key, FoundTable]]:
        """The tables by IP version, listed side by side: it takes a process each."""
        if not versions:
            return {}
        with ThreadPoolExecutor(len(versions)) as pool:
            found = pool.map(partial(self._read, with_counters=with_counters), versions)
            return dict(zip(versions, found, strict=True))

    def _adopts(self, key: Key, found: FoundTable, table: Table) -> bool:
        """Whether what was found is what is wanted, and nobody has changed it."""
        if not table.chains:
            return not found.is_ours
        if found.digest != table.digest or not found.is_intact or not are_in_place(found.jumps, table.jumps):
            return False
        self._fingerprints[key] = found.fingerprint
        self._made[key] = found.made
        return True

    def _run(self, scripts: Mapping[Key, Script], wanted: Mapping[Key, Table], found: Mapping[Key, FoundTable]) -> None:
        """Carry out scripts for tables of one IP version."""
        is_removal = not any(wanted[key].chains for key in scripts)
        ordered = sorted(scripts, key=lambda key: TABLES.index(key.table), reverse=is_removal)
        totals = self._counted(found, {key: script.gone for key, script in scripts.items()})
        self._doubtful |= scripts.keys()  # where it fails, nobody knows how far it came
        lines = "".join(_block(key, scripts[key].lines) for key in ordered)
        iptables.restore(self._variant, ordered[0].version, lines)
        self._totals.update(totals)  # an addition would copy everything
        for key in ordered:
            self._fingerprints.pop(key, None)
            if not wanted[key].chains:
                self._unmake(key)

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

    # ---- looking

    def check(self) -> list[str]:
        """Names of the tables that are not as they were made, which the next `make` replaces. Raises: KernelError.

        What others did between our transaction and the first check, and only that, is known by the number of rules and
        the name of the state: iptables shows rules in other words than they were given in.
        """
        tampered: list[str] = []
        known = self._tables.keys() - self._doubtful
        for listing in self._read_each([one for one in self._versions if known & {*_keys(one)}]).values():
            for key, found in listing.items():
                if key in self._tables and key not in self._doubtful and not self._is_well(key, found):
                    self._doubtful.add(key)
                    tampered.append(_name(key))
        return tampered

    def _is_as_made(self, key: Key, found: FoundTable) -> bool:
        """Whether it looks as it did when it was made, or at the first check behind that."""
        table = self._known(key)
        if not table.chains:
            return not found.is_ours
        sizes = {name: len(rules) for name, rules in table.chains.items()}
        if found.digest != table.digest or {n: len(found.chains.get(n, ())) for n in sizes} != sizes:
            return False
        return are_in_place(found.jumps, table.jumps) and self._fingerprints.get(key) in (None, found.fingerprint)

    def _is_well(self, key: Key, found: FoundTable) -> bool:
        if not self._is_as_made(key, found):
            return False
        if not self._known(key).chains:
            return True
        self._fingerprints[key] = found.fingerprint
        if not found.is_intact:
            iptables.restore(self._variant, key.version, _block(key, seal_script(found.seal, found.fingerprint)))
        return True

    def is_from_before(self) -> bool:
        """Whether tables of ours are there and an earlier agent made them."""
        return not self._tables and bool(self.found())

    def interfaces_from_before(self) -> frozenset[str]:
        """Interfaces that rules of an earlier agent police, as long as they are there. Raises: KernelError."""
        if self._tables:
            return frozenset()
        listings = self._read_each(self._versions)
        chains = (found[Key(version, ENTRY_TABLE)].chains for version, found in listings.items())
        rules = (rule.split() for found in chains for rule in found.get(ENTRY_CHAIN, ()))
        return frozenset(words[1] for words in rules if words[0] == "-i")

    def found(self) -> list[str]:
        """Names of the tables with something of ours in them. Raises: KernelError."""
        tables = (item for listing in self._read_each(self._versions).values() for item in listing.items())
        return [f"{self._variant} IPv{key.version} {key.table}" for key, found in tables if found.is_ours]

    def counts(self) -> Counter[CountKey]:
        """Exact totals. Raises: KernelError."""
        total: Counter[CountKey] = Counter()
        total.update(self._totals)
        chains = {key: dict.fromkeys(table.chains, WHOLE) for key, table in self._tables.items() if table.chains}
        versions = sorted({key.version for key in chains})
        for listing in self._read_each(versions, with_counters=True).values():
            known = {key: chains[key] for key in listing.keys() & chains.keys()}
            total.update(self._counted(listing, known))  # an addition would leave out what counted nothing
        return total

    def _counted(self, found: Mapping[Key, FoundTable], wanted: Mapping[Key, Mapping[str, slice]]) -> Counter[CountKey]:
        """What those rules of the installed tables, by chain, show in what was found."""
        counted: Counter[CountKey] = Counter()
        for key, chains in wanted.items():
            for name in chains.keys() & self._known(key).chains.keys():
                rules, packets = self._known(key).chains[name], found[key].packets.get(name, [])
                if len(rules) != len(packets):
                    continue  # somebody changed it
                for rule, number in zip(rules[chains[name]], packets[chains[name]], strict=True):
                    if rule.key is not None:
                        counted[rule.key] += rule.sign * number
        return counted


def _keys(version: int) -> Iterator[Key]:
    return (Key(version, table) for table in TABLES)


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
