"""XDP in front against the evaluator: what untracked policy denies is dropped, of what it let on the metadata says what
policy made of it, and whatever the driver behind has to decide goes on without a word. Counters of rules are exact."""

from collections import Counter
from random import Random
from struct import unpack_from

import pytest

from bpf.differences import LONGEST
from bpf.untracked import XDP_DROP, XDP_PASS, load, rehearsal, tells_metadata
from dissect import dissect
from dressing import dressed
from strategies import Case, random_case, random_packet
from tortie.dataplane.ebpf.shared import FRONT
from tortie.kernel import bpf
from tortie.model.essential import is_essential
from tortie.model.evaluate import evaluate_untracked
from tortie.model.packet import Direction, Fragment, Packet
from tortie.model.verdict import Reason, RuleRef, Verdict

pytestmark = pytest.mark.root
SAID = 0x746F7240
"""What its metadata begins with (metadata.h)."""
CASES, PACKETS = 60, 300


def expected(case: Case, packet: Packet | Reason, backend: str, parity: int) -> tuple[int | None, list[RuleRef]]:
    """The metadata, 0 for nothing said, None for a drop; and the rules that are counted."""
    if isinstance(packet, Reason) or is_essential(packet) or packet.fragment is Fragment.LATER:
        return 0, []
    is_whole = packet.fragment is Fragment.WHOLE
    if not is_whole and backend == "bits":
        return 0, []
    trace = evaluate_untracked(packet, Direction.INGRESS, case.endpoint, case.sets, case.failsafes)
    rules = [step.rule for step in trace.steps]
    if trace.verdict is Verdict.DENY:
        return None, rules
    if not is_whole:
        return 0, []
    return SAID | parity << 1 | (trace.verdict is Verdict.ALLOW), rules


@pytest.mark.parametrize("backend", ["auto", "folded", "bits"])
def test_t_cor_1_xdp_in_front_says_what_the_evaluator_says_or_nothing(backend: str) -> None:
    if not tells_metadata():
        pytest.skip("before Linux 5.14 a test run does not tell metadata")
    rng, met = Random(f"front {backend}"), Counter[str]()
    for number in range(CASES):
        case, parity = random_case(rng, 12), number & 1
        loaded = load(case, door=FRONT, backend=backend, parity=parity)
        wanted: Counter[RuleRef] = Counter()
        try:
            program = rehearsal().enter(FRONT, loaded.lane, loaded.generation.pages)
            for _ in range(PACKETS):
                drawn = random_packet(rng, case, direction=Direction.INGRESS)
                data = dressed(rng, drawn, frozenset(), longest=LONGEST["xdp"]).data
                packet = dissect(data, frozenset())
                said, rules = expected(case, packet, backend, parity)
                ran = bpf.test_run(program, data)
                got = None if ran.retval == XDP_DROP else unpack_from("<I", ran.data_out)[0]
                assert ran.retval == XDP_DROP or (ran.retval == XDP_PASS and len(ran.data_out) == len(data) + 4)
                assert got == said, f"{packet}\nexpected {said}\nprogram {got}"
                wanted.update(rules)
                met["dropped" if said is None else "unsaid" if not said else "said"] += 1
            counts = {what: count for what, count in loaded.counts().items() if isinstance(what, RuleRef) and count}
            assert counts == +wanted
        finally:
            loaded.close()
    assert min(met["dropped"], met["unsaid"], met["said"]) > CASES * PACKETS / 20, met
