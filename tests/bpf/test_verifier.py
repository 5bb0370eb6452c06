"""T-COR-2: every program loads with everything it can have, far from the verifier's limits."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bpf.policies import case_of, member_of, sets_of
from bpf.tracked import Tracked
from bpf.untracked import MARK, plan_of
from strategies import Case
from tortie.dataplane.ebpf.generation import Generation
from tortie.kernel import bpf
from tortie.model.address import WIDTH, Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet
from tortie.model.matches import Match, NetMatch, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import PORTED, TCP, Direction, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule

pytestmark = pytest.mark.root
LIMIT = 500_000
"""Half of what Linux processes for one program."""
STEPS_LIMIT = 30_000
"""For port rules in bit vectors; each step verified by itself took 150,000, and 150 ms to load."""


def every_dimension(rules: int) -> Case:
    """Rules that use all dimensions, both families, every prefix length, Log and Pass, VLANs and failsafe nets."""
    rng = Random(rules)
    members = {
        name: AddressSet(_net(rng, v, rng.randrange(WIDTH[v] + 1)) for v in (4, 6) for _ in range(400))
        for name in "abcd"
    }
    found = []
    actions = (Action.DENY, Action.ALLOW, Action.PASS)
    for number in range(rules):
        version = rng.choice((4, 6))
        first = rng.randrange(1, 60000)
        matches: list[Match] = [ProtocolMatch(rng.choice(PORTED))]
        for side in Side:
            matches.append(NetMatch(side, (_net(rng, version, rng.randrange(1, WIDTH[version] + 1)),)))
            matches.append(PortMatch(side, (PortRange(first, first + rng.randrange(5000)),)))
            if rng.random() < 0.2:
                matches.append(member_of(rng.choice("abcd"), side))
        found.append(Rule(Action.LOG if number < 40 else rng.choice(actions), tuple(matches)))
    nets = [FailsafePort(TCP, 1 + n, _net(rng, 4 if n % 2 else 6, 20)) for n in range(250)]
    tiers = [found[at : at + 1000] for at in range(0, rules, 1000)]
    return case_of(*tiers, sets=sets_of(**members), failsafes=Failsafes(tuple(nets), ()), vlans=frozenset({1, 2}))


def every_stage(rules: int) -> Case:
    """The same rules as untracked policy of arriving packets, and as normal policy of both directions."""
    case = every_dimension(rules)
    untracked = case.endpoint.tiers[Stage.UNTRACKED, Direction.INGRESS]
    normal = tuple(
        replace(
            group,
            policies=tuple(
                replace(
                    policy,
                    egress=policy.ingress,
                    governs=frozenset(Direction),
                    do_not_track=False,
                    apply_on_forward=False,
                )
                for policy in group.policies
            ),
        )
        for group in untracked
    )
    tiers = {(Stage.UNTRACKED, Direction.INGRESS): untracked} | {(Stage.NORMAL, to): normal for to in Direction}
    failsafes = Failsafes(case.failsafes.inbound[::2], case.failsafes.inbound[1::2])
    return replace(case, endpoint=replace(case.endpoint, tiers=tiers), failsafes=failsafes)


def _net(rng: Random, version: int, length: int) -> Net:
    shift = WIDTH[version] - length
    return Net(version, rng.getrandbits(length) << shift if length else 0, length)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a bpffs of the test's own."""
    path = bpf.durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    yield path
    for pin in path.glob("*"):
        pin.unlink()
    if path.exists():
        path.rmdir()


@pytest.fixture
def load_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that each load took from now on, verification and all."""
    seconds: list[float] = []
    load = bpf.ObjectFile.load

    def timed(obj: bpf.ObjectFile) -> None:
        start = time.perf_counter()
        load(obj)
        seconds.append(time.perf_counter() - start)

    monkeypatch.setattr(bpf.ObjectFile, "load", timed)
    return seconds


@pytest.mark.parametrize("door", ["xdp", "tc"])
@pytest.mark.parametrize(
    ("backend", "rules"), [("bits", 60), ("bits", 1000), ("bits", 10_000), ("folded", 60), ("cells", 4)]
)
def test_t_cor_2_the_largest_tracked_programs_are_far_from_the_verifiers_limit(
    folder: Path, load_times: list[float], door: str, backend: str, rules: int
) -> None:
    programs = Tracked(every_stage(rules), folder, door=door, backend=backend)
    try:
        for (direction, (generation, _)), seconds in zip(programs.generations.items(), load_times, strict=True):
            stages = 2 if direction is Direction.INGRESS else 1
            assert generation.classifiers.backend == "+".join([backend] * stages)
            verified = bpf.program_info(generation.program_fd).verified_instructions
            print(f"{generation.door} {generation.classifiers.backend} {rules}: {verified}, {seconds * 1e3:.0f} ms")
            assert verified is None or verified < LIMIT
    finally:
        programs.close()


@pytest.mark.parametrize("door", ["xdp", "tc"])
@pytest.mark.parametrize(
    ("backend", "rules"), [("bits", 60), ("bits", 1000), ("bits", 10_000), ("folded", 60), ("cells", 4)]
)
def test_t_cor_2_the_largest_programs_are_far_from_the_verifiers_limit(door: str, backend: str, rules: int) -> None:
    case = every_dimension(rules)
    plan, _ = plan_of(case)
    generation = Generation(plan, door, mark_bit=MARK, backend=backend)
    try:
        assert generation.classifiers.backend == backend
        info = bpf.program_info(generation.program_fd)
        print(f"{door} {backend} {rules} rules: {info.verified_instructions} verified instructions")
        assert info.verified_instructions is None or info.verified_instructions < LIMIT
    finally:
        generation.close()


def test_t_cor_2_a_thousand_rules_of_bit_vectors_are_verified_once_not_once_a_step() -> None:
    rules = [
        Rule(Action.DENY, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(2000 + n, 2000 + n),))))
        for n in range(1000)
    ]
    case = case_of(rules)
    plan, _ = plan_of(case)
    generation = Generation(plan, "xdp", mark_bit=MARK, backend="bits")
    try:
        info = bpf.program_info(generation.program_fd)
        assert info.verified_instructions is None or info.verified_instructions < STEPS_LIMIT
    finally:
        generation.close()
