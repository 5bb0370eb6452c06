"""What a locked-down host still does: failsafe ports, leases, connections that were there before, itself, discovery."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from frames import frame
from lockdown import (
    AgentHost,
    LocalHost,
    agent_host,
    allow,
    connects,
    endpoint,
    local_host,
    make_kernel_track,
    packet_socket,
    pings,
    policy,
    settings,
    tcp_server,
)
from netns import Namespace
from tortie.model.address import parse_address
from tortie.model.packet import TCP, UDP, Packet

pytestmark = pytest.mark.root

NOTHING = policy("deny-all", types=["Ingress", "Egress"])
CLIENT, SERVER = 68, 67
OTHERS = (21, 23, 25, 80, 443, 8080)


# ---- T-REL-11


def test_t_rel_11_ssh_stays_reachable_and_nothing_else_does() -> None:
    with local_host() as site, tcp_server(site.host, 22, *OTHERS), tcp_server(site.peer, 22, 443):
        addresses = site.host.address, site.host.address6
        assert all(connects(site.peer, address, port) for address in addresses for port in (22, *OTHERS))
        site.program(endpoint(), NOTHING)
        assert all(connects(site.peer, address, 22) for address in addresses)
        assert not any(connects(site.peer, address, port, patience_s=0.1) for address in addresses for port in OTHERS)
        assert not connects(site.host, site.peer.address, 443, patience_s=0.1)
        site.program(gone=[NOTHING])  # without any policy an endpoint is no less closed
        assert connects(site.peer, site.host.address, 22)
        assert not connects(site.peer, site.host.address, 80, patience_s=0.1)


def test_t_rel_11_only_an_explicit_setting_takes_the_failsafes_away() -> None:
    with local_host() as site, tcp_server(site.host, 22):
        site.program(endpoint(), NOTHING)
        assert connects(site.peer, site.host.address, 22)
        site.program(settings(logSeverityScreen="Info"))
        assert connects(site.peer, site.host.address, 22)
        none = settings(failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[])
        site.program(none)
        assert not connects(site.peer, site.host.address, 22, patience_s=0.2)
        assert lease(site) == {"discover": False, "offer": False, "request": False, "acknowledge": False}
        site.program(gone=[none])
        assert connects(site.peer, site.host.address, 22)


def test_t_rel_11_a_lease_can_be_had_and_renewed() -> None:
    with local_host() as site:
        make_kernel_track(site.host)
        site.program(endpoint(), NOTHING)
        assert lease(site) == {"discover": True, "offer": True, "request": True, "acknowledge": True}
        with site.peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("", SERVER))
            with site.host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("", 5353))
                other.settimeout(0.2)
                stranger.sendto(b"x", (site.host.address, 5353))
                with pytest.raises(TimeoutError):
                    other.recv(10)


def lease(site: LocalHost) -> dict[str, bool]:
    """Which messages of a lease get through: the first two by broadcast, the renewal between two addresses."""
    host, peer = site.host, site.peer
    found = {}
    with packet_socket(host) as client, bound(peer, SERVER) as server:
        made = udp(CLIENT, SERVER, "0.0.0.0", "255.255.255.255", b"discover")
        with suppress(OSError):  # ENOBUFS is what the sender hears of a drop in tc
            client.send(b"\xff" * 6 + bytes.fromhex(host.mac.replace(":", "")) + made[12:])
        found["discover"] = heard(server) == b"discover"
    with packet_socket(peer) as server, bound(host, CLIENT) as client:
        made = udp(SERVER, CLIENT, peer.address, "255.255.255.255", b"offer")
        server.send(b"\xff" * 6 + bytes.fromhex(peer.mac.replace(":", "")) + made[12:])
        found["offer"] = heard(client) == b"offer"
    with bound(host, CLIENT) as client, bound(peer, SERVER) as server:
        with suppress(OSError):
            client.sendto(b"request", (peer.address, SERVER))
        found["request"] = heard(server) == b"request"
    with bound(host, CLIENT) as client, bound(peer, SERVER) as server:
        server.sendto(b"acknowledge", (host.address, CLIENT))
        found["acknowledge"] = heard(client) == b"acknowledge"
    return found


def udp(source_port: int, port: int, source: str, target: str, payload: bytes) -> bytes:
    ends = {"source": parse_address(source)[1], "destination": parse_address(target)[1]}
    packet = Packet(version=4, protocol=UDP, source_port=source_port, destination_port=port, **ends)
    return frame(packet, payload=payload)


@contextmanager
def bound(where: Namespace, port: int) -> Iterator[socket.socket]:
    with where.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.bind(("", port))
        made.settimeout(0.3)
        yield made


def heard(receiver: socket.socket) -> bytes:
    try:
        return receiver.recv(100)
    except TimeoutError:
        return b""


# ---- T-ATT-13


def test_t_att_13_a_failsafe_port_as_source_opens_no_other_port() -> None:
    targets = (1, 25, 80, 5000, 6379, 30_000)
    sources = (22, 53, 67, 68, 179, 2379, 2380, 5473, 6443, 6666, 6667)
    with local_host() as site, ExitStack() as servers:
        counted = f"{{ {', '.join(map(str, targets))} }}"
        watch = (
            "table inet watch { counter seen {}; chain c { type filter hook prerouting priority -400; "
            f"tcp dport {counted} counter name seen; udp dport {counted} counter name seen; }}; }}"
        )
        site.host.run("nft", watch)
        servers.enter_context(tcp_server(site.host, *targets))
        site.program(endpoint(), policy("web", ingress=[allow("TCP", 8080)], egress=[allow("TCP", 443)]))
        out = servers.enter_context(packet_socket(site.peer))
        ends = bytes.fromhex((site.host.mac + site.peer.mac).replace(":", ""))
        flow = {
            "version": 4,
            "source": parse_address(site.peer.address)[1],
            "destination": parse_address(site.host.address)[1],
        }
        sent = 0
        for source in sources:
            for target in targets:
                for flags in (0x02, 0x10, 0x12, 0x11, 0x04, 0x14):
                    packet = Packet(protocol=TCP, source_port=source, destination_port=target, tcp_flags=flags, **flow)
                    sent += out.send(ends + frame(packet)[12:]) > 0
                packet = Packet(protocol=UDP, source_port=source, destination_port=target, **flow)
                sent += out.send(ends + frame(packet)[12:]) > 0
        assert sent == len(sources) * len(targets) * 7
        listed = site.host.run("nft", "list", "counter", "inet", "watch", "seen")
        assert "packets 0 " in listed
        assert site.flows() == set()


# ---- connections that were there before


class Talk:
    """A connection with both of its ends."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = client, server
        for end in self.ends:
            end.settimeout(2)

    def goes_on(self) -> bool:
        """Whether both ends still hear each other."""
        client, server = self.ends
        try:
            client.sendall(b"ping")
            server_heard = server.recv(4)
            server.sendall(b"pong")
            return (server_heard, client.recv(4)) == (b"ping", b"pong")
        except OSError:
            return False


