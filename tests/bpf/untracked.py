"""Loads a case's ingress policy as the driver does, and tells what the program did to a packet, counters included."""

import errno
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from struct import pack, unpack_from

from strategies import Case
from tortie.dataplane.ebpf.classifiers import REASON_BASE, REASONS, RuleIndex
from tortie.dataplane.ebpf.compile import Classifier
from tortie.dataplane.ebpf.generation import Generation, Plan
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.dataplane.ebpf.plan import Planner
from tortie.dataplane.ebpf.programs import Traits
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.kernel import bpf, features
from tortie.kernel.errors import KernelError
from tortie.model.essential import is_essential
from tortie.model.evaluate import evaluate_untracked
from tortie.model.ipset import IPSet
from tortie.model.martian import is_martian
from tortie.model.packet import Direction, Fragment, Packet
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict

MARK = 0x00100000
XDP_DROP, XDP_PASS = 1, 2
TC_UNSPEC, TC_SHOT = 0xFFFFFFFF, 2
Counts = Counter[RuleRef | Reason]


@cache
def rehearsal() -> Rehearsal:
    """Programs that all tests of this process ask; they are loaded once."""
    return Rehearsal(traits())


@cache
def traits() -> Traits:
    """What this kernel has, with the mark bit of the tests."""
    found = features.probe()
    return Traits(has_tcx=found.has("tcx"), has_frags=found.has("xdp-frags"), mark_bit=MARK)


@cache
def tells_metadata() -> bool:
    """Whether a test run in XDP says what metadata it left; Linux 5.14 brought that together with the context."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as obj:
        for name in obj.program_names:
            obj.set_autoload(name, name == "xdp_empty")
        obj.load()
        try:
            bpf.test_run(obj.program_fd("xdp_empty"), bytes(64), ctx=pack("=6I", 0, 64, 0, 0, 0, 0))
        except KernelError as error:
            assert error.code == errno.EINVAL
            return False
    return True


@dataclass
class Loaded:
    """A generation of a case before one of the doors, and the counters it ought to have."""

    case: Case
    door: str
    generation: Generation
    lane: int
    refs: list[RuleRef]
    before: Counts = field(default_factory=Counter)
    """Where the kernel does not tell metadata: what was counted until the last packet."""

    def run(self, frame: bytes) -> Verdict:
        """The program's verdict on one frame."""
        program = rehearsal().enter(self.door, self.lane, self.generation.pages)
        if self.door == "xdp":
            ran = bpf.test_run(program, frame)
            if ran.retval == XDP_DROP:
                self.before = self.counts() if not tells_metadata() else self.before
                return Verdict.DENY
            assert ran.retval == XDP_PASS
            if not tells_metadata():  # untracked policy alone ends either with a rule or with a reason
                now, before = self.counts(), self.before
                self.before = now
                return Verdict.CONTINUE if any(isinstance(what, Reason) for what in now - before) else Verdict.ALLOW
            return Verdict.ALLOW if len(ran.data_out) == len(frame) + 4 else Verdict.CONTINUE
        ran = bpf.test_run(program, frame, ctx=bytes(192))
        if ran.retval == TC_SHOT:
            return Verdict.DENY
        assert ran.retval == TC_UNSPEC
        (mark,) = unpack_from("<I", ran.ctx_out, 8)
        return Verdict.ALLOW if mark & MARK else Verdict.CONTINUE

    def counts(self, lane: int | None = None) -> Counts:
        """Packets by rule and by reason, as the driver reads them; of another lane, where it was put there too."""
        index = RuleIndex({Stage.UNTRACKED: self.refs})
        return rehearsal().meaning(self.lane if lane is None else lane, self.generation, index)

    def close(self) -> None:
        rehearsal().take_out(self.lane, self.generation.pages)
        rehearsal().log_records()  # all tests share one buffer
        self.generation.close()


def load(
    case: Case,
    *,
    door: str = "xdp",
    backend: str = "auto",
    sets: Mapping[str, IPSet] | None = None,
    parity: int = 0,
) -> Loaded:
    """The case's untracked ingress policy before a loaded program."""
    plan, refs = plan_of(case, sets)
    generation = Generation.made(plan, parity, backend=backend)
    return Loaded(case, door, generation, rehearsal().put(generation), list(refs))


def plan_of(case: Case, sets: Mapping[str, IPSet] | None = None) -> tuple[Plan, Sequence[RuleRef]]:
    """The plan of the case's untracked ingress policy alone, and what its rule numbers mean."""
    found = case.sets if sets is None else sets
    plan, index = Planner().plan(case.endpoint, Direction.INGRESS, found, case.failsafes, None)
    return plan, index.refs[Stage.UNTRACKED]


def meaning(totals: Sequence[int], classifier: Classifier, refs: Sequence[RuleRef]) -> Counts:
    """Counters by rule and reason."""
    found: Counts = Counter()
    for reason, place in REASONS.items():
        found[reason] += totals[place] if place < len(totals) else 0
    for number, count in enumerate(totals[REASON_BASE:]):
        if not count:
            continue
        if classifier.counts_rules:
            found[refs[number]] += count
            continue
        outcome = classifier.outcome(number)
        assert outcome is not None
        for rule in outcome.rules:
            found[refs[rule]] += count
        if outcome.reason != REASON_BASE:
            found[next(r for r, place in REASONS.items() if place == outcome.reason)] += count
    return +found


def expected_counts(trace: Trace) -> Counts:
    """What one packet with that trace adds."""
    found: Counts = Counter(step.rule for step in trace.steps)
    if trace.reason is not Reason.POLICY:
        found[trace.reason] += 1
    return found


class FirstFragments:
    """What the program remembers: protocol and ports of first fragments, for the later ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Packet] = {}

    def seen(self, packet: Packet) -> Packet:
        """The packet, with the fields of its first fragment if that went by."""
        key = (packet.version, packet.source, packet.destination, packet.fragment_id)
        if packet.version == 4:
            key += (packet.protocol,)
        if packet.fragment is Fragment.FIRST:
            self._known[key] = packet
        first = self._known.get(key)
        return packet if first is None else packet.completed_by(first)


def unread(reason: Reason, *, passed: Verdict = Verdict.CONTINUE) -> Trace:
    """What becomes of a frame without a packet, which no policy is asked about."""
    verdict = passed if reason in (Reason.NOT_IP, Reason.VLAN) else Verdict.DENY
    return Trace(verdict=verdict, reason=reason, stage=Stage.UNTRACKED)


def judge(case: Case, packet: Packet | Reason, memory: FirstFragments) -> Trace:
    """The evaluator's trace, with the memory of first fragments; of a frame without a packet, that of its reason."""
    if isinstance(packet, Reason):
        return unread(packet)
    if not is_essential(packet) and is_martian(packet, case.addresses):
        memory.seen(packet)
        return unread(Reason.MARTIAN)
    return evaluate_untracked(memory.seen(packet), Direction.INGRESS, case.endpoint, case.sets, case.failsafes)
