"""One direction of an interface: the generation that judges its packets, what its counters mean, and exact counts."""

from __future__ import annotations

from collections import Counter

from tortie.dataplane.driver import InstalledVerdict
from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex, is_rejected
from tortie.dataplane.ebpf.counters import Counters, Run
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
            counted = rehearsal.meaning(lane, self.generation, self.index)
        rule, reason = self.index.decided(counted)
        if is_rejected(counted):
            return InstalledVerdict(Verdict.DENY, reason, rule, is_rejected=True)
        verdict = Verdict.DENY if ran.retval == _DROPPED[door] else Verdict.ALLOW
        has_metadata = door == "xdp" and rehearsal.has_metadata(ran, data, otherwise=self.index.is_untracked(rule))
        is_untracked = verdict is Verdict.ALLOW and (has_metadata or (door == "tc" and any(ran.ctx_out[8:12])))
        return InstalledVerdict(verdict, reason, rule, is_tracked=not is_untracked)


class Lane:
    """One direction: what packets find now, where they count, and the sum of what they counted before."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self.run = Run(0, 0)
        self._counters: Counters | None = None
        self._parity = 1
        """Whether what packets find is even (0) or odd (1)."""
        self._totals: Counts = Counter()

    @property
    def next_parity(self) -> int:
        """Whether what comes next has to be even (0) or odd (1)."""
        return 1 - self._parity

    def adopt(self, parity: int) -> None:
        """Packets find an even (0) or odd (1) generation of an earlier agent."""
        self._parity = parity

    def begin(self, running: Running, run: Run, counters: Counters) -> None:
        """Packets find that generation, count there, and no packet finds the one before any more."""
        self.close()
        self.running, self.run, self._parity = running, run, running.generation.parity
        self._counters = counters

    def counts(self) -> Counts:
        """Exact totals over every generation since we took the interface over."""
        found = self._totals.copy()
        if self.running is not None and self._counters is not None:
            found.update(self.running.generation.meaning(self._counters, self.run, self.running.index))
        return found

    def close(self) -> None:
        """Keep the counts, let go of the rest; the kernel keeps what packets find."""
        self._totals = self.counts()
        if self.running is not None:
            self.running.generation.close()
            self.running = None
