"""One interface of the driver: its hooks, its newest generation, and exact counts over all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tortie.dataplane.driver import Acceleration, InstalledVerdict, LogEvent
from tortie.dataplane.ebpf.compile import Classifier
from tortie.dataplane.ebpf.events import decode
from tortie.dataplane.ebpf.frames import frame
from tortie.dataplane.ebpf.generation import REASON_BASE, REASONS, Generation, Plan
from tortie.dataplane.ebpf.hooks import DOORS, Hooks, Traits
from tortie.dataplane.ebpf.installed import Installed
from tortie.dataplane.ebpf.plan import RuleIndex
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.desired import EndpointState, SetChange
from tortie.model.packet import Packet
from tortie.model.verdict import Reason, RuleRef, Verdict

GRACE_S = 0.05
"""How long a packet may still be in a program that was replaced: far more than one softirq takes."""
_REASON_OF = {place: reason for reason, place in REASONS.items()}
_VERDICTS = {1: Verdict.DENY, 2: Verdict.CONTINUE}

Counts = Counter[RuleRef | Reason]


class Running:
    """A policy program that packets meet, with what its counters mean. Its tables can change in place if we made it."""

    def __init__(
        self, plan: Plan, index: RuleIndex, installed: Installed, classifier: Classifier, generation: Generation | None
    ) -> None:
        self.plan, self.index, self.installed = plan, index, installed
        self.classifier, self.generation = classifier, generation
        self.is_outdated = False
        """Members changed in place: the tables no longer are what the digest says."""
        self._refs: Sequence[RuleRef] | None = None

    @property
    def refs(self) -> Sequence[RuleRef]:
        """Rules by number."""
        if self._refs is None:
            self._refs = self.index.refs()
        return self._refs

    def change(self, set_id: str, change: SetChange) -> bool:
        """Take a change of a set's members in place; False: a new generation is needed."""
        if self.generation is None or change.is_new or change.has_ports:
            return False
        atom = SetAtom(set_id)
        members = [*((net, True) for net in change.added), *((net, False) for net in change.removed)]
        if not all(isinstance(net, Net) and net.is_host for net, _ in members):
            return False
        self.is_outdated = True
        return all(
            isinstance(net, Net) and self.generation.classifier.change_host(net, atom, is_member=is_member)
            for net, is_member in members
        )

    def uses(self, set_id: str) -> bool:
        """Whether a rule names the set."""
        return any(atom.set_id == set_id for tier in self.plan.tiers for block in tier for atom in block.sets)

    def counts(self) -> Counts:
        """Packets by rule met and by reason."""
        return self.meaning(self.installed.counters())

    def meaning(self, counters: Sequence[int]) -> Counts:
        """What those counters say."""
        found: Counts = Counter()
        for number, count in enumerate(counters):
            if not count:
                continue
            if number < REASON_BASE:
                if number in _REASON_OF:
                    found[_REASON_OF[number]] += count
            elif self.classifier.counts_rules:
                found[self.refs[number - REASON_BASE]] += count
            elif outcome := self.classifier.outcome(number - REASON_BASE):
                for rule in outcome.rules:
                    found[self.refs[rule]] += count
                if outcome.reason != REASON_BASE:
                    found[_REASON_OF[outcome.reason]] += count
        return found

    def close(self) -> None:
        """Let go; the kernel keeps what packets meet."""
        self.installed.close()
        if self.generation is not None:
            self.generation.close()
        else:
            self.classifier.close()


