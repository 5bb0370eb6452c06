"""Frames that want to be taken for part of a connection: what the tracked stages make of them."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest

from bpf.policies import case_of
from bpf.test_frames import ethernet, ip4, ip6
from bpf.tracked import Tracked
from bpf.untracked import Counts
from frames import frame
from strategies import Case
from tortie.kernel.bpf import durable_bpffs
from tortie.model.desired import HostAddresses
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import ACK, ICMP, ICMPV6, SYN, TCP, Direction, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, Verdict

pytestmark = pytest.mark.root

IGMP = 2
PORT = 80
HOST, PEER = 0x0A000002, 0x0A000001
HOST6, PEER6 = 0xFD << 120 | 2, 0xFD << 120 | 1
RULES = (
    Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(PORT, PORT),)))),
    Rule(Action.ALLOW, (ProtocolMatch(IGMP),)),
)


def normal_case() -> Case:
    """Port 80 and IGMP may come in, nothing may go out that is not an answer."""
    case = case_of(RULES)
    (group,) = case.endpoint.tiers[Stage.UNTRACKED, Direction.INGRESS]
    policies = tuple(replace(policy, do_not_track=False, apply_on_forward=False) for policy in group.policies)
    tiers = {(Stage.NORMAL, Direction.INGRESS): (replace(group, policies=policies),)}
    addresses = HostAddresses(frozenset({(4, HOST), (6, HOST6)}))
    return replace(case, endpoint=replace(case.endpoint, tiers=tiers), addresses=addresses)


class Door:
    """The programs of both directions, which say what they counted a frame under."""

    def __init__(self, folder: Path, door: str) -> None:
        self.programs = Tracked(normal_case(), folder, door=door)
        self._before = {direction: Counts() for direction in Direction}

    def __call__(self, data: bytes, direction: Direction = Direction.INGRESS) -> Reason:
        """Why the frame was let through or not."""
        verdict, _ = self.programs.run(direction, data)
        after = self.programs.counts(direction)
        ((what, count),) = (after - self._before[direction]).items()
        self._before[direction] = after
        assert count == 1
        reason = what if isinstance(what, Reason) else what.reason
        is_denied = reason in (Reason.INVALID, Reason.DEFAULT_DENY, Reason.TIER_END, Reason.MALFORMED, Reason.FRAGMENT)
        assert is_denied == (verdict is Verdict.DENY)
        return reason


@pytest.fixture(params=["xdp", "tc"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    path = durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    made = Door(path, request.param)
    yield made
    made.programs.close()
    for pin in path.glob("*"):
        pin.unlink()
    path.rmdir()


def opened(door: Door, version: int = 4) -> Packet:
    """The first packet of a connection that policy allowed."""
    source, destination = (PEER, HOST) if version == 4 else (PEER6, HOST6)
    packet = Packet(
        version=version,
        protocol=TCP,
        source=source,
        destination=destination,
        source_port=40000,
        destination_port=PORT,
        tcp_flags=SYN,
        sequence=1000,
    )
    assert door(frame(packet)) is Reason.POLICY
    return packet


def error(about: Packet) -> Packet:
    """An ICMP error that the peer sends about an answer of this host."""
    answer = replace(
        about,
        source=about.destination,
        destination=about.source,
        source_port=about.destination_port,
        destination_port=about.source_port,
        tcp_flags=ACK,
    )
    protocol, kind = (ICMP, 3) if about.version == 4 else (ICMPV6, 1)
    return Packet(
        version=about.version,
        protocol=protocol,
        source=about.source,
        destination=about.destination,
        icmp_type=kind,
        icmp_code=0,
        inner=answer,
    )


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_about_a_flow_is_related(door: Door, version: int) -> None:
    syn = opened(door, version)
    assert door(frame(error(syn))) is Reason.RELATED
    assert door(frame(error(replace(syn, source_port=40001)))) is Reason.INVALID


def test_an_error_of_the_other_family_is_about_nothing(door: Door) -> None:
    """Linux has no handler for it; and of the packet inside it only the first word of an address would be read."""
    syn = opened(door, 6)
    assert door(frame(error(syn))) is Reason.RELATED
    answer = pack("!HH", PORT, 40000) + bytes(8)
    words = (HOST6 >> 96).to_bytes(4, "big"), (PEER6 >> 96).to_bytes(4, "big")
    inner = pack("!BBHHHBBH", 0x45, 0, 32, 1, 0, 64, TCP, 0) + b"".join(words) + answer
    assert door(ethernet(0x86DD, ip6(ICMP, bytes([3, 0, 0, 0, 0, 0, 0, 0]) + inner))) is Reason.INVALID
    syn4 = opened(door, 4)
    assert door(frame(error(syn4))) is Reason.RELATED
    inside = ip6(TCP, answer)
    inside = inside[:8] + syn4.destination.to_bytes(4, "big") + bytes(12) + syn4.source.to_bytes(4, "big") + inside[28:]
    assert door(ethernet(0x800, ip4(ICMPV6, bytes([1, 0, 0, 0, 0, 0, 0, 0]) + inside))) is Reason.INVALID


def test_a_later_fragment_of_an_error_is_about_nothing_wherever_it_is_read(door: Door) -> None:
    """Its Ethernet and IP header read as the packet it is about: 5 words, protocol 2, from 10.0.185.64 to 1.2.3.10."""
    whole = ip4(IGMP, bytes(8))
    flow = whole[:12] + bytes([10, 0, 185, 64]) + bytes([1, 2, 3, 10])
    assert door(ethernet(0x800, flow + bytes(8))) is Reason.POLICY
    first = ip4(ICMP, bytes([3, 0, *bytes(14)]), place=0x2000, ident=10)
    assert door(ethernet(0x800, first)) is Reason.INVALID
    later = bytearray(ethernet(0x800, ip4(ICMP, bytes(512), place=185, ident=10)))
    later[7] = 0x45
    later[24:26] = bytes([2, 3])
    assert door(bytes(later)) is Reason.INVALID


@pytest.mark.parametrize("options", range(6))
def test_the_packet_of_a_redirect_is_in_an_option_that_says_so(door: Door, options: int) -> None:
    syn = opened(door, 6)
    answer = frame(error(syn))[14 + 40 + 8 :]
    about = answer + bytes(-len(answer) % 8)
    head = bytes([137, 0, *bytes(6)]) + bytes(32) + pack("!BB6x", 2, 1) * options
    right, wrong = (pack("!BB6x", kind, 1 + len(about) // 8) + about for kind in (4, 5))
    is_read = options <= 3
    redirect = ethernet(0x86DD, ip6(ICMPV6, head + right))
    assert door(redirect) is (Reason.RELATED if is_read else Reason.INVALID)
    assert door(ethernet(0x86DD, ip6(ICMPV6, head + wrong))) is Reason.INVALID
