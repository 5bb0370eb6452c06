"""The tables of this network namespace: those of IPv4 and IPv6, side by side. Acts.

Because: each IP version takes processes of its own, which list and change, and no packet meets both.

The kernel counts the transactions of nf_tables. As long as that count is the one after our own last one, nobody changed
anything: tables of the nft variant need not be read then. The legacy variant has no such count.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TypeVar

from tortie.dataplane.iptables.table import Key, Table
from tortie.dataplane.iptables.version import MadeTables, VersionTables
from tortie.dataplane.telling import CountKey
from tortie.kernel import iptables, nft

T = TypeVar("T")


def _nothing() -> None:
    """What is done meanwhile, where there is nothing to do."""


class InstalledTables:
    """Wanted against installed, in one variant of iptables."""

    def __init__(self, variant: str, versions: tuple[int, ...]) -> None:
        self._variant = variant
        turn = Lock()
        self._versions = tuple(VersionTables(variant, version, turn, self._restore) for version in versions)
        self._meanwhile: Callable[[], None] = _nothing
        self._generation: int | None = None
        """The kernel's count while all tables are surely as they were made; None: others came between."""
        self._is_looked_at = False
        """Whether a check found all tables well since the last change."""
        self._is_in_doubt = False
        """Whether a check has all made anew because nobody can tell how it was."""

    def make(self, wanted: Mapping[Key, Table], meanwhile: Callable[[], None] = _nothing) -> MadeTables:
        """Make the tables so. Raises: KernelError; what is not made is tried again.

        `meanwhile` is done once while iptables is at work, if it has to be.
        """
        before = self._count()
        was_untouched = before is not None and before == self._generation
        # Whoever came before this has changed nothing that is read and replaced as a whole.
        is_sure = was_untouched or all(one.is_all_doubtful for one in self._versions)
        self._generation, self._meanwhile = None, meanwhile

        def is_untouched() -> bool:
            return was_untouched and self._unless_others(before) is not None

        try:
            made = self._each(partial(VersionTables.make, everything=wanted, is_untouched=is_untouched))
        finally:
            self._meanwhile = _nothing
        is_changed = any(one.is_changed for one in made)
        self._is_looked_at &= not is_changed
        self._generation = self._unless_others(before) if is_sure else None
        if self._is_in_doubt or any(one.repaired for one in made):  # seen at once: who changed something does it again
            self._is_in_doubt = False
            self.check()
        return MadeTables(is_changed, tuple(name for one in made for name in one.repaired))

    def check(self) -> list[str]:
        """Names of the tables that are not as they were made, which the next `make` replaces. Raises: KernelError.

        It replaces all, too, where others changed something, perhaps not ours, before a check has seen what we made.
        Only the nft variant can tell.
        """
        before = self._count()
        is_untouched = before is not None and before == self._generation
        if self._is_looked_at and is_untouched:
            return []
        self._generation = None
        self._is_in_doubt = before is not None and not is_untouched and any(one.is_unseen for one in self._versions)
        if self._is_in_doubt:
            for version in self._versions:
                version.doubt()
            return []
        tampered = [name for names in self._each(VersionTables.check) for name in names]
        self._is_looked_at = not tampered
        self._generation = None if tampered else self._unless_others(before)
        return tampered

    def _count(self) -> int | None:
        """The kernel's count, from which ours are counted; None where it has none."""
        for one in self._versions:
            one.transactions = 0
        return nft.generation() if self._variant == iptables.NFT else None

    def _unless_others(self, before: int | None) -> int | None:
        """The kernel's count, if since `before` nobody changed anything but we."""
        if before is None:
            return None
        ours = sum(one.transactions for one in self._versions)
        return before + ours if nft.generation() == before + ours else None

    def is_from_before(self) -> bool:
        """Whether tables of ours are there and an earlier agent made them. Raises: KernelError."""
        return not self._is_known and bool(self.found())

    def interfaces_from_before(self) -> frozenset[str]:
        """Interfaces that rules of an earlier agent police, as long as they are there. Raises: KernelError."""
        return frozenset().union(*(() if self._is_known else self._each(VersionTables.interfaces)))

    def found(self) -> list[str]:
        """Names of the tables with something of ours in them. Raises: KernelError."""
        return [name for names in self._each(VersionTables.found) for name in names]

    def counts(self) -> Counter[CountKey]:
        """Exact totals. Raises: KernelError."""
        total: Counter[CountKey] = Counter()
        for counted in self._each(VersionTables.counts):
            total.update(counted)  # an addition would leave out what counted nothing
        return total

    @property
    def _is_known(self) -> bool:
        return any(one.is_known for one in self._versions)

    def _each(self, work: Callable[[VersionTables], T]) -> list[T]:
        """What comes of it for each IP version; all have ended. Raises what the first raised that failed."""
        with ThreadPoolExecutor(len(self._versions)) as pool:
            return list(pool.map(work, self._versions))

    def _restore(self, version: int, script: str) -> None:
        """Carry out a script. Raises: KernelError.

        For whoever has the turn: nf_tables takes one transaction at a time, and iptables does all its work again where
        another one came first.
        """
        running = iptables.Restoring(self._variant, version, script)
        try:
            meanwhile, self._meanwhile = self._meanwhile, _nothing
            meanwhile()
        finally:
            running.finish()
