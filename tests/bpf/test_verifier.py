"""T-COR-2: every program loads for every size of generation, far from the verifier's limits, on this kernel.

Those of other kernels are in tests/kernels.
"""

import subprocess
import time
from random import Random

import pytest

from bpf.policies import case_of, tcp
from bpf.untracked import load
from frames import frame
from kernels.verified import CASES, LOAD_MS, LOADER, prepare, read, table
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import TCP, Side
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Verdict

pytestmark = pytest.mark.root
RULES, PORTS = 1_000, 64


def test_t_cor_2_programs_are_far_from_the_verifiers_limits_and_load_quickly() -> None:
    prepare()
    done = subprocess.run([LOADER, CASES], capture_output=True, text=True, timeout=120, check=False)
    found = read(done.stdout)
    print(table(found))
    assert {f"{one.program} {one.pages}": over for one in found if (over := one.over())} == {}


def test_t_cor_2_a_thousand_rules_with_64_ports_each_are_one_more_generation_of_them() -> None:
    rng = Random(6)
    ports = rng.sample(range(65536), RULES * PORTS)
    rules = [
        Rule(
            Action.DENY if number % 2 else Action.ALLOW,
            (
                ProtocolMatch(TCP),
                PortMatch(Side.DESTINATION, tuple(PortRange(port, port) for port in sorted(ports[number::RULES]))),
            ),
        )
        for number in range(RULES)
    ]
    begun = time.perf_counter()
    loaded = load(case_of(rules))
    took_ms = (time.perf_counter() - begun) * 1e3
    try:
        print(f"{RULES} rules, {len(ports)} ports: {took_ms:.0f} ms, {loaded.generation.pages.size} pages")
        for number in (0, 1, RULES - 1):
            wanted = Verdict.DENY if number % 2 else Verdict.ALLOW
            assert loaded.run(frame(tcp(4, 1, dport=ports[number]))) is wanted
    finally:
        loaded.close()
    assert took_ms < LOAD_MS
