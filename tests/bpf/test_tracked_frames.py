"""Frames that want to be taken for part of a connection: what the tracked stages make of them."""

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from struct import pack

import pytest

from bpf.policies import case_of
from bpf.test_frames import ethernet, ip4, ip6
from bpf.tracked import Tracked, forwarding_host, set_forwarding
from bpf.untracked import Counts
from frames import frame
from strategies import Case
from tortie.kernel.bpf import durable_bpffs
from tortie.model.conntrack import FlowState
from tortie.model.desired import HostAddresses
from tortie.model.martian import is_martian
from tortie.model.matches import IcmpMatch, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import ACK, ICMP, ICMPV6, SCTP, SYN, TCP, Direction, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, Verdict

pytestmark = pytest.mark.root

IGMP = 2
PORT, SCTP_PORT = 80, 3868
HOST, PEER = 0x0A000002, 0x0A000001
HOST6, PEER6 = 0xFD << 120 | 2, 0xFD << 120 | 1
RULES = (
    Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(PORT, PORT),)))),
    Rule(Action.ALLOW, (ProtocolMatch(SCTP), PortMatch(Side.DESTINATION, (PortRange(SCTP_PORT, SCTP_PORT),)))),
    Rule(Action.ALLOW, (ProtocolMatch(IGMP),)),
    Rule(Action.ALLOW, (ProtocolMatch(ICMP), IcmpMatch(8, None))),
    Rule(Action.ALLOW, (ProtocolMatch(ICMPV6), IcmpMatch(128, None))),
)


DENIALS = (
    Reason.INVALID,
    Reason.DEFAULT_DENY,
    Reason.TIER_END,
    Reason.MALFORMED,
    Reason.FRAGMENT,
    Reason.MARTIAN,
)


def normal_case() -> Case:
    """Port 80, IGMP and echo requests may come in, nothing may go out that is not an answer."""
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
        is_denied = reason in DENIALS
        assert is_denied == (verdict is Verdict.DENY)
        return reason


