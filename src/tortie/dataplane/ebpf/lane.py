"""One direction of an interface: the generation that judges its packets, what its counters mean, and exact counts."""

from __future__ import annotations

from collections import Counter

from tortie.dataplane.driver import InstalledVerdict
from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex, is_rejected
from tortie.dataplane.ebpf.counters import Counters
from tortie.dataplane.ebpf.frames import frame
from tortie.dataplane.ebpf.generation import Generation, Rejects
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.model.packet import Packet
from tortie.model.passage import ANSWERED
from tortie.model.verdict import RuleRef, Verdict

_DROPPED = {"xdp": 1, "tc": 2, "egress": 2}
"""What a door returns for a dropped packet."""


class Running:
    """A generation that packets of a lane find, and what its rules are called there."""

    def __init__(self, generation: Generation, index: RuleIndex) -> None:
        self.generation, self.index = generation, index

    def met(self, counter: int) -> tuple[tuple[RuleRef, ...], str]:
        """The rules that a packet under this counter met, in order, and what it got of the last one: as in LogEvent."""
        rules, stage, verdict = self.generation.classifiers.told(counter, self.index)
        rejects = self.generation.plan.rejects
        is_rejected = verdict is Verdict.DENY and stage in ANSWERED and rejects is not Rejects.NOT
        return tuple(rules), "reject" if is_rejected else verdict.value if verdict is not None else ""

    def ask(self, packet: Packet, door: str, ifindex: int, rehearsal: Rehearsal) -> InstalledVerdict:
        """What its tables say of a packet that is the first of its flow, why, and what decided. No count changes."""
        data = frame(packet)
        with rehearsal.lane(self.generation) as lane:
            ran = rehearsal.run(door, lane, self.generation.pages, data, ifindex)
            counted = self.generation.meaning(rehearsal.counters(lane), self.index)
        rule, reason = self.index.decided(counted)
        if is_rejected(counted):
            return InstalledVerdict(Verdict.DENY, reason, rule, is_rejected=True)
        verdict = Verdict.DENY if ran.retval == _DROPPED[door] else Verdict.ALLOW
        has_metadata = door == "xdp" and rehearsal.has_metadata(ran, data, otherwise=self.index.is_untracked(rule))
        is_untracked = verdict is Verdict.ALLOW and (has_metadata or (door == "tc" and any(ran.ctx_out[8:12])))
        return InstalledVerdict(verdict, reason, rule, is_tracked=not is_untracked)


class Lane:
    """One direction: what packets find now, its counters, and the sum of what they counted before."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.counters: Counters | None = None
        self._parity = 1
        """In which words packets count now (counters.py)."""
        self._totals: Counts = Counter()

    @property
    def next_parity(self) -> int:
        """In which words a generation has to count that comes next."""
        return 1 - self._parity

    def adopt(self, counters: Counters | None, parity: int) -> None:
        """An earlier agent's counters, where they are left, and in which words packets count now."""
        self.counters, self._parity = counters, parity

    def prepare(self, generation: Generation) -> Counters | None:
        """Have counters at zero for what comes next; other ones, if those there are too few: packets have to find them
        first, and then `change_counters` is told."""
        if self.counters is not None and self.counters.fits(generation.stride):
            self.counters.clear(generation.parity)
            return None
        return Counters.create(generation.stride)

    def change_counters(self, counters: Counters) -> None:
        """Packets count there, and no packet in those before any more."""
        self._fold()
        if self.counters is not None:
            self.counters.close()
        self.counters = counters

    def replace(self, running: Running) -> None:
        """Another generation is found, and no packet finds the one before any more: its counts are final."""
        self._fold()
        if self.running is not None:
            self.running.generation.close()
        self.running, self._parity = running, running.generation.parity

    def counts(self) -> Counts:
        """Exact totals over every generation since we took the interface over."""
        found = self._totals.copy()
        if self.running is not None and self.counters is not None:
            found.update(self.running.generation.meaning(self.counters, self.running.index))
        return found

    def close(self) -> None:
        """Keep the counts, let go of the rest; the kernel keeps what packets find."""
        self._totals = self.counts()
        if self.running is not None:
            self.running.generation.close()
            self.running = None
        if self.counters is not None:
            self.counters.close()
            self.counters = None
        self._parity = 1

    def _fold(self) -> None:
        self._totals = self.counts()
