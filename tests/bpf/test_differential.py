"""The loaded programs against the evaluator: random policies, packets at their edges, verdicts and every counter."""

import os
from collections import Counter
from random import Random

import pytest

from bpf.untracked import Counts, FirstFragments, expected_counts, judge, load
from frames import frame
from strategies import Case, random_case, random_packet
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import Verdict

pytestmark = pytest.mark.root

SCALE = float(os.environ.get("TORTIE_DIFFERENTIAL_SCALE", "1"))


def dressed(rng: Random, packet: Packet) -> bytes:
    """The packet's frame, with tags, options, extension headers and payload at random."""
    dice = rng.random()
    vlans = () if dice < 0.85 else (rng.randrange(4096),) if dice < 0.95 else (rng.randrange(4096), rng.randrange(4096))
    options = bytes([1] * (4 * rng.randrange(1, 11))) if packet.version == 4 and rng.random() < 0.1 else b""
    headers = ()
    if packet.version == 6 and rng.random() < 0.15:
        headers = tuple((rng.choice((0, 43, 60, 51)), bytes(rng.randrange(10, 24))) for _ in range(rng.randrange(1, 4)))
    return frame(packet, vlans=vlans, ip_options=options, extension_headers=headers, payload=bytes(rng.randrange(24)))


def agree(seed: int, size: int, packets: int, *, door: str, backend: str) -> int:
    """Number of packets on which program and evaluator agreed, all of them or the test fails with the case."""
    rng = Random(seed)
    case = random_case(rng, size)
    memory, expected = FirstFragments(), Counts()
    loaded = load(case, door=door, backend=backend)
    try:
        for number in range(packets):
            packet = random_packet(rng, case, direction=Direction.INGRESS)
            trace = judge(case, packet, memory)
            data = dressed(rng, packet)
            got = loaded.run(data)
            expected += expected_counts(trace)
            assert trace.verdict is got, story(case, packet, trace, got, f"seed {seed}, packet {number}", data)
        assert +expected == loaded.counts(), f"seed {seed}: counters differ ({loaded.generation.classifiers.backend})"
    finally:
        loaded.close()
    return packets


def story(case: Case, packet: Packet, trace: object, got: Verdict, where: str, data: bytes) -> str:
    """What a person needs to see of a disagreement."""
    rules = [
        f"  {group.tier.name} {policy.key.name}[{index}] {rule.action.value} {rule.matches}"
        for group in case.endpoint.stage(*next(k for k in case.endpoint.tiers if k[1] is Direction.INGRESS))
        for policy in group.policies
        for index, rule in enumerate(policy.ingress)
    ]
    return "\n".join([where, *rules, f"{packet}", f"frame {data.hex()}", f"evaluator {trace}", f"program {got}"])


@pytest.mark.parametrize(
    ("door", "backend", "cases", "size", "packets"),
    [
        ("xdp", "auto", 160, 10, 250),
        ("xdp", "auto", 12, 120, 1500),
        ("xdp", "folded", 40, 12, 250),
        ("xdp", "bits", 150, 14, 250),
        ("xdp", "bits", 6, 200, 1500),
        ("tc", "auto", 60, 10, 250),
        ("tc", "bits", 60, 14, 250),
    ],
)
def test_program_and_evaluator_agree_on_verdicts_and_counters(
    door: str, backend: str, cases: int, size: int, packets: int
) -> None:
    agreed = Counter[str]()
    for seed in range(int(cases * SCALE)):
        agreed["packets"] += agree(seed + size * 1_000_003, size, packets, door=door, backend=backend)
    print(f"{door} {backend}: {agreed['packets']} packets, 0 mismatches")
