"""T-ATT-12: packets that pretend to belong to a flow. A peer whose TCP is the test itself, frame by frame."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from frames import frame
from lockdown import LocalHost, allow, connects, endpoint, local_host, packet_socket, policy, tcp_server, until
from tortie.model.address import parse_address
from tortie.model.conntrack import FlowState
from tortie.model.packet import ACK, FIN, PSH, RST, SYN, TCP, UDP, Packet

pytestmark = pytest.mark.root

OPEN, CLOSED = 7001, 7002
GHOST, STRANGER = "10.99.0.77", "10.99.0.78"
"""Addresses that only the test answers for."""
OPEN_IN = policy("open", ingress=[allow("TCP", OPEN), allow("UDP", OPEN)])


@dataclass
class Wire:
    """The peer's end of the wire."""

    site: LocalHost
    line: socket.socket

    def send(
        self, source_port: int, port: int, flags: int, *, source: str = GHOST, protocol: int = TCP, **more: int
    ) -> None:
        """Put a packet to the host on the wire."""
        payload = bytes(more.get("payload_bytes", 0))
        packet = Packet(
            version=4,
            protocol=protocol,
            source=parse_address(source)[1],
            destination=parse_address(self.site.host.address)[1],
            source_port=source_port,
            destination_port=port,
            tcp_flags=flags,
            **more,
        )
        ends = bytes.fromhex((self.site.host.mac + self.site.peer.mac).replace(":", ""))
        self.line.send(ends + frame(packet, payload=payload)[12:])

    def hear(self, source_port: int, port: int) -> tuple[int, int, int]:
        """Sequence number, acknowledgement and flags of the host's next packet of that connection."""
        while True:
            data = self.line.recv(2000)
            if data[12:14] == b"\x08\x00" and data[23] == TCP and data[6:12].hex(":") == self.site.host.mac:
                found = struct.unpack_from("!HHIIxB", data, 34)
                if found[:2] == (port, source_port):
                    return found[2], found[3], found[4] & 0x3F

    def handshake(self, source_port: int, port: int) -> tuple[int, int]:
        """Next sequence numbers of both ends of a connection that the host has accepted."""
        self.send(source_port, port, SYN, sequence=1000)
        theirs, _, flags = self.hear(source_port, port)
        assert flags == SYN | ACK
        self.send(source_port, port, ACK, sequence=1001, acknowledgement=theirs + 1)
        return 1001, theirs + 1

    def seen(self) -> int:
        """Packets of the ghosts that came past the programs."""
        listed = self.site.host.run("nft", "list", "counter", "inet", "watch", "seen")
        return int(listed.split("packets ")[1].split()[0])

    def state(self, source_port: int, port: int, protocol: int = TCP) -> FlowState | None:
        """What the connection table says of a flow of the ghost's."""
        ghost, host = parse_address(GHOST)[1], parse_address(self.site.host.address)[1]
        for one in self.site.driver._flows.flows():
            if one.flow.key == (4, protocol, host, port, ghost, source_port):
                return one.flow.state
        return None


@pytest.fixture
def wire() -> Iterator[Wire]:
    with local_host() as site, packet_socket(site.peer, hears=True) as line:
        watch = (
            "table inet watch { counter seen {}; chain c { type filter hook prerouting priority -400; "
            f"ip saddr {{ {GHOST}, {STRANGER} }} counter name seen; }}; }}"
        )
        site.host.run("nft", watch)
        for ghost in (GHOST, STRANGER):
            site.host.run("ip", "neigh", "add", ghost, "lladdr", site.peer.mac, "dev", site.host.interface)
        site.program(endpoint(), OPEN_IN)
        yield Wire(site, line)


def test_t_att_12_what_no_flow_knows_passes_no_closed_port(wire: Wire) -> None:
    with tcp_server(wire.site.host, CLOSED):
        flags = [
            ACK,
            RST,
            RST | ACK,
            FIN,
            FIN | ACK,
            SYN | ACK,
            SYN,
            0,
            SYN | FIN,
            SYN | RST,
            FIN | PSH,
            PSH | ACK,
            0x3F,
        ]
        for number, one in enumerate(flags):
            wire.send(5000 + number, CLOSED, one, sequence=1, acknowledgement=1)
        assert wire.seen() == 0
        assert wire.site.flows() == set()


def test_t_att_12_a_closed_flow_does_not_open_again_for_anything_but_a_syn_that_policy_allows(wire: Wire) -> None:
    with tcp_server(wire.site.host, OPEN) as (server,):
        mine, theirs = wire.handshake(5000, OPEN)
        accepted, _ = server.accept()
        assert wire.state(5000, OPEN) is FlowState.ESTABLISHED
        wire.send(5000, OPEN, FIN | ACK, sequence=mine, acknowledgement=theirs)
        accepted.close()
        _, _, flags = wire.hear(5000, OPEN)
        while not flags & FIN:
            _, _, flags = wire.hear(5000, OPEN)
        assert wire.state(5000, OPEN) is FlowState.CLOSED
        wire.site.program(gone=[OPEN_IN])
        for flags in (RST, RST | ACK, FIN | ACK, SYN | ACK):
            wire.send(5000, OPEN, flags, sequence=mine + 1, acknowledgement=theirs + 1)
            assert wire.state(5000, OPEN) is FlowState.CLOSED
        wire.send(5000, OPEN, ACK, sequence=mine + 1, acknowledgement=theirs + 1)
        assert wire.state(5000, OPEN) is None  # nothing can follow the last word
        seen = wire.seen()
        for flags in (ACK, RST, RST | ACK, FIN | ACK, SYN | ACK, PSH | ACK):
            wire.send(5000, OPEN, flags, sequence=mine + 1, acknowledgement=theirs + 1)
            assert wire.state(5000, OPEN) is None
        wire.send(5000, OPEN, SYN, sequence=9000)
        wire.send(5001, OPEN, SYN, sequence=9000)
        wire.send(5001, OPEN, ACK, sequence=mine + 1, acknowledgement=theirs + 1)
        assert wire.seen() == seen


