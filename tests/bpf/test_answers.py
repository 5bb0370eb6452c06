"""What answers denials, frame by frame: packets in every dress at every door, against the RFCs (`answers.py`)."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bpf.answers import Reset, Unreachable, told, wanted
from bpf.policies import case_of
from bpf.tracked import Tracked, forwarding_host
from dressing import dressed
from frames import frame
from netns import Namespace
from strategies import Case, random_packet
from tortie.kernel import features
from tortie.kernel.bpf import durable_bpffs
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import HostAddresses
from tortie.model.packet import ACK, ICMP, ICMPV6, RST, SYN, TCP, UDP, Direction, Fragment, Packet
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, Verdict

pytestmark = pytest.mark.root

IN, OUT = Direction.INGRESS, Direction.EGRESS
HOST, PEER, BROADCAST = 0x0A000002, 0x0A000001, 0x0A0000FF
HOST6, PEER6 = 0xFD << 120 | 2, 0xFD << 120 | 1
ADDRESSES = HostAddresses(frozenset({(4, HOST), (6, HOST6)}), frozenset({BROADCAST}))
DOORS = {
    "xdp": ("xdp", "", IN, False),
    "xdp through tc": ("xdp", "veth", IN, False),
    "tc": ("tc", "", IN, False),
    "egress": ("xdp", "", OUT, False),
    "egress, forwarded": ("xdp", "", OUT, True),
}
"""Door of arriving packets, kind of the interface, direction, whether the packet is forwarded."""


def denying(kind: str = "", *, rejects: bool = True) -> Case:
    """An endpoint that denies everything, of the forward class too."""
    case = case_of([])
    (group,) = case.endpoint.stage(Stage.UNTRACKED, IN)
    policies = tuple(replace(policy, do_not_track=False) for policy in group.policies)
    tiers = {(Stage.FORWARD, direction): (replace(group, policies=policies),) for direction in Direction}
    interface = replace(case.endpoint.interface, kind=kind)
    endpoint = replace(case.endpoint, tiers=tiers, interface=interface, rejects=rejects)
    return replace(case, endpoint=endpoint, addresses=ADDRESSES, tracking=TrackingSettings())


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with forwarding_host() as found:
        yield found


class Asked:
    """The programs behind one of DOORS."""

    def __init__(self, where: str, folder: Path, *, rejects: bool = True) -> None:
        door, kind, self.direction, self.is_forwarded = DOORS[where]
        self.programs = Tracked(denying(kind, rejects=rejects), folder, door=door)

    def __call__(self, data: bytes, *, is_limited: bool = False) -> Reset | Unreachable | None:
        """What the sender of a frame, which is denied, is told."""
        if not is_limited:
            self.programs.forget_answers()
        verdict, _ = self.programs.run(self.direction, data, is_forwarded=self.is_forwarded)
        assert verdict is Verdict.DENY
        return told(self.programs.answer, data) if self.programs.answer is not None else None

    def right(self, data: bytes) -> Reset | Unreachable | None:
        """What it ought to be told."""
        return wanted(data, arrives=self.direction is IN, addresses=ADDRESSES)

    def counted(self) -> Counter[object]:
        """Packets by what they were counted as."""
        return self.programs.counts(self.direction)


@pytest.fixture(params=DOORS)
def asked(request: pytest.FixtureRequest, host: Namespace) -> Iterator[Asked]:
    path = durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    with host.entered():
        found = Asked(request.param, path)
        yield found
        found.programs.close()
    for pin in path.glob("*"):
        pin.unlink()
    path.rmdir()


def test_packets_in_every_dress_are_answered_as_the_rfcs_say(asked: Asked) -> None:
    rng = Random(7)
    seen: Counter[str] = Counter()
    while seen.total() < 2500:
        packet = random_packet(rng, asked.programs.case, direction=asked.direction)
        if rng.random() < 0.5:  # most random addresses stand for no host
            ends = (HOST, PEER) if packet.version == 4 else (HOST6, PEER6)
            packet = replace(packet, source=ends[asked.direction is IN], destination=ends[asked.direction is OUT])
        if packet.protocol == TCP and packet.fragment is not Fragment.LATER:
            numbers = {"sequence": rng.getrandbits(32), "acknowledgement": rng.getrandbits(32)}
            packet = replace(packet, tcp_flags=rng.choice((SYN, SYN | ACK, ACK, rng.getrandbits(8))), **numbers)
        data = (
            dressed(rng, packet).data
            if rng.random() < 0.5
            else frame(packet, payload=rng.randbytes(rng.randrange(1400)))
        )
        data += bytes(rng.choice((0, 0, 6, 18)))
        before = asked.counted()
        asked.programs.forget_answers()
        asked.programs.run(asked.direction, data, is_forwarded=asked.is_forwarded)
        counted = asked.counted() - before
        if not counted.keys() & {Reason.ANSWERED, Reason.UNANSWERED}:
            assert asked.programs.answer is None
            continue
        found = told(asked.programs.answer, data) if asked.programs.answer is not None else None
        assert found == asked.right(data), f"{packet} {data.hex()}"
        assert counted[Reason.ANSWERED] == (found is not None)
        seen[type(found).__name__ + str(packet.version)] += 1
    print(dict(seen))
    assert min(seen[name] for name in ("Reset4", "Reset6", "Unreachable4", "Unreachable6", "NoneType4")) > 40


def packet(version: int, protocol: int, direction: Direction, **fields: int) -> Packet:
    """One of the peer, or of the host."""
    ends = (PEER, HOST) if version == 4 else (PEER6, HOST6)
    ports = {} if protocol in (ICMP, ICMPV6) else {"source_port": 40000, "destination_port": 9}
    source, destination = ends if direction is IN else reversed(ends)
    made = Packet(version=version, protocol=protocol, source=source, destination=destination, **ports)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [4, 6])
def test_what_must_not_be_answered_is_not(asked: Asked, version: int) -> None:
    def one(protocol: int, **fields: int) -> bytes:
        return frame(packet(version, protocol, asked.direction, **fields))

    assert isinstance(asked(one(TCP, tcp_flags=SYN)), Reset) and isinstance(asked(one(UDP)), Unreachable)
    silent = {
        "a reset": one(TCP, tcp_flags=RST | ACK),
        "to a group of machines": b"\x01" + one(UDP)[1:],
        "from nobody": one(UDP, source=0),
        "from a group": one(UDP, source=0xE0000001 if version == 4 else 0xFF02 << 112 | 1),
        "from who reads it": one(UDP, source=0x7F000001 if version == 4 else 1),
        "to a group": one(UDP, destination=0xE0000005 if version == 4 else 0xFF02 << 112 | 5),
    }
    if version == 4:
        broken = bytearray(one(UDP))
        broken[14 + 8] ^= 1
        silent |= {"a broken header": bytes(broken), "from a reserved address": one(UDP, source=0xF0000001)}
        silent |= {"to all of a network": one(UDP, destination=BROADCAST), "to all": one(UDP, destination=0xFFFFFFFF)}
    if asked.direction is IN:
        silent["in this host's name"] = one(UDP, source=HOST if version == 4 else HOST6)
    kinds = (3, 4, 5, 9, 10, 11, 12, 40) if version == 4 else (1, 2, 3, 4, 100, 127, 138, 200)
    protocol = ICMP if version == 4 else ICMPV6
    silent |= {f"ICMP {kind}": one(protocol, icmp_type=kind, icmp_code=0) for kind in kinds}
    for why, data in silent.items():
        assert asked(data) is None and asked.right(data) is None, why
    assert asked.counted()[Reason.UNANSWERED] == len(silent)


@pytest.mark.parametrize("tags", [(), (5,), (6, 5)])
@pytest.mark.parametrize("version", [4, 6])
def test_answers_carry_the_tags_of_what_they_answer(asked: Asked, version: int, tags: tuple[int, ...]) -> None:
    for protocol in (TCP, UDP):
        data = frame(packet(version, protocol, asked.direction), vlans=tags)
        found = asked(data)
        assert found is not None and found == asked.right(data)


@pytest.mark.parametrize(("version", "headers", "most"), [(4, 28, 576), (6, 48, 1280)])
def test_errors_quote_as_much_as_they_may(asked: Asked, version: int, headers: int, most: int) -> None:
    for size in (*range(9), *range(most - headers - 70, most - headers + 9), 1400):
        data = frame(packet(version, UDP, asked.direction), payload=bytes(range(256)) * 6)
        data = frame(packet(version, UDP, asked.direction), payload=data[42 : 42 + size])
        found = asked(data)
        assert isinstance(found, Unreachable)
        assert found.quoted == data[14:][: most - headers], size


@pytest.mark.parametrize("version", [4, 6])
def test_packets_of_several_buffers_are_answered(asked: Asked, version: int) -> None:
    """Linux gives them to XDP from 5.18 on; the frames of a test run at tc are in one."""
    if DOORS["xdp"][0] != asked.programs.lanes[asked.direction][0] or not features.probe().has("xdp-frags"):
        return
    for protocol in (TCP, UDP):
        data = frame(packet(version, protocol, asked.direction), payload=bytes(range(256)) * 34)
        found = asked(data)
        assert found is not None and found == asked.right(data)


def test_errors_are_limited_and_resets_are_not(asked: Asked) -> None:
    """6 at once to one remote end and 50 to all; a process of this host is told of everything."""
    is_local = asked.direction is OUT and not asked.is_forwarded
    asked.programs.forget_answers()
    for version in (4, 6):
        data = frame(packet(version, UDP, asked.direction))
        answers = [asked(data, is_limited=True) is not None for _ in range(20)]
        assert sum(answers) in ((20,) if is_local else (6, 7)) and all(answers[:6]), "one may become due meanwhile"
    many = [
        asked(frame(packet(4, UDP, asked.direction, source=0x0B000000 + number)), is_limited=True) is not None
        for number in range(2000)
    ]
    assert all(many) if is_local else 38 <= sum(many) < 1000
    assert all(
        asked(frame(packet(4, TCP, asked.direction, tcp_flags=SYN, source_port=port)), is_limited=True) is not None
        for port in range(1, 200)
    )
    assert (asked.counted()[Reason.ANSWER_LIMIT] == 0) is is_local


def test_neighbours_in_one_ipv6_network_share_a_limit(asked: Asked) -> None:
    if asked.direction is OUT and not asked.is_forwarded:
        return
    asked.programs.forget_answers()
    near = [frame(packet(6, UDP, asked.direction, source=PEER6 + (number << 32) + 16)) for number in range(30)]
    assert sum(asked(data, is_limited=True) is not None for data in near) in (6, 7)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_an_answer_passes_the_programs_that_it_meets_and_nothing_like_it_does(
    asked: Asked, version: int, protocol: int
) -> None:
    """Back through the other direction of the same interface: as where tc sends it, or where it seems to arrive."""
    programs = asked.programs
    data = frame(packet(version, protocol, asked.direction, **({"tcp_flags": SYN} if protocol == TCP else {})))
    assert asked(data) is not None
    answer = programs.answer
    assert answer is not None
    back = IN if asked.direction is OUT else OUT
    at = 14 + (20 if version == 4 else 40)
    # whose driver sends by itself, nobody meets
    is_noted = (
        asked.direction is OUT or programs.lanes[IN][0] == "tc" or programs.case.endpoint.interface.kind == "veth"
    )

    def passes(changed: bytes) -> bool:
        before = programs.counts(back)
        verdict, _ = programs.run(back, changed, is_forwarded=True)
        assert (programs.counts(back) - before)[Reason.ANSWER] == (verdict is Verdict.ALLOW)
        return verdict is Verdict.ALLOW

    assert passes(answer) is is_noted and programs.states() == {}
    places = (at, at + 2, at + 7, at + 11) if protocol == TCP else (at, at + 8 + (20 if version == 4 else 40) + 3)
    for place in places:  # ports, numbers; type, the port that it is about
        forged = bytearray(answer)
        forged[place] ^= 2 if place != at or protocol == TCP else 8
        assert not passes(bytes(forged)), place
    programs.forget_answers()
    assert not passes(answer)


def test_without_the_setting_nobody_is_told(host: Namespace) -> None:
    path = durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    with host.entered():
        for where in DOORS:
            silent = Asked(where, path, rejects=False)
            assert silent(frame(packet(4, TCP, silent.direction))) is None
            assert not silent.counted().keys() & {Reason.ANSWERED, Reason.UNANSWERED, Reason.ANSWER_LIMIT}
            silent.programs.close()
    for pin in path.glob("*"):
        pin.unlink()
    path.rmdir()
