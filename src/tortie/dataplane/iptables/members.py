"""The kernel's IP sets of this network namespace: made before rules name them, taken away after none does. Acts.

Members that come and go are added and deleted one by one; a set whose members are not known to be near is filled anew
beside the old one, and the two are swapped.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from errno import EBUSY

from tortie.dataplane.iptables.names import PREFIX
from tortie.dataplane.iptables.sets import (
    TEMPORARY,
    FoundSet,
    KernelSet,
    change_lines,
    change_of,
    count,
    create_lines,
    read_sets,
    replace_lines,
    wide_nets,
)
from tortie.dataplane.named_sets import union_change
from tortie.kernel import ipset
from tortie.kernel.errors import KernelError
from tortie.model.desired import SetChange
from tortie.model.ipset import IPSet

_PATIENCE_S = 3.0
"""nf_tables lets go of sets a moment after the rules that named them."""


class InstalledSets:
    """Wanted against installed."""

    def __init__(self) -> None:
        self._made: dict[str, KernelSet] | None = None
        """What is there; None: not looked at yet."""
        self._counts: dict[str, int] = {}
        """How many members they have by what was told to ipset."""

    def make(
        self, wanted: Mapping[str, KernelSet], changes: Mapping[str, SetChange | None], sets: Mapping[str, IPSet]
    ) -> set[str]:
        """Make and fill the wanted sets; those that changed. Others stay. Raises: KernelError."""
        if self._made is None:
            return self._compare(wanted, sets)
        lines: list[str] = []
        touched: set[str] = set()
        for name, one in wanted.items():
            before = len(lines)
            known = self._made.get(name)
            if known is None:
                lines += create_lines(name, one, one.elements(sets))
            elif one.source is not None:
                lines += _changes(name, one, changes, sets)
            else:
                lines += change_lines(name, sorted(known.fixed - one.fixed), sorted(one.fixed - known.fixed))
            if len(lines) > before:
                touched.add(name)
        self._run(lines)
        self._made |= wanted
        return touched

    def _compare(self, wanted: Mapping[str, KernelSet], sets: Mapping[str, IPSet]) -> set[str]:
        """As `make`, where nothing is known."""
        found = read_sets(ipset.save())
        lines = [f"destroy {TEMPORARY}"] if found.pop(TEMPORARY, None) else []
        touched: set[str] = set()
        for name, one in wanted.items():
            there = found.get(name)
            if there is None:
                repair = list(create_lines(name, one, one.elements(sets)))
            else:
                gone, come = there.difference(one.elements(sets))
                repair = list(change_lines(name, gone, come))
            if repair:
                touched.add(name)
                lines += repair
        self._counts = {name: len(one.elements) for name, one in found.items()}
        self._run(lines)
        self._made = _known(found) | dict(wanted)
        return touched

    def _run(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        made, self._made = self._made, None  # where it fails, nobody knows how far it came
        ipset.restore("".join(f"{line}\n" for line in lines))
        self._made = made
        count(self._counts, lines)

    def distrust(self) -> None:
        """Compare all at the next `make`: what it took of changes will be told again, with what came since."""
        self._made = None

    def keep(self, wanted: Mapping[str, KernelSet], *, patience_s: float = 0.0) -> bool:
        """Take away all other sets; whether there were any. Those still in use stay for the next time, at the latest
        when patience ends. Raises: KernelError."""
        if self._made is None:
            return False
        gone = [name for name in self._made if name not in wanted]
        deadline = time.monotonic() + patience_s
        for name in gone:
            while not _destroyed(name):
                if time.monotonic() >= deadline:
                    return True
                time.sleep(0.01)
            del self._made[name]
            self._counts.pop(name, None)
        return bool(gone)

    def check(self, wanted: Mapping[str, KernelSet], sets: Mapping[str, IPSet]) -> list[str]:
        """Names of the sets that are not as they were made; the next `make` compares all. Raises: KernelError."""
        if self._made is None:
            return []
        found = read_sets(ipset.save())
        wrong = [name for name, one in wanted.items() if not _is_well(found.get(name), one, sets)]
        wrong += [name for name in found if name not in self._made]
        if wrong:
            self._made = None
        return wrong

    def count(self) -> list[str]:
        """As `check`, but by their numbers of members alone. Raises: KernelError."""
        if self._made is None:
            return []
        found = {name: number for name, number in ipset.counts().items() if name.startswith(PREFIX)}
        wrong = [
            name for name in sorted(found.keys() | self._counts.keys()) if found.get(name) != self._counts.get(name)
        ]
        if wrong:
            self._made = None
        return wrong

    def remove(self) -> list[str]:
        """Take away all of ours; their names. Raises: KernelError."""
        found = read_sets(ipset.save())
        self._made = _known(found)
        self.keep({}, patience_s=_PATIENCE_S)
        left, self._made = self._made, None
        if left:
            raise KernelError(ipset.DOOR, f"destroy {' '.join(left)}", EBUSY, "others' rules name our sets")
        return list(found)


def _known(found: Mapping[str, FoundSet]) -> dict[str, KernelSet]:
    """Sets that are only known to be there."""
    return {name: KernelSet(one.kind, one.version) for name, one in found.items()}


def _is_well(found: FoundSet | None, one: KernelSet, sets: Mapping[str, IPSet]) -> bool:
    return found is not None and found.is_like(one) and found.difference(one.elements(sets)) == ([], [])


def _changes(
    name: str, one: KernelSet, changes: Mapping[str, SetChange | None], sets: Mapping[str, IPSet]
) -> Iterable[str]:
    assert one.source is not None
    touched = {set_id: changes[set_id] for set_id in one.source.set_ids if set_id in changes}
    known = {set_id: change for set_id, change in touched.items() if change is not None and not change.is_new}
    if len(known) < len(touched):  # gone, or made anew: what was in it is not told
        return replace_lines(name, one, one.elements(sets))
    added, removed = union_change(one.source, known, sets)
    if not added and not removed:
        return ()
    return change_lines(name, *change_of(added, removed, wide_nets(one.source, sets)))


def _destroyed(name: str) -> bool:
    try:
        ipset.restore(f"destroy {name}\n")
    except KernelError as error:
        if error.code == EBUSY:
            return False
        raise
    return True
