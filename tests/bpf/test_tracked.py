"""Tracked policy with connection state: conversations through the loaded programs and through the evaluator.

Verdicts, every counter, and what the connection table holds at the end.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bpf.answers import told, wanted
from bpf.tracked import Model, Tracked, forwarding_host, set_forwarding
from conversations import random_conversation
from frames import frame
from netns import Namespace
from strategies import Case, random_normal_case
from tortie.kernel.bpf import durable_bpffs
from tortie.model.evaluate import is_for_host
from tortie.model.packet import ACK, PORTED, SYN, TCP, Direction, Packet
from tortie.model.passage import ANSWERED
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Trace, Verdict

pytestmark = pytest.mark.root

SCALE = float(os.environ.get("TORTIE_DIFFERENTIAL_SCALE", "1"))


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


def agree(
    host: Namespace, folder: Path, seed: int, size: int, packets: int, *, door: str, backend: str
) -> Counter[str]:
    """What was compared, by reason; the test fails with the whole story where the two differ."""
    rng = Random(seed)
    case = random_normal_case(rng, size)
    kind = "veth" if seed % 4 == 0 else ""
    interface = replace(case.endpoint.interface, kind=kind)
    case = replace(case, endpoint=replace(case.endpoint, interface=interface, rejects=seed % 2 == 0))
    set_forwarding(host, case.endpoint.interface.forwards)
    seen = Counter[str]()
    model = Model(case)
    with host.entered():
        programs = Tracked(case, folder, door=door, backend=backend)
    history: list[str] = []
    try:
        with host.entered():
            while seen.total() < packets:
                for direction, packet, is_forwarded in _crossings(rng, case):
                    trace = model.judge(direction, packet, is_forwarded=is_forwarded)
                    data = frame(packet)
                    got = programs.run(direction, data, is_forwarded=is_forwarded)
                    right = (trace.verdict, trace.is_tracked and trace.verdict is Verdict.ALLOW)
                    history.append(
                        f"{direction.value:8}{'fwd ' if is_forwarded else ''}{packet} -> {trace.reason.value} {got}"
                    )
                    where = f"seed {seed} {door} {backend}"
                    assert right == got, story(case, packet, trace, history, where)
                    answer = None
                    if case.endpoint.rejects and trace.verdict is Verdict.DENY and trace.stage in ANSWERED:
                        answer = wanted(data, arrives=direction is Direction.INGRESS, addresses=case.addresses)
                        model.note(direction, is_answered=answer is not None)
                        seen[f"{door} answered" if answer is not None else "unanswered"] += 1
                    found = told(programs.answer, data) if programs.answer is not None else None
                    assert answer == found, story(case, packet, trace, history, f"{where} {answer} {found}")
                    if found is not None:
                        programs.forget_answers()
                    seen[_label(trace)] += 1
        for direction in Direction:
            assert model.counts(direction) == programs.counts(direction), f"seed {seed}: {direction} counters"
        assert model.states() == programs.states(), f"seed {seed}: flows\n" + "\n".join(history)
    finally:
        programs.close()
    return seen


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


def story(case: Case, packet: Packet, trace: Trace, history: list[str], where: str) -> str:
    """What a person needs to see of a disagreement: the packets of the same two addresses, and the rules."""
    ends = {packet.source, packet.destination}
    return "\n".join(
        [
            where,
            f"{case.addresses} {case.tracking} forwards {case.endpoint.interface.forwards}",
            *(line for line in history[-400:] if all(f"={end}," in line for end in ends)),
            f"evaluator {trace}",
        ]
    )


@pytest.mark.parametrize(
    ("door", "backend", "cases", "size", "packets"),
    [
        ("xdp", "auto", 150, 8, 800),
        ("xdp", "bits", 60, 10, 800),
        ("xdp", "folded", 40, 10, 800),
        ("tc", "auto", 100, 8, 800),
        ("tc", "bits", 40, 60, 800),
    ],
)
def test_programs_and_evaluator_agree_on_conversations(
    host: Namespace, folder: Path, door: str, backend: str, cases: int, size: int, packets: int
) -> None:
    seen = Counter[str]()
    for seed in range(int(cases * SCALE)):
        seen += agree(host, folder, seed + size * 1_000_003, size, packets, door=door, backend=backend)
    print(f"{door} {backend}: {seen.total()} packets, 0 mismatches; {dict(seen.most_common())}")
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
            f"{door} answered",
            "unanswered",
        } <= seen.keys()
