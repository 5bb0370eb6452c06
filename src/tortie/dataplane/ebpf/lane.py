"""One direction of an interface: the generation that judges its packets, what its counters mean, and exact counts."""

from __future__ import annotations

from collections import Counter

from tortie.dataplane.driver import InstalledVerdict
from tortie.dataplane.ebpf.classifiers import Classifiers, Counts, RuleIndex, is_rejected
from tortie.dataplane.ebpf.generation import Generation, Plan, Rejects, arranged, write
from tortie.dataplane.ebpf.pages import PAGE, Pages
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.ebpf.seal import Seal
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.dataplane.frames import frame
from tortie.model.address import Net
from tortie.model.desired import SetChange
from tortie.model.packet import Packet
from tortie.model.passage import ANSWERED
from tortie.model.verdict import RuleRef, Verdict

_DROPPED = {"xdp": 1, "tc": 2, "egress": 2}
"""What a door returns for a dropped packet."""


class Running:
    """Pages that packets find, with what their counters mean. Members are added in place if we made them."""

    def __init__(
        self, plan: Plan, index: RuleIndex, pages: Pages, classifiers: Classifiers, generation: Generation | None
    ) -> None:
        self.plan, self.index, self.pages = plan, index, pages
        self.classifiers, self._generation = classifiers, generation
        self._seal = generation.seal if generation is not None else _seal(pages, classifiers)
        self.is_outdated = False
        """Members changed in place: the tables no longer are what the digest says."""
        self.is_tampered = False
        """Others changed the tables."""

    @classmethod
    def made(cls, plan: Plan, index: RuleIndex) -> Running:
        """A new generation, which no packet finds yet. Raises: KernelError, Unsupported."""
        generation = Generation(plan)
        return cls(plan, index, generation.pages, generation.classifiers, generation)

    @classmethod
    def taken_over(cls, plan: Plan, index: RuleIndex, pages: Pages) -> Running | None:
        """The pages of an earlier agent, if they are what the plan asks for; they are closed if not.

        Because: the digest says what a generation was made of, not what became of it. It is not the same any more where
        members changed in place, even if they changed back, or where others edited it.
        """
        classifiers = None
        try:
            if pages.field("digest") == plan.digest:
                classifiers = Classifiers(plan.stages, plan.members)
                at = arranged(plan, classifiers)
                wanted = bytearray(at.counters)
                write(memoryview(wanted), plan, classifiers, at, pages.id)
                if at.end <= pages.size * PAGE and pages.read(0, at.counters) == wanted:
                    classifiers.settle()
                    return cls(plan, index, pages, classifiers, None)
        except BaseException:
            pages.close()
            raise
        if classifiers is not None:
            classifiers.close()
        pages.close()
        return None

    def change(self, set_id: str, change: SetChange) -> bool:
        """Take a change of a set's members in place; False: a new generation is needed."""
        if self._generation is None or change.is_new or change.has_ports:
            return False
        atom = SetAtom(set_id)
        members = [*((net, True) for net in change.added), *((net, False) for net in change.removed)]
        if not all(isinstance(net, Net) and net.is_host for net, _ in members) or self._seal.broken(live_only=True):
            return False
        self.is_outdated = True
        is_done = all(
            isinstance(net, Net) and self.classifiers.change_host(net, atom, is_member=is_member)
            for net, is_member in members
        )
        self._seal.note()
        return is_done

    def check(self) -> tuple[str, ...]:
        """What others edited since we wrote it; a new generation is needed then."""
        broken = self._seal.broken()
        self.is_tampered = bool(broken)
        return broken

    def uses(self, set_id: str) -> bool:
        """Whether a rule names the set."""
        return self.classifiers.uses(set_id)

    def counts(self) -> Counts:
        """Packets by rule met and by reason."""
        return self.classifiers.meaning(self.pages.counters(), self.index)

    def met(self, counter: int) -> tuple[tuple[RuleRef, ...], str]:
        """The rules that a packet under this counter met, in order, and what it got of the last one: as in LogEvent."""
        rules, stage, verdict = self.classifiers.told(counter, self.index)
        is_rejected = verdict is Verdict.DENY and stage in ANSWERED and self.plan.rejects is not Rejects.NOT
        return tuple(rules), "reject" if is_rejected else verdict.value if verdict is not None else ""

    def ask(self, packet: Packet, door: str, ifindex: int, rehearsal: Rehearsal) -> InstalledVerdict:
        """What these pages say of a packet that is the first of its flow, why, and what decided. No count changes."""
        data, twin = frame(packet), self.pages.twin()
        try:
            with rehearsal.lane(twin) as lane:
                ran = rehearsal.run(door, lane, twin, data, ifindex)
            counted = self.classifiers.meaning(twin.counters(), self.index)
        finally:
            twin.close()
        rule, reason = self.index.decided(counted)
        if is_rejected(counted):
            return InstalledVerdict(Verdict.DENY, reason, rule, is_rejected=True)
        verdict = Verdict.DENY if ran.retval == _DROPPED[door] else Verdict.ALLOW
        has_metadata = door == "xdp" and rehearsal.has_metadata(ran, data, otherwise=self.index.is_untracked(rule))
        is_untracked = verdict is Verdict.ALLOW and (has_metadata or (door == "tc" and any(ran.ctx_out[8:12])))
        return InstalledVerdict(verdict, reason, rule, is_tracked=not is_untracked)

    def close(self) -> None:
        """Let go; the kernel keeps what packets find."""
        if self._generation is not None:
            self._generation.close()
        else:
            self._seal.close()
            self.classifiers.close()
            self.pages.close()


def _seal(pages: Pages, classifiers: Classifiers) -> Seal:
    """A seal on pages that are not frozen."""
    if not classifiers.can_change:
        return Seal({})
    return Seal({"tables": pages.memory(pages.number("counters"))})


class Lane:
    """One direction: what packets find now, and the sum of what they found before."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self._totals: Counts = Counter()

    def replace(self, running: Running) -> None:
        """Other pages are found, and no packet finds those before any more: their counts are final."""
        self._fold()
        self.running = running

    def counts(self) -> Counts:
        """Exact totals over every generation since we took the interface over."""
        found = self._totals.copy()
        if self.running is not None:
            found.update(self.running.counts())
        return found

    def close(self) -> None:
        """Fold the counts, let go of the pages."""
        self._fold()

    def _fold(self) -> None:
        if self.running is not None:
            self._totals.update(self.running.counts())
            self.running.close()
            self.running = None
