"""The table of this network namespace: what is installed, and how it gets to be what is wanted. Acts.

    make ─▶ nothing known: read, adopt or replace ─▶ else one transaction with what differs

The kernel counts the transactions of a namespace. As long as that count is the one after our own last transaction,
nobody changed anything, and a check costs some microseconds; else the whole table is listed and compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum

from tortie.dataplane.named_sets import NamedSet, shift_fingerprint, union_change
from tortie.dataplane.nft_text.changes import element_change
from tortie.dataplane.nft_text.listing import read_installed, render_seal
from tortie.dataplane.nftables.table import (
    POLICED,
    REMOVE,
    TABLE,
    ElementChange,
    Table,
    change_script,
    quiet_script,
    whole_script,
)
from tortie.dataplane.telling import CountKey
from tortie.kernel import nft
from tortie.kernel.errors import KernelError
from tortie.model.desired import SetChange
from tortie.model.ipset import IPSet

FAMILY = "inet"


class State(Enum):
    """What a check says of the table. Unknown: somebody changed rules of this namespace, perhaps not ours, before the
    table was looked at for the first time."""

    INTACT = "intact"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Made(Enum):
    """What was done to the table. Repaired: the change did not fit what was there, so that all of it was made anew."""

    NOTHING = "nothing"
    CHANGED = "changed"
    REPAIRED = "repaired"


class InstalledTable:
    """Wanted against installed."""

    def __init__(self) -> None:
        self._table: Table | None = None
        """What was last made or adopted; None: not looked at yet."""
        self._is_tampered = False
        self._generation: int | None = None
        """The kernel's count behind our last transaction, or a check that found everything well; None: others came
        between."""
        self._fingerprint: str | None = None
        """Of the listing, at that generation; None until it is needed."""
        self._totals: Counter[CountKey] = Counter()
        """Counted by tables and counters that are gone."""

    def members_after(
        self, changes: Mapping[str, SetChange | None], sets: Mapping[str, IPSet]
    ) -> tuple[Mapping[str, NamedSet], Mapping[str, ElementChange]]:
        """The installed named sets after those changes of members, and what of their elements goes and comes."""
        named = dict(self._table.named) if self._table is not None and not self._is_tampered else {}
        elements: dict[str, ElementChange] = {}
        for name, one in tuple(named.items()):
            touched = {set_id: changes[set_id] for set_id in one.set_ids if set_id in changes}
            if not touched:
                continue
            known = {set_id: change for set_id, change in touched.items() if change is not None and not change.is_new}
            if len(known) < len(touched):  # gone, or made anew: what was in it is not told
                elements[name] = ElementChange(is_refill=True)
                del named[name]
                continue
            added, removed = union_change(one, known, sets)
            gone, come = element_change(one, added, removed, sets)
            elements[name] = ElementChange(tuple(gone), tuple(come))
            named[name] = replace(one, fingerprint=shift_fingerprint(one.fingerprint, added, removed))
        return named, elements

    def make(self, wanted: Table, elements: Mapping[str, ElementChange], sets: Mapping[str, IPSet]) -> Made:
        """Make the table so in one transaction. Raises: KernelError; all is as before then.

        `elements` is what `members_after` said.
        """
        made = Made.CHANGED
        if self._table is None:
            found = read_installed(nft.list_table(FAMILY, TABLE, terse=False))
            if found.digest == wanted.digest and (found.is_intact or not found.digest):
                self._table, self._fingerprint, self._generation = wanted, found.fingerprint, None
                return Made.NOTHING
            self._run(whole_script(wanted, sets))
        elif self._is_tampered:
            self._replace(wanted, sets)
        else:
            script = change_script(self._table, wanted, elements, sets)
            if not script:
                return Made.NOTHING
            gone = self._table.counters.keys() - wanted.counters.keys()
            totals = self._counted(gone) if gone else Counter[CountKey]()
            try:
                self._run(script)
                self._totals += totals
            except KernelError:
                # Somebody took away what the script refers to; the whole table needs nothing to be there.
                self._replace(wanted, sets)
                made = Made.REPAIRED
        self._table, self._is_tampered = wanted, False
        return made

    def _replace(self, wanted: Table, sets: Mapping[str, IPSet]) -> None:
        # The counters go with the table that is replaced. nft 1.0.6 cannot list and replace in one transaction: packets
        # of these few milliseconds are the ones that the totals miss.
        assert self._table is not None
        totals = self._counted(self._table.counters.keys())
        self._run(whole_script(wanted, sets))
        self._totals += totals

    def _run(self, script: str) -> None:
        before = nft.generation()
        nft.run(script)
        after = nft.generation()
        self._generation = after if after == before + 1 else None
        self._fingerprint = None

    def check(self) -> State:
        """Whether the table is as it was made. Raises: KernelError.

        Because: nft shows rules in other words than they were given in, so that a listing can be compared only with one
        that is known to be of the intact table.
        """
        if self._table is None:
            return State.INTACT
        now = nft.generation()
        if now == self._generation and self._fingerprint is not None:
            return State.INTACT
        found = read_installed(nft.list_table(FAMILY, TABLE, terse=False))
        if found.digest != self._table.digest or found.rule_count != self._table.rule_count:
            return State.CHANGED
        if now != self._generation and self._fingerprint is None:
            return State.UNKNOWN
        if self._fingerprint not in (None, found.fingerprint):
            return State.CHANGED
        if nft.generation() != now:
            return State.INTACT  # somebody was at it while we looked; the next check looks again
        self._fingerprint, self._generation = found.fingerprint, now
        if found.digest and not found.is_intact:
            self._seal(render_seal(found, table=TABLE))
        return State.INTACT

    def _seal(self, script: str) -> None:
        fingerprint = self._fingerprint
        self._run(script)
        self._fingerprint = fingerprint

    def distrust(self) -> None:
        """Make the whole table anew at the next `make`: somebody changed it."""
        self._is_tampered = True

    def is_from_before(self) -> bool:
        """Whether the table is there and an earlier agent made it."""
        return self._table is None and nft.list_table(FAMILY, TABLE) is not None

    def interfaces_from_before(self) -> frozenset[str]:
        """Interfaces that the table of an earlier agent polices, as long as it is there."""
        if not self.is_from_before():
            return frozenset()
        listing = nft.list_table(FAMILY, TABLE, terse=False)
        entries = listing["nftables"] if listing is not None else ()
        found = (entry["set"].get("elem", ()) for entry in entries if entry.get("set", {}).get("name") == POLICED)
        return frozenset(str(name) for names in found for name in names)

    def interfaces(self) -> frozenset[str]:
        """Interfaces that the installed table polices, as far as we made it."""
        return self._table.interfaces if self._table is not None else frozenset()

    def counts(self) -> Counter[CountKey]:
        """Exact totals. Raises: KernelError."""
        found = self._counted(self._table.counters.keys() if self._table is not None else ())
        found.update(self._totals)  # an addition would leave out what counted nothing
        return found

    def _counted(self, names: Collection[str]) -> Counter[CountKey]:
        """What those counters of the installed table show."""
        found: Counter[CountKey] = Counter()
        listed = nft.counters(FAMILY, TABLE) if names else {}
        if self._table is not None:
            for name in names:
                found[self._table.counters[name]] += listed.get(name, (0, 0))[0]
        return found

    def remove(self) -> bool:
        """Remove the table; whether there was one. Raises: KernelError.

        Because: packets on their way through a table that goes find its verdict maps empty, and would meet the guards.
        """
        listing = nft.list_table(FAMILY, TABLE)
        if listing is not None:
            chains = (entry["chain"] for entry in listing["nftables"] if "chain" in entry)
            nft.run(quiet_script(chain["name"] for chain in chains if "hook" in chain))
            nft.run(REMOVE)
        self._table = None
        return listing is not None
