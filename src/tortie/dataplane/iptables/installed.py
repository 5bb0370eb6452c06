"""The tables of this network namespace: what is installed, and how it gets to be what is wanted. Acts.

    make ─▶ nothing known: read, adopt or replace ─▶ else for each IP version one script with what differs

Each table is one transaction. They are changed in the order in which packets meet them, IPv4 before IPv6; what a crash
leaves is tables of the old state and of the new one, each of them whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tortie.dataplane.iptables.listing import FoundTable, are_in_place, read_tables
from tortie.dataplane.iptables.render import ENTRY_CHAIN, ENTRY_TABLE
from tortie.dataplane.iptables.table import TABLES, Key, Script, Table, change_script, seal_script, whole_script
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
        is_changed = False
        repaired: tuple[str, ...] = ()
        for version in self._versions:
            mine = {key: wanted.get(key, Table()) for key in _keys(version)}
            is_sure = not self._doubtful & mine.keys()
            try:
                is_changed |= self._make(version, mine)
            except KernelError:
                if not is_sure:
                    raise
                # Somebody took away what the script refers to; whole tables need nothing to be there.
                self._doubtful |= mine.keys()
                is_changed |= self._make(version, mine)
                repaired = (*repaired, *(f"IPv{version} {key.table}" for key in mine))
            self._tables |= mine
            self._doubtful -= mine.keys()
        return MadeTables(is_changed, repaired)

    def _make(self, version: int, wanted: Mapping[Key, Table]) -> bool:
        # What else comes with our rules is written in the tables themselves: they are read where ours come or go.
        unread = {key for key, table in wanted.items() if bool(self._known(key).chains) != bool(table.chains)}
        unread |= self._doubtful & wanted.keys()
        found = self._read(version) if unread else {}
        scripts: dict[Key, Script] = {}
        for key, table in wanted.items():
            if key not in unread:
                scripts[key] = change_script(self._known(key), table)
            elif not self._adopts(key, found[key], table):
                scripts[key] = whole_script(found[key], table, self._note_made(key, found[key], table))
        scripts = {key: script for key, script in scripts.items() if script.lines}
        if scripts:
            self._run(version, scripts, wanted)
        return bool(scripts)

    def _known(self, key: Key) -> Table:
        return self._tables.get(key, Table())

    def _read(self, version: int, *, with_counters: bool = False) -> dict[Key, FoundTable]:
        tables = read_tables(iptables.save(self._variant, version, with_counters=with_counters))
        return {key: tables.get(key.table, FoundTable()) for key in _keys(version)}

    def _adopts(self, key: Key, found: FoundTable, table: Table) -> bool:
        """Whether what was found is what is wanted, and nobody has changed it."""
        if not table.chains:
            return not found.is_ours
        if found.digest != table.digest or not found.is_intact or not are_in_place(found.jumps, table.jumps):
            return False
        self._fingerprints[key] = found.fingerprint
        self._made[key] = found.made
        return True

    def _run(self, version: int, scripts: Mapping[Key, Script], wanted: Mapping[Key, Table]) -> None:
        is_removal = not any(wanted[key].chains for key in scripts)
        ordered = sorted(scripts, key=lambda key: TABLES.index(key.table), reverse=is_removal)
        counted = {key: scripts[key].rewritten for key in ordered if self._known(key).chains}
        totals = self._counted(version, counted) if counted else Counter[CountKey]()
        self._doubtful |= scripts.keys()  # where it fails, nobody knows how far it came
        iptables.restore(self._variant, version, "".join(map(_block, ordered, (scripts[key].lines for key in ordered))))
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
        for version in self._versions:
            if not any(key in self._tables and key not in self._doubtful for key in _keys(version)):
                continue
            for key, found in self._read(version).items():
                if key in self._tables and key not in self._doubtful and not self._is_well(key, found):
                    self._doubtful.add(key)
                    tampered.append(f"IPv{version} {key.table}")
        return tampered

    def _is_well(self, key: Key, found: FoundTable) -> bool:
        table = self._tables[key]
        if not table.chains:
            return not found.is_ours
        sizes = {name: len(rules) for name, rules in table.chains.items()}
        if found.digest != table.digest or {n: len(found.chains.get(n, ())) for n in sizes} != sizes:
            return False
        if not are_in_place(found.jumps, table.jumps) or self._fingerprints.get(key) not in (None, found.fingerprint):
            return False
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
        chains = (self._read(version)[Key(version, ENTRY_TABLE)].chains for version in self._versions)
        rules = (rule.split() for found in chains for rule in found.get(ENTRY_CHAIN, ()))
        return frozenset(words[1] for words in rules if words[0] == "-i")

    def found(self) -> list[str]:
        """Names of the tables with something of ours in them. Raises: KernelError."""
        tables = (item for version in self._versions for item in self._read(version).items())
        return [f"{self._variant} IPv{key.version} {key.table}" for key, found in tables if found.is_ours]

    def counts(self) -> Counter[CountKey]:
        """Exact totals. Raises: KernelError."""
        total: Counter[CountKey] = Counter()
        total.update(self._totals)
        for version in self._versions:
            known = {key: frozenset(self._known(key).chains) for key in _keys(version) if self._known(key).chains}
            if known:
                total.update(self._counted(version, known))  # an addition would leave out what counted nothing
        return total

    def _counted(self, version: int, chains: Mapping[Key, frozenset[str]]) -> Counter[CountKey]:
        """What the rules in those chains of the installed tables show."""
        counted: Counter[CountKey] = Counter()
        for key, found in self._read(version, with_counters=True).items():
            for name in chains.get(key, frozenset()) & self._known(key).chains.keys():
                rules, packets = self._known(key).chains[name], found.packets.get(name, [])
                if len(rules) != len(packets):
                    continue  # somebody changed it
                for rule, number in zip(rules, packets, strict=True):
                    if rule.key is not None:
                        counted[rule.key] += rule.sign * number
        return counted


def _keys(version: int) -> Iterator[Key]:
    return (Key(version, table) for table in TABLES)


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
