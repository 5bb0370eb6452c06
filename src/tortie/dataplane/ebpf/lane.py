"""One direction of an interface: the program that packets meet, what its counters mean, and exact counts over time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from tortie.dataplane.driver import InstalledVerdict, LogEvent
from tortie.dataplane.ebpf.classifiers import Classifiers, Counts, RuleIndex
from tortie.dataplane.ebpf.events import decode
from tortie.dataplane.ebpf.frames import frame
from tortie.dataplane.ebpf.generation import Generation, Plan
from tortie.dataplane.ebpf.installed import Installed
from tortie.dataplane.ebpf.seal import Seal
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.desired import SetChange
from tortie.model.packet import Packet
from tortie.model.verdict import Verdict

GRACE_S = 0.05
"""How long a packet may still be in a program that was replaced: far more than one softirq takes."""
_DROPPED = {"xdp": 1, "tc": 2, "egress": 2}
"""What a door returns for a dropped packet."""


class Running:
    """A policy program that packets meet, with what its counters mean. Its tables can change in place if we made it."""

    def __init__(
        self,
        plan: Plan,
        index: RuleIndex,
        installed: Installed,
        classifiers: Classifiers,
        generation: Generation | None,
        seal: Seal,
    ) -> None:
        self.plan, self.index, self.installed = plan, index, installed
        self.classifiers, self.generation, self._seal = classifiers, generation, seal
        self.is_outdated = False
        """Members changed in place: the tables no longer are what the digest says."""
        self.is_tampered = False
        """Others changed the tables."""

    def change(self, set_id: str, change: SetChange) -> bool:
        """Take a change of a set's members in place; False: a new generation is needed."""
        if self.generation is None or change.is_new or change.has_ports:
            return False
        atom = SetAtom(set_id)
        members = [*((net, True) for net in change.added), *((net, False) for net in change.removed)]
        if not all(isinstance(net, Net) and net.is_host for net, _ in members) or self._seal.broken():
            return False
        self.is_outdated = True
        is_done = all(
            isinstance(net, Net) and self.classifiers.change_host(net, atom, is_member=is_member)
            for net, is_member in members
        )
        self._seal.note()
        return is_done

    def check(self) -> tuple[str, ...]:
        """Tables that others edited since we wrote them; a new generation is needed then."""
        broken = self._seal.broken()
        self.is_tampered = bool(broken)
        return broken

    def uses(self, set_id: str) -> bool:
        """Whether a rule names the set."""
        return self.classifiers.uses(set_id)

    def counts(self) -> Counts:
        """Packets by rule met and by reason."""
        return self.meaning(self.installed.counters())

    def meaning(self, counters: Sequence[int]) -> Counts:
        """What those counters say."""
        return self.classifiers.meaning(counters, self.index)

    def log_events(self, interface: str) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        if "events" not in self.installed.maps:
            return ()
        with bpf.RingBuffer(self.installed.maps["events"]) as ring:
            events = [decode(record) for record in ring.consume()]
        return [
            LogEvent(interface, packet, tuple(self.classifiers.rules_met(counter, self.index)))
            for packet, counter in events
        ]

    def ask(self, packet: Packet, ifindex: int) -> InstalledVerdict:
        """The program's verdict on a packet that is the first of its flow, its reason and what decided."""
        data = frame(packet)
        ran, counted = self.installed.test_run(data, ifindex)
        rule, reason = self.index.decided(self.meaning(counted))
        is_dropped = ran.retval == _DROPPED[self.installed.door]
        if self.installed.door == "xdp":
            is_untracked = len(ran.data_out) > len(data)
        else:
            is_untracked = self.installed.door == "tc" and any(ran.ctx_out[8:12])
        verdict = Verdict.DENY if is_dropped else Verdict.ALLOW
        return InstalledVerdict(verdict, reason, rule, is_tracked=not is_untracked)

    def close(self) -> None:
        """Let go; the kernel keeps what packets meet."""
        self.installed.close()
        if self.generation is not None:
            self.generation.close()
        else:
            self._seal.close()
            self.classifiers.close()


class Lane:
    """One direction: what packets meet now, what they met before, and the sum."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self._retired: list[tuple[float, Running]] = []
        self._totals: Counts = Counter()

    def replace(self, running: Running) -> None:
        """Another program is in the slot; the one before is kept until no packet can be in it."""
        if self.running is not None:
            self._retired.append((time.monotonic() + GRACE_S, self.running))
        self.running = running

    def counts(self) -> Counts:
        """Exact totals over every generation since we took the interface over."""
        self.settle()
        found = self._totals.copy()
        for running in (*(running for _, running in self._retired), *([self.running] if self.running else ())):
            found.update(running.counts())
        return found

    def settle(self, *, at_once: bool = False) -> None:
        """Fold replaced generations into the totals once no packet can be in them."""
        now = time.monotonic()
        kept = []
        for until, running in self._retired:
            if at_once or now >= until:
                self._totals.update(running.counts())
                running.close()
            else:
                kept.append((until, running))
        self._retired = kept

    def close(self) -> None:
        """Fold the counts, let go of the programs."""
        self.settle(at_once=True)
        if self.running is not None:
            self._totals.update(self.running.counts())
            self.running.close()
            self.running = None
