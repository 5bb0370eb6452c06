"""The table of this network namespace: what is installed, and how it gets to be what is wanted. Acts.

    make ─▶ nothing known, or in doubt: read, adopt or replace ─▶ else one transaction with what differs

The kernel counts the transactions of a namespace. As long as that count is the one after our own last transaction,
nobody changed anything, and a check costs some microseconds; else the whole table is listed and compared.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from enum import Enum

from tortie.dataplane.named_sets import NamedSet, shift_fingerprint, union_change
from tortie.dataplane.nft_text.changes import element_change
from tortie.dataplane.nft_text.listing import DIGEST_PREFIX, Installed, read_installed, render_seal
from tortie.dataplane.nftables.table import (
    POLICED,
    REMOVE,
    TABLE,
    ElementChange,
    Table,
    change_script,
    differ_in_members,
    goes_without_nft,
    member_batch,
    quiet_script,
    whole_script,
)
from tortie.dataplane.telling import CountKey
from tortie.kernel import netns, nft
from tortie.kernel.errors import KernelError
from tortie.model.desired import SetChange
from tortie.model.ipset import IPSet

FAMILY = "inet"
_FEW = 1_000
"""So many members are changed one by one; more are nft's, which reads the set once for all of them."""
log = logging.getLogger("tortie.dataplane.nftables")


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
        self._is_in_doubt = False
        """Whether that is only so because nobody can tell."""
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

    def make(
        self,
        wanted: Table,
        elements: Mapping[str, ElementChange],
        sets: Mapping[str, IPSet],
        meanwhile: Callable[[], None],
    ) -> Made:
        """Make the table so in one transaction. Raises: KernelError; all is as before then.

        `elements` is what `members_after` said. `meanwhile` is done once while nft is at work, if it has to be.
        """
        made = Made.CHANGED
        if self._table is None:
            if self._is_there(wanted, sets):
                return Made.NOTHING
            self._run(whole_script(wanted, sets), is_whole=True)
        elif self._is_tampered:
            if self._is_in_doubt and self._is_there(wanted, sets):
                self._is_tampered = self._is_in_doubt = False
                return Made.NOTHING
            self._replace(wanted, sets)
        else:
            made = self._change(self._table, wanted, elements, sets, meanwhile)
        self._table, self._is_tampered = wanted, False
        if self._is_in_doubt:  # seen at once: others may change something all the time
            self._is_in_doubt = False
            self.check()
        return made

    def _change(
        self,
        old: Table,
        new: Table,
        elements: Mapping[str, ElementChange],
        sets: Mapping[str, IPSet],
        meanwhile: Callable[[], None],
    ) -> Made:
        """Make one table of the other: the quickest way that there is."""
        if not elements and new == old:
            return Made.NOTHING
        if self._was_tampered_with():
            self._replace(new, sets)
            return Made.REPAIRED
        if any(one.is_refill for one in elements.values()):
            # A set that is flushed and filled in one transaction is empty for packets for a moment before Linux 6.17.
            self._replace(new, sets)
            return Made.CHANGED
        if self._changed_members(old, new, elements, sets):
            return Made.CHANGED
        script = change_script(old, new, elements, sets)
        if not script:
            return Made.NOTHING
        gone = old.counters.keys() - new.counters.keys()
        totals = self._counted(gone) if gone else Counter[CountKey]()
        try:
            self._run(script, meanwhile)
            self._totals += totals
        except KernelError:
            # Somebody took away what the script refers to; the whole table needs nothing to be there.
            self._replace(new, sets)
            return Made.REPAIRED
        return Made.CHANGED

    def _changed_members(
        self, old: Table, new: Table, elements: Mapping[str, ElementChange], sets: Mapping[str, IPSet]
    ) -> bool:
        """Change members without nft, where nothing else changes; whether that was possible."""
        few = sum(len(one.gone) + len(one.come) for one in elements.values())
        if not 0 < few <= _FEW or not differ_in_members(old, new):
            return False
        if not all(goes_without_nft(new.named[name], one, sets) for name, one in elements.items()):
            return False
        before = nft.generation()
        try:
            member_batch(old, new, elements).commit(before)
        except KernelError as error:  # others came first, or took something away: nft looks at what there is
            log.info("%s; nft does it", error)
            return False
        self._generation = before + 1 if before == self._generation else None
        self._fingerprint = None
        return True

    def _was_tampered_with(self) -> bool:
        """Whether others changed the table since it was last made or looked at: behind a change of ours, nobody could
        tell."""
        return self._fingerprint is not None and self._generation != nft.generation() and self.check() is State.CHANGED

    def _is_there(self, wanted: Table, sets: Mapping[str, IPSet]) -> bool:
        """Whether the table that is wanted is there, as it was sealed or as we make it; then it is known again."""
        found = read_installed(nft.list_table(FAMILY, TABLE, terse=False))
        is_sure = found.is_intact or not found.digest
        if found.digest != wanted.digest or not (is_sure or _is_what_is_made(found, wanted, sets)):
            return False
        # Without a generation, so that the next check seals what has no seal.
        self._table, self._fingerprint, self._generation = wanted, found.fingerprint, None
        return True

    def _replace(self, wanted: Table, sets: Mapping[str, IPSet]) -> None:
        # The counters go with the table that is replaced. nft 1.0.6 cannot list and replace in one transaction: packets
        # of these few milliseconds are the ones that the totals miss.
        assert self._table is not None
        totals = self._counted(self._table.counters.keys())
        self._run(whole_script(wanted, sets), is_whole=True)
        self._totals += totals

    def _run(self, script: str, meanwhile: Callable[[], None] | None = None, *, is_whole: bool = False) -> None:
        """`is_whole`: it replaces the table, so that nothing of what others did before is left."""
        before = nft.generation()
        is_sure = is_whole or before == self._generation
        running = nft.Running(script)
        try:
            if meanwhile is not None:
                meanwhile()
        finally:
            running.finish()
        after = nft.generation()
        self._generation = after if is_sure and after == before + 1 else None
        self._fingerprint = None

    def check(self, *, is_thorough: bool = True) -> State:
        """Whether the table is as it was made. Raises: KernelError.

        Not thoroughly: whether it is the one that was made, and has as many rules. nft lists no rule without reading
        all elements of sets before.

        Because: nft shows rules in other words than they were given in, so that a listing can be compared only with one
        that is known to be of the intact table.
        """
        if self._table is None:
            return State.INTACT
        now = nft.generation()
        if now == self._generation and self._fingerprint is not None:
            return State.INTACT
        if not is_thorough:
            its_name, rules = f"{DIGEST_PREFIX}{self._table.digest}", self._table.rule_count
            is_well = not rules or nft.holds(FAMILY, TABLE, chain=its_name, rules=rules)
            return State.INTACT if is_well else State.CHANGED
        found = read_installed(nft.list_table(FAMILY, TABLE, terse=False))
        self._is_in_doubt = False
        if found.digest != self._table.digest or found.rule_count != self._table.rule_count:
            return State.CHANGED
        if now != self._generation and self._fingerprint is None:
            self._is_in_doubt = True
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


def _is_what_is_made(found: Installed, wanted: Table, sets: Mapping[str, IPSet]) -> bool:
    """Whether nft shows the table that was found as it shows one that was just made; False where that cannot be told.

    It is made in a namespace of its own, where no packet meets it. Because: a packet on its way through a table that is
    replaced finds its verdict maps empty, and is denied.
    """
    try:
        with netns.fresh():
            nft.run(whole_script(wanted, sets))
            made = read_installed(nft.list_table(FAMILY, TABLE, terse=False))
    except KernelError as error:
        log.info("%s; the table is made anew, since nobody can tell whether others changed it", error)
        return False
    return made.fingerprint == found.fingerprint
