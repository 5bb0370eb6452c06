"""T-COR-2: every program loads for every size of generation, far from the verifier's limits."""

import time

import pytest

from bpf.untracked import MARK
from tortie.dataplane.ebpf.pages import SIZES
from tortie.dataplane.ebpf.programs import DOORS, Programs, Traits
from tortie.kernel import bpf

pytestmark = pytest.mark.root
LIMIT = 500_000
"""Half of what Linux processes for one program."""


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("door", DOORS)
def test_t_cor_2_programs_are_far_from_the_verifiers_limit(door: str, size: int) -> None:
    programs = Programs(Traits(has_tcx=True, has_frags=True, mark_bit=MARK))
    try:
        start = time.perf_counter()
        verified = bpf.program_info(programs.program(door, size)).verified_instructions
        print(f"{door}, {size} pages: {verified} instructions verified, {(time.perf_counter() - start) * 1e3:.0f} ms")
        assert verified is None or verified < LIMIT
    finally:
        programs.close()