def test_t_att_12_a_reset_outside_the_window_ends_no_flow_and_one_inside_does(wire: Wire) -> None:
    with tcp_server(wire.site.host, OPEN) as (server,):
        mine, theirs = wire.handshake(5000, OPEN)
        accepted, _ = server.accept()
        accepted.settimeout(2)
        wire.site.program(gone=[OPEN_IN])
        for wrong in (mine - 100_000, mine + 100_000, mine + 3_000_000_000):
            wire.send(5000, OPEN, RST, sequence=wrong & 0xFFFFFFFF)
            assert wire.state(5000, OPEN) is FlowState.ESTABLISHED
        wire.send(5000, OPEN, PSH | ACK, sequence=mine, acknowledgement=theirs, payload_bytes=3)
        assert accepted.recv(10) == bytes(3)
        until(lambda: wire.state(5000, OPEN) is FlowState.ESTABLISHED, 1)
        wire.send(5000, OPEN, RST, sequence=mine + 3)
        until(lambda: wire.state(5000, OPEN) is FlowState.RESET, 1)
        with pytest.raises(ConnectionResetError):
            accepted.recv(10)
        seen = wire.seen()
        wire.send(5000, OPEN, SYN, sequence=9000)
        assert wire.seen() == seen
        accepted.close()


def test_t_att_12_both_ends_may_open_at_once_and_only_these_two(wire: Wire) -> None:
    wire.site.program(policy("out", egress=[allow("TCP", 9000)]))
    with wire.site.host.entered():
        client = socket.socket()
    with client:
        client.bind(("", 6000))
        client.setblocking(False)
        with suppress(BlockingIOError):
            client.connect((GHOST, 9000))
        theirs, _, flags = wire.hear(9000, 6000)
        assert flags == SYN
        seen = wire.seen()
        for source_port, port, source in ((9001, 6000, GHOST), (9000, 6001, GHOST), (9000, 6000, STRANGER)):
            wire.send(source_port, port, SYN, sequence=500, source=source)
            wire.send(source_port, port, SYN | ACK, sequence=500, acknowledgement=theirs + 1, source=source)
            wire.send(source_port, port, ACK, sequence=500, acknowledgement=theirs + 1, source=source)
        assert wire.seen() == seen
        wire.send(9000, 6000, SYN, sequence=500)  # RFC 9293, figure 8
        assert wire.hear(9000, 6000)[2] == SYN | ACK
        wire.send(9000, 6000, SYN | ACK, sequence=500, acknowledgement=theirs + 1)
        client.setblocking(True)
        client.settimeout(2)
        until(lambda: client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1, 2)
        assert len([key for key in wire.site.flows() if key[1] == TCP]) == 1


def test_t_att_12_an_answer_from_elsewhere_is_no_answer(wire: Wire) -> None:
    wire.site.program(policy("out", egress=[allow("UDP", 9000)]))
    with wire.site.host.entered():
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asking:
        asking.bind(("", 6000))
        asking.settimeout(0.3)
        asking.sendto(b"?", (GHOST, 9000))
        for source, source_port, port in ((GHOST, 9001, 6000), (STRANGER, 9000, 6000), (GHOST, 9000, 6001)):
            wire.send(source_port, port, 0, source=source, protocol=UDP)
        assert wire.seen() == 0
        wire.send(9000, 6000, 0, protocol=UDP)
        assert asking.recvfrom(10)[1] == (GHOST, 9000)
        assert wire.seen() == 1
        assert len([key for key in wire.site.flows() if key[1] == UDP]) == 1


def test_t_att_12_an_allowed_flow_casts_no_shadow_on_other_ports(wire: Wire) -> None:
    with tcp_server(wire.site.host, OPEN, CLOSED):
        wire.handshake(5000, OPEN)
        wire.send(5000, OPEN, 0, protocol=UDP)
        seen = wire.seen()
        for flags in (SYN, ACK, RST, FIN | ACK, SYN | ACK):
            wire.send(5000, CLOSED, flags, sequence=1001)
            wire.send(OPEN, 5000, flags, sequence=1001)
            wire.send(OPEN, CLOSED, flags, sequence=1001)
        for source_port, port in ((5000, CLOSED), (OPEN, 5000), (OPEN, CLOSED)):
            wire.send(source_port, port, 0, protocol=UDP)
        assert wire.seen() == seen
        assert not connects(wire.site.peer, wire.site.host.address, CLOSED, patience_s=0.1, source_port=5000)
        assert len({key[2:] for key in wire.site.flows()}) == 1
