"""T-COR-1, untracked policy: random policies, packets at their edges and hostile frames of them, through the loaded
programs and through the evaluator. Verdicts and every counter; what differs is made small, and printed whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from bpf.differences import LONGEST, Share, check_known, report, scaled
from bpf.untracked import Counts, FirstFragments, expected_counts, judge, load
from dissect import dissect
from dressing import dressed, readdressed
from shrinking import shrink
from strategies import Case, chance, random_case, random_packet
from tortie.model.packet import Direction

pytestmark = pytest.mark.root

SHARES = (
    Share("xdp", "auto", cases=220, size=10, packets=800),
    Share("xdp", "auto", cases=12, size=120, packets=3000),
    Share("xdp", "folded", cases=50, size=12, packets=800),
    Share("xdp", "bits", cases=150, size=14, packets=800),
    Share("xdp", "bits", cases=6, size=200, packets=3000),
    Share("tc", "auto", cases=90, size=10, packets=800),
    Share("tc", "bits", cases=60, size=14, packets=800),
)
"""Of the pairs that each run compares; those of tracked policy are in test_tracked.py."""


def difference(case: Case, frames: Sequence[bytes], *, door: str, backend: str) -> tuple[int, str] | None:
    """Which frame the program and the evaluator disagree about, and what they say; None where they agree about all."""
    memory, expected = FirstFragments(), Counts()
    vlans = case.endpoint.interface.vlans
    loaded = load(case, door=door, backend=backend)
    try:
        for number, data in enumerate(frames):
            packet = dissect(data, vlans)
            trace = judge(case, packet, memory)
            got = loaded.run(data)
            if trace.verdict is not got:
                return number, f"{packet}\nevaluator {trace}\nprogram {got}"
            expected += expected_counts(trace)
        counts = loaded.counts()
        if +expected != counts:
            return len(frames) - 1, f"counters: evaluator {+expected}\nprogram {counts}"
        return None
    finally:
        loaded.close()


def agree(seed: int, share: Share) -> Counter[str]:
    """Pairs that were compared, by reason; a difference fails the test."""
    rng = Random(seed)
    case = random_case(rng, share.size)
    if chance(rng, 30):
        vlans = frozenset((5, 300, 4095))
        case = replace(case, endpoint=replace(case.endpoint, interface=replace(case.endpoint.interface, vlans=vlans)))
    vlans = case.endpoint.interface.vlans
    drawn = (random_packet(rng, case, direction=Direction.INGRESS) for _ in range(share.packets))
    longest = LONGEST[share.door]
    made = [dressed(rng, readdressed(rng, one, case.addresses), vlans, longest=longest) for one in drawn]
    frames = [one.data for one in made]
    check_known(made, vlans)
    settings = {"door": share.door, "backend": share.backend}
    if found := difference(case, frames, **settings):
        small, left = shrink(
            case, frames[: found[0] + 1], lambda one, some: difference(one, some, **settings) is not None
        )
        again = difference(small, left, **settings)
        pytest.fail(report(small, [one.hex() for one in left], (again or found)[1], f"seed {seed}, {share}"))
    return Counter(packets=len(frames))


@pytest.mark.parametrize("share", SHARES, ids=str)
def test_t_cor_1_program_and_evaluator_agree_on_verdicts_and_counters(share: Share) -> None:
    seen = Counter[str]()
    for number in range(scaled(share.cases)):
        seen += agree(number + share.size * 1_000_003, share)
    assert seen["packets"] == scaled(share.cases) * share.packets
    print(f"{share}: {seen['packets']} packets, 0 mismatches")
