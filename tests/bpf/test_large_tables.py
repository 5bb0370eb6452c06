"""The shapes that tables have trouble with, in the loaded program: the same cases as tests/dataplane/test_tables.py."""

from random import Random

import pytest

from bpf.policies import Shape, colliding, fragment_walks, large, nested
from bpf.untracked import Counts, FirstFragments, expected_counts, judge, load
from frames import frame
from tortie.model.verdict import Reason

pytestmark = pytest.mark.root
BACKENDS = ("cells", "folded", "bits")


def assert_agrees(shape: Shape, backend: str = "auto", door: str = "xdp") -> None:
    case, packets = shape
    loaded, expected = load(case, door=door, backend=backend), Counts()
    try:
        for packet in packets:
            trace = judge(case, packet, FirstFragments())
            assert trace.verdict is loaded.run(frame(packet)), f"{packet}\n{trace}"
            expected += expected_counts(trace)
        counted = loaded.counts()
        counted.pop(Reason.LOG_LOST, None)  # nobody reads the events here; the packets count all the same
        assert +expected == counted
    finally:
        loaded.close()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nets_of_equal_bits_and_every_length_nest(version: int, backend: str) -> None:
    for seed in range(6):
        assert_agrees(nested(Random(seed), version), backend)


@pytest.mark.parametrize("backend", ["auto", "bits"])
def test_a_hundred_thousand_hosts_and_nets_of_every_length(backend: str) -> None:
    assert_agrees(large(Random(4)), backend)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("door", ["xdp", "tc"])
def test_addresses_chosen_to_collide_are_all_found(version: int, door: str) -> None:
    assert_agrees(colliding(version), door=door)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_later_fragment_that_may_have_passed_asks_the_next_tier_only(backend: str) -> None:
    assert_agrees(fragment_walks(), backend)
