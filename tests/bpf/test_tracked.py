"""T-COR-1, tracked policy: conversations, some of their frames hostile, through the loaded programs and through the
evaluator. Verdicts, every counter, and what the connection table holds at the end.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import pytest

from bpf.answers import told, wanted
from bpf.differences import SCALE, Share, check_known, report, scaled
from bpf.test_differential import SHARES as UNTRACKED
from bpf.tracked import Model, Tracked, forwarding_host, knows_arrival, set_forwarding
from bpf.untracked import tells_metadata
from conversations import random_conversation
from dissect import dissect
from dressing import Dressed, dressed, readdressed
from frames import frame
from netns import Namespace
from shrinking import shrink
from strategies import Case, chance, random_normal_case
from tortie.kernel.bpf import durable_bpffs
from tortie.model.conntrack import Timeouts
from tortie.model.evaluate import is_for_host
from tortie.model.packet import ACK, PORTED, SYN, TCP, Direction, Packet
from tortie.model.passage import ANSWERED
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Trace, Verdict

pytestmark = pytest.mark.root

SHARES = (
    Share("xdp", "auto", cases=150, size=8, packets=1200),
    Share("xdp", "bits", cases=60, size=10, packets=1200),
    Share("xdp", "folded", cases=40, size=10, packets=1200),
    Share("tc", "auto", cases=120, size=8, packets=1200),
    Share("tc", "bits", cases=50, size=60, packets=1200),
)
Crossing = tuple[Direction, bytes, bool]
"""Which way a frame crosses the interface, and whether it is forwarded where it leaves."""


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with forwarding_host() as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a bpffs of the test's own."""
    path = durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    yield path
    for pin in path.glob("*"):
        pin.unlink()
    if path.exists():
        path.rmdir()


def patient(case: Case) -> Case:
    """The case with a hundred times as long timeouts: the model's clock stands still, and machines may be slow."""
    timeouts = Timeouts(**{name: 100 * seconds for name, seconds in asdict(case.tracking.timeouts).items()})
    return replace(case, tracking=replace(case.tracking, timeouts=timeouts))


def difference(
    case: Case, steps: Sequence[Crossing], folder: Path, seen: Counter[str], *, door: str, backend: str
) -> tuple[int, str] | None:
    """Which step the programs and the evaluator disagree about, and what they say; None where they agree about all of
    them, about what was counted, and about the flows at the end. Reasons are added to `seen`."""
    model = Model(case)
    vlans = case.endpoint.interface.vlans
    programs = Tracked(case, folder, door=door, backend=backend)
    try:
        for number, (direction, data, is_forwarded) in enumerate(steps):
            packet = dissect(data, vlans)
            trace = model.judge(direction, packet, is_forwarded=is_forwarded)
            got = programs.run(direction, data, is_forwarded=is_forwarded)
            if (trace.verdict, trace.is_tracked and trace.verdict is Verdict.ALLOW) != got:
                return number, f"{packet}\nevaluator {trace}\nprogram {got}"
            if wrong := _answered_wrong(programs, model, direction, data, trace, seen, door):
                return number, f"{packet}\n{wrong}"
            seen[_label(trace)] += 1
        for direction in Direction:
            wanted, counts = model.counts(direction), programs.counts(direction)
            if wanted != counts:
                return len(steps) - 1, f"{direction.value} counters: evaluator {wanted}\nprogram {counts}"
        if model.states() != programs.states():
            return len(steps) - 1, f"flows: evaluator {model.states()}\nprogram {programs.states()}"
        return None
    finally:
        programs.close()


def _answered_wrong(
    programs: Tracked, model: Model, direction: Direction, data: bytes, trace: Trace, seen: Counter[str], door: str
) -> str:
    """What is wrong with what the sender of the packet before was told; empty if nothing."""
    right = None
    if programs.case.endpoint.rejects and trace.verdict is Verdict.DENY and trace.stage in ANSWERED:
        right = wanted(data, arrives=direction is Direction.INGRESS, addresses=programs.case.addresses)
        model.note(direction, is_answered=right is not None)
        seen[f"{door} answered" if right is not None else "unanswered"] += 1
    found = told(programs.answer, data) if programs.answer is not None else None
    if found is not None:
        programs.forget_answers()
    return "" if found == right else f"told {found}, and not {right}"


def agree(
    host: Namespace, folder: Path, seed: int, share: Share, turned: Callable[[Case], Case] = lambda case: case
) -> Counter[str]:
    """What was compared, by reason; a difference fails the test."""
    rng = Random(seed)
    case = patient(turned(random_normal_case(rng, share.size)))
    if chance(rng, 20):
        interface = replace(case.endpoint.interface, vlans=frozenset((5, 300, 4095)))
        case = replace(case, endpoint=replace(case.endpoint, interface=interface))
    # on a veth XDP leaves answers to tc to send, which nobody sees where test runs tell no metadata
    kind = "veth" if seed % 4 == 0 and tells_metadata() else ""
    interface = replace(case.endpoint.interface, kind=kind)
    case = replace(case, endpoint=replace(case.endpoint, interface=interface, rejects=seed % 2 == 0))
    steps: list[Crossing] = []
    while len(steps) < share.packets:
        steps += _dressed(rng, case, _crossings(rng, case))
    seen = Counter[str]()
    settings = {"door": share.door, "backend": share.backend}
    set_forwarding(host, case.endpoint.interface.forwards)
    with host.entered():
        if found := difference(case, steps, folder, seen, **settings):
            small, left = shrink(
                case,
                steps[: found[0] + 1],
                lambda one, some: difference(one, some, folder, Counter(), **settings) is not None,
            )
            again = difference(small, left, folder, Counter(), **settings)
            lines = [f"{one.value}{' forwarded' if through else ''} {data.hex()}" for one, data, through in left]
            pytest.fail(report(small, lines, (again or found)[1], f"seed {seed}, {share}"))
    return seen