@contextmanager
def talks(site: LocalHost | AgentHost, families: Sequence[int] = (4, 6)) -> Iterator[dict[str, Talk]]:
    """TCP connections of both directions, and UDP sockets connected to each other."""
    found: dict[str, Talk] = {}
    with ExitStack() as kept:
        for version in families:
            for way, source, target in (("in", site.peer, site.host), ("out", site.host, site.peer)):
                address = target.address if version == 4 else target.address6
                own = source.address if version == 4 else source.address6
                family = socket.AF_INET if version == 4 else socket.AF_INET6
                with target.entered():
                    listening = kept.enter_context(socket.create_server((address, 7100), family=family))
                    answering = kept.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    answering.bind((address, 7200))
                with source.entered():
                    client = kept.enter_context(socket.create_connection((address, 7100), 2))
                    asking = kept.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    asking.bind((own, 7300))
                    asking.connect((address, 7200))
                answering.connect((own, 7300))
                found[f"tcp{version} {way}"] = Talk(client, kept.enter_context(listening.accept()[0]))
                found[f"udp{version} {way}"] = Talk(asking, answering)
        yield found


@pytest.mark.parametrize("is_idle", [True, False])
def test_connections_survive_the_arming_of_the_first_endpoint(is_idle: bool) -> None:
    with local_host() as site, talks(site) as found, tcp_server(site.host, 7400):
        if not is_idle:
            assert all(talk.goes_on() for talk in found.values())
        site.program(endpoint(), NOTHING)
        assert [name for name, talk in found.items() if not talk.goes_on()] == []
        assert not connects(site.peer, site.host.address, 7400, patience_s=0.2)
        site.program(policy("more", ingress=[allow("TCP", 1)]))
        assert [name for name, talk in found.items() if not talk.goes_on()] == []