class InterfacePlane:
    """See the module."""

    def __init__(self, folder: Path, traits: Traits) -> None:
        self._folder, self._traits = folder, traits
        self.hooks: Hooks | None = None
        self.running: Running | None = None
        self._retired: list[tuple[float, Running]] = []
        self._totals: Counts = Counter()

    def enforce(self, state: EndpointState, plan: Plan, index: RuleIndex) -> bool:
        """Make the interface enforce the plan; whether anything changed. Raises: KernelError, Unsupported; the state
        before stays."""
        if self.hooks is None:
            self.hooks = Hooks.adopt(self._folder, state.interface.index, self._traits)
        if self.hooks is None:
            self._attach(state.interface.index, plan, index)
            return True
        running = self.running
        if running is None:
            running = self._take_over(self.hooks, plan, index)
        elif running.plan.digest == plan.digest and not running.is_outdated:
            running.index = index
        else:
            running = None
        if running is not None:
            self.running = running
            return False
        made = self._make(DOORS[self.hooks.acceleration], plan, index)
        self.hooks.install(made.installed.fd)
        self._replace(made)
        return True

    def place(self, index: int, folder: Path) -> None:
        """Be on the interface of that index, with pins in that folder; one that came again has another index."""
        if self.hooks is not None and self.hooks.index != index:
            self.release()
        self._folder = folder

    def keep(self, index: int) -> bool:
        """Take over what an earlier agent left, as it is, where its newest policy is refused; whether there is any."""
        if self.hooks is None:
            self.hooks = Hooks.adopt(self._folder, index, self._traits)
        return self.hooks is not None

    def move(self, folder: Path) -> None:
        """Have the pins in another folder from the next repair on: the bpffs they were in is gone."""
        self._folder = folder
        if self.hooks is not None:
            self.hooks.folder = folder

    def _attach(self, index: int, plan: Plan, rules: RuleIndex) -> None:
        made: dict[str, Running] = {}

        def load(door: str) -> int:
            made[door] = self._make(door, plan, rules)
            return made[door].installed.fd

        try:
            self.hooks = Hooks.attach(self._folder, index, self._traits, load)
        except BaseException:
            for running in made.values():
                running.close()
            raise
        self._replace(made.pop(DOORS[self.hooks.acceleration]))
        for running in made.values():
            running.close()

    def _make(self, door: str, plan: Plan, index: RuleIndex) -> Running:
        generation = Generation(plan, door, mark_bit=self._traits.mark_bit, has_frags=self._traits.has_frags)
        try:
            installed = Installed.open(bpf.program_info(generation.program_fd).id, door)
        except BaseException:
            generation.close()
            raise
        return Running(plan, index, installed, generation.classifier, generation)

    def _take_over(self, hooks: Hooks, plan: Plan, index: RuleIndex) -> Running | None:
        """The program that an earlier agent left, if it is what the plan asks for."""
        installed = Installed.open(hooks.installed_program(), DOORS[hooks.acceleration])
        try:
            if installed.digest() == plan.digest and "counters" in installed.maps:
                return Running(plan, index, installed, Classifier(plan.tiers, plan.members), None)
        except BaseException:
            installed.close()
            raise
        installed.close()
        return None

    def _replace(self, running: Running) -> None:
        if self.running is not None:
            self._retired.append((time.monotonic() + GRACE_S, self.running))
        self.running = running

    def repair(self) -> tuple[str, ...]:
        """Put back what others removed; what that was. Raises: KernelError."""
        if self.hooks is None:
            return ()
        repaired = list(self.hooks.repair())
        if (
            self.running is not None
            and self.hooks.installed_program() != bpf.program_info(self.running.installed.fd).id
        ):
            self.hooks.install(self.running.installed.fd)
            repaired.append(f"policy program of interface {self.hooks.index}")
        return tuple(repaired)

    def could_have_xdp(self) -> bool:
        """Whether another's XDP program made us use tc, and is gone now."""
        if self.hooks is None or self.hooks.acceleration is Acceleration.XDP:
            return False
        return "is there; remove it" in self.hooks.reason and bpf.xdp_query(self.hooks.index)[0] == 0

    def counts(self) -> Counts:
        """Exact totals of this interface, over every generation since we took it over."""
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

    def probe(self, packet: Packet) -> InstalledVerdict | None:
        """The installed program's verdict on a packet, its reason and its deciding rule."""
        running = self.running
        if running is None:
            return None
        data = frame(packet)
        ran, counted = running.installed.test_run(data)
        meaning = running.meaning(counted)
        met = [rule for rule in running.refs if rule in meaning]
        reasons = [reason for reason in meaning if isinstance(reason, Reason)]
        if running.installed.door == "xdp":
            verdict = _VERDICTS[ran.retval]
            if verdict is Verdict.CONTINUE and len(ran.data_out) > len(data):
                verdict = Verdict.ALLOW
        else:
            mark = int.from_bytes(ran.ctx_out[8:12], "little")
            verdict = Verdict.DENY if ran.retval == 2 else Verdict.ALLOW if mark else Verdict.CONTINUE
        decided = not reasons
        return InstalledVerdict(verdict, Reason.POLICY if decided else reasons[0], met[-1] if decided and met else None)

    def log_events(self, interface: str) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        running = self.running
        if running is None or "events" not in running.installed.maps:
            return ()
        return _events(running, interface)

    def release(self) -> None:
        """Take everything of ours off the interface."""
        if self.hooks is not None:
            self.hooks.detach()
            self.hooks = None
        self.close_programs()

    def close_programs(self) -> None:
        """Fold the counts, let go of the programs."""
        self.settle(at_once=True)
        if self.running is not None:
            self._totals.update(self.running.counts())
            self.running.close()
            self.running = None


def _events(running: Running, interface: str) -> Sequence[LogEvent]:
    found = []
    with bpf.RingBuffer(running.installed.maps["events"]) as ring:
        events = [decode(record) for record in ring.consume()]
    for packet, counter in events:
        outcome = None if running.classifier.counts_rules else running.classifier.outcome(counter - REASON_BASE)
        rules = (counter - REASON_BASE,) if running.classifier.counts_rules else outcome.rules if outcome else ()
        found.append(LogEvent(interface, packet, tuple(running.refs[rule] for rule in rules)))
    return found