def _dressed(rng: Random, case: Case, crossings: Iterable[tuple[Direction, Packet, bool]]) -> Iterator[Crossing]:
    """The frames of a conversation."""
    vlans = case.endpoint.interface.vlans
    for direction, packet, is_forwarded in crossings:
        if is_forwarded and not knows_arrival():  # those of the driver's tests are real ones
            continue
        packet = readdressed(rng, packet, case.addresses)
        one = dressed(rng, packet, vlans) if chance(rng, 40) else Dressed(frame(packet), packet)
        check_known([one], vlans)
        yield direction, one.data, is_forwarded


def _crossings(rng: Random, case: Case) -> Iterator[tuple[Direction, Packet, bool]]:
    """A conversation where it crosses the interface, and whether the packet is forwarded where it leaves.

    Most of what arrives for others leaves at once, by the interface that it came in by. Some is answered from
    there, though it may not have left.
    """
    for direction, packet in random_conversation(rng, case):
        yield direction, packet, direction is Direction.EGRESS and rng.random() < 0.1
        is_local = direction is Direction.EGRESS or is_for_host(packet, case.endpoint.interface, case.addresses)
        if not is_local and rng.random() < 0.6:
            yield Direction.EGRESS, packet, True
        if not is_local and packet.protocol in PORTED and rng.random() < 0.15:
            yield Direction.INGRESS, _answer(rng, packet), False


def _answer(rng: Random, packet: Packet) -> Packet:
    """A packet of the other end."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        tcp_flags=rng.choice((SYN | ACK, ACK)) if packet.protocol == TCP else packet.tcp_flags,
    )


def _label(trace: Trace) -> str:
    """What decided: a reason; where pre-DNAT or forward policy did, its class and verdict."""
    is_open = trace.reason is Reason.FORWARDED
    if trace.stage in (Stage.PRE_DNAT, Stage.FORWARD) and not is_open:
        return f"{trace.stage.value} {trace.verdict.value}"
    return trace.reason.value


@pytest.mark.parametrize("share", SHARES, ids=str)
def test_t_cor_1_programs_and_evaluator_agree_on_conversations(host: Namespace, folder: Path, share: Share) -> None:
    seen = Counter[str]()
    for number in range(scaled(share.cases)):
        seen += agree(host, folder, number + share.size * 1_000_003, share)
    print(f"{share}: {seen.total()} packets, 0 mismatches; {dict(seen.most_common())}")
    assert seen.total() >= scaled(share.cases) * share.packets
    if SCALE >= 1:
        assert {
            "established",
            "related",
            "invalid",
            "forwarded",
            "failsafe",
            "tier_end",
            "profile",
            "default_deny",
            "preDNAT allow",
            "preDNAT deny",
            "forward allow",
            "forward deny",
            "malformed",
            "source_route",
            "ipv6_ext",
            "not_ip",
            "vlan",
            "martian",
            f"{share.door} answered",
            "unanswered",
        } <= seen.keys()


def test_t_cor_1_a_run_compares_a_million_pairs_at_every_door() -> None:
    shares = (*SHARES, *UNTRACKED)
    assert sum(share.cases * share.packets for share in shares) >= 1_000_000
    assert {(share.door, share.backend) for share in shares} >= {
        (door, backend) for door in ("xdp", "tc") for backend in ("auto", "bits")
    }


BESIDE_WORKLOADS = (Share("xdp", "auto", cases=60, size=8, packets=800), Share("tc", "bits", 30, 8, 800))


@pytest.mark.parametrize("share", BESIDE_WORKLOADS, ids=str)
def test_programs_and_evaluator_agree_on_the_wildcards_part_beside_a_workload(
    host: Namespace, folder: Path, share: Share
) -> None:
    seen = Counter[str]()
    for seed in range(scaled(share.cases)):
        seen += agree(host, folder, seed, share, beside_workload)
    print(f"{share}: {seen.total()} packets, 0 mismatches; {dict(seen.most_common())}")
    wanted = {"preDNAT allow", "preDNAT deny", "forward allow", "forward deny", "established", "no_match"}
    if SCALE >= 1:
        assert wanted <= seen.keys()
    assert not {"default_deny", "profile", "failsafe"} & seen.keys()


def beside_workload(case: Case) -> Case:
    """The case with the part of its endpoint that a wildcard has on an interface of a workload."""
    early = {key: tiers for key, tiers in case.endpoint.tiers.items() if key[0] in (Stage.PRE_DNAT, Stage.FORWARD)}
    return replace(case, endpoint=replace(case.endpoint, is_beside_workload=True, tiers=early, profiles=()))