def test_connections_survive_a_connection_table_of_another_size() -> None:
    with local_host() as site, talks(site) as found:
        site.program(endpoint(), NOTHING)
        for size in (8_192, 65_536, 2_048):
            site.program(settings(bpfMapSizeConntrack=size))
            assert site.driver.connections().tables[0].established_size == size
            assert [name for name, talk in found.items() if not talk.goes_on()] == []


def test_connections_survive_the_end_of_an_endpoint_and_the_next_one() -> None:
    with local_host() as site, talks(site) as found:
        for _ in range(3):
            site.program(endpoint(), NOTHING)
            assert [name for name, talk in found.items() if not talk.goes_on()] == []
            site.program(gone=[endpoint(), NOTHING])
            assert [name for name, talk in found.items() if not talk.goes_on()] == []


def test_connections_survive_the_first_start_of_an_agent(tmp_path: Path) -> None:
    with agent_host(tmp_path / "site") as site, talks(site) as found, tcp_server(site.host, 7400):
        site.commit(endpoint(), NOTHING)
        site.start()
        assert not connects(site.peer, site.host.address, 7400, patience_s=0.2)
        assert [name for name, talk in found.items() if not talk.goes_on()] == []
        site.kill()
        assert [name for name, talk in found.items() if not talk.goes_on()] == []
        site.start()
        assert [name for name, talk in found.items() if not talk.goes_on()] == []


def test_a_client_of_an_unconnected_udp_server_survives_where_the_kernel_tracked_it() -> None:
    with local_host() as site, bound(site.host, 7500) as server:
        make_kernel_track(site.host)
        with (
            site.peer.entered(),
            socket.create_server((site.peer.address, 9)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            client.settimeout(1)
            client.connect((site.host.address, 7500))

            def asks() -> bool:
                client.send(b"?")
                try:
                    heard_of, who = server.recvfrom(1)
                    server.sendto(b"!", who)
                    return (heard_of, client.recv(1)) == (b"?", b"!")
                except OSError:
                    return False

            assert all(asks() for _ in range(3))
            site.program(endpoint(), NOTHING)
            assert all(asks() for _ in range(3))


# ---- itself, and its neighbours


def test_the_host_speaks_to_itself_whatever_policy_says() -> None:
    with local_host() as site, tcp_server(site.host, 7600):
        site.program(endpoint(), NOTHING)
        for address in ("127.0.0.1", "::1", site.host.address, site.host.address6):
            assert connects(site.host, address, 7600)
            assert pings(site.host, address)


def test_neighbour_discovery_works_where_everything_is_denied() -> None:
    with local_host() as site, tcp_server(site.host, 22):
        site.program(endpoint(), NOTHING)
        for end in (site.host, site.peer):
            end.run("ip", "-6", "neigh", "flush", "dev", end.interface)
        assert connects(site.peer, site.host.address6, 22, patience_s=2)
        for end, other in ((site.host, site.peer), (site.peer, site.host)):
            seen = end.run("ip", "-6", "neigh", "show", other.address6)
            assert other.mac in seen
        assert not pings(site.peer, site.host.address6, patience_s=0.4)
        counted = site.counted()
        assert counted["ingress essential_icmpv6"] > 0 and counted["egress essential_icmpv6"] > 0