@pytest.fixture(params=["xdp", "tc"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """On a host that does not forward."""
    yield from made(request.param)


@pytest.fixture(params=["xdp", "tc"])
def forwarding_door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """On a host that forwards, has routes to everywhere, and addresses that no agent has told the program of."""
    with forwarding_host() as host:
        set_forwarding(host, frozenset({4, 6}))
        host.run("ip", "address", "add", "10.77.0.1/24", "brd", "+", "dev", "out0")
        host.run("sysctl", "-qw", "net.ipv6.conf.out0.forwarding=1")
        host.run("ip", "address", "add", "fd77::1/64", "dev", "out0", "nodad")
        with host.entered():
            yield from made(request.param)


def made(door: str) -> Iterator[Door]:
    path = durable_bpffs(Path("/run/tortie/bpf")) / f"test-{os.getpid()}"
    found = Door(path, door)
    yield found
    found.programs.close()
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


def answered(packet: Packet, flags: int, *, sequence: int = 0) -> Packet:
    """An answer of this host."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        tcp_flags=flags,
        sequence=sequence,
        acknowledgement=packet.sequence + 1,
    )


def error(about: Packet) -> Packet:
    """An ICMP error that the peer sends about an answer of this host."""
    answer = answered(about, ACK)
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


@pytest.mark.parametrize("version", [4, 6])
def test_what_stands_behind_the_end_of_an_error_is_not_what_it_is_about(door: Door, version: int) -> None:
    """The kernel cuts it off."""
    syn = opened(door, version)
    whole = frame(error(syn))
    place, header, inner = (16, 20, 20 + 8) if version == 4 else (18, 0, 40 + 8)
    for size in (4, 7, 8, 8 + inner - 9, 8 + inner - 1):
        cut = whole[:place] + pack("!H", header + size) + whole[place + 2 :]
        assert (size, door(cut)) == (size, Reason.INVALID)
    enough = whole[:place] + pack("!H", header + 8 + inner) + whole[place + 2 :]
    assert door(enough) is Reason.RELATED


def echo(version: int) -> Packet:
    """An echo request of the peer."""
    source, destination = (PEER, HOST) if version == 4 else (PEER6, HOST6)
    protocol, kind = (ICMP, 8) if version == 4 else (ICMPV6, 128)
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=destination,
        icmp_type=kind,
        icmp_code=0,
        icmp_id=7,
    )


@pytest.mark.parametrize("version", [4, 6])
def test_an_identifier_behind_the_end_of_an_echo_is_none(door: Door, version: int) -> None:
    whole = frame(echo(version))
    place, header = (16, 20) if version == 4 else (18, 0)
    short = whole[:place] + pack("!H", header + 5) + whole[place + 2 :]
    assert [door(one) for one in (whole, short, short, whole)] == [
        Reason.POLICY,
        Reason.POLICY,
        Reason.ESTABLISHED,
        Reason.ESTABLISHED,
    ]


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


@pytest.mark.parametrize("version", [4, 6])
def test_who_may_send_echo_requests_may_ask_for_nothing_else_with_their_identifier(door: Door, version: int) -> None:
    others = (13, 15, 17) if version == 4 else (139,)
    asked = echo(version)
    assert [door(frame(asked)) for _ in range(2)] == [Reason.POLICY, Reason.ESTABLISHED]
    turned = replace(asked, source=asked.destination, destination=asked.source)
    reply = replace(turned, icmp_type=0 if version == 4 else 129)
    assert door(frame(reply), Direction.EGRESS) is Reason.ESTABLISHED
    for kind in others:
        assert door(frame(replace(asked, icmp_type=kind))) is Reason.TIER_END


@pytest.mark.parametrize("version", [4, 6])
def test_sctp_opens_a_flow_with_an_init_and_with_nothing_else(door: Door, version: int) -> None:
    """RFC 9260 section 5.1."""
    source, destination = (PEER, HOST) if version == 4 else (PEER6, HOST6)
    init = Packet(
        version=version,
        protocol=SCTP,
        source=source,
        destination=destination,
        source_port=40000,
        destination_port=SCTP_PORT,
    )
    data = replace(init, is_sctp_init=False)
    reply = replace(data, source=destination, destination=source, source_port=SCTP_PORT, destination_port=40000)
    assert door(frame(data)) is Reason.INVALID
    assert door(frame(reply), Direction.EGRESS) is Reason.INVALID
    assert door(frame(init)) is Reason.POLICY
    assert door(frame(reply), Direction.EGRESS) is Reason.ESTABLISHED
    assert door(frame(data)) is Reason.ESTABLISHED
    assert door(frame(replace(init, destination_port=SCTP_PORT + 1))) is Reason.TIER_END


@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_is_assured_by_an_acknowledgement_of_what_this_host_sent(door: Door, version: int) -> None:
    """Else two blind packets for each flow, with forged addresses, fill the map from which nothing is evicted."""
    syn = opened(door, version)
    isn = 0xFFFFFFFE
    assert door(frame(answered(syn, SYN | ACK, sequence=isn)), Direction.EGRESS) is Reason.ESTABLISHED
    for off in (1, 1000, 1 << 31, -(1 << 16) - 1, -(1 << 30)):
        forged = replace(syn, tcp_flags=ACK, sequence=1001, acknowledgement=isn + 1 + off & 0xFFFFFFFF)
        assert door(frame(forged)) is Reason.ESTABLISHED
        assert {state for state, _, _ in door.programs.states().values()} == {FlowState.OPENING}
    genuine = replace(syn, tcp_flags=ACK, sequence=1001, acknowledgement=isn + 1 & 0xFFFFFFFF)
    assert door(frame(genuine)) is Reason.ESTABLISHED
    assert {state for state, _, _ in door.programs.states().values()} == {FlowState.ESTABLISHED}


@pytest.mark.parametrize("address", [0, 1, 0x7F000001, 0xE0000001, 0xFFFFFFFF, HOST])
@pytest.mark.parametrize("source", [0, PEER])
def test_what_the_host_itself_takes_is_not_forwarded(forwarding_door: Door, address: int, source: int) -> None:
    """Linux delivers what goes from 0.0.0.0 to 0.0.0.0 to its own sockets, default route or not."""
    packet = Packet(version=4, protocol=17, source=source, destination=address, source_port=1, destination_port=53)
    is_from_nobody = is_martian(packet, HostAddresses())
    assert is_from_nobody == (address >> 24 == 127 or (source == 0 and address not in (0xE0000001, 0xFFFFFFFF)))
    assert forwarding_door(frame(packet)) is (Reason.MARTIAN if is_from_nobody else Reason.TIER_END)


@pytest.mark.parametrize("address", ["10.77.0.1", "10.77.0.255", "fd77::1", "fd77::", "fe80::1", "ff02::1", "::1"])
def test_addresses_that_the_agent_has_not_heard_of_are_protected_all_the_same(
    forwarding_door: Door, address: str
) -> None:
    """Unicast, broadcast, and the anycast address that a router has in every net (RFC 4291 section 2.6.1)."""
    to = ip_address(address)
    source = PEER if to.version == 4 else PEER6
    packet = Packet(
        version=to.version, protocol=17, source=source, destination=int(to), source_port=1, destination_port=53
    )
    assert forwarding_door(frame(packet)) is (Reason.MARTIAN if address == "::1" else Reason.TIER_END)


@pytest.mark.parametrize("address", [0x01000000, 0xC0A80105, 0xF0000001])
def test_what_the_host_has_a_route_for_is_forwarded(forwarding_door: Door, address: int) -> None:
    packet = Packet(version=4, protocol=17, source=PEER, destination=address, source_port=1, destination_port=53)
    assert forwarding_door(frame(packet)) is Reason.FORWARDED
