"""T-ATT-1, T-ATT-2: floods fill no table, push out no connection, and the right client is answered meanwhile."""

import multiprocessing
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from streams import conversing

from frames import frame
from lockdown import (
    LocalHost,
    allow,
    connects,
    deny,
    endpoint,
    local_host,
    make_kernel_track,
    packet_socket,
    policy,
    settings,
    sized,
    tcp_server,
)
from tortie.model.address import parse_address
from tortie.model.conntrack import Flow, FlowState
from tortie.model.packet import SYN, TCP, UDP, Packet

pytestmark = pytest.mark.root

PORT, OTHER, UNTRACKED = 7001, 7002, 7003
NETLINK_NETFILTER = 12  # Source: linux/netlink.h; Python does not name it
CROWD = parse_address("198.51.100.0")[1]


def frames(site: LocalHost, port: int, *, protocol: int = TCP, sources: int = 200, ports: int = 100) -> list[bytes]:
    """Packets to the host, each from an end of its own."""
    head = bytes.fromhex((site.host.mac + site.peer.mac).replace(":", ""))
    target = parse_address(site.host.address)[1]
    made = []
    for number in range(sources * ports):
        packet = Packet(
            version=4,
            protocol=protocol,
            source=CROWD + number % sources,
            destination=target,
            source_port=1024 + number // sources,
            destination_port=port,
            tcp_flags=SYN,
        )
        made.append(head + frame(packet)[12:])
    return made


@contextmanager
def flooding(site: LocalHost, made: Sequence[bytes], count: int) -> Iterator[BaseProcess]:
    """So many of them, as fast as it goes, beside the block."""
    line = packet_socket(site.peer)

    def flood() -> None:
        for number in range(count):
            line.send(made[number % len(made)])

    process = multiprocessing.get_context("fork").Process(target=flood, daemon=True)
    process.start()
    line.close()
    try:
        yield process
    finally:
        process.join(60)
        process.kill()


def crowd_in_conntrack(site: LocalHost) -> int:
    return len([line for line in site.host.run("conntrack", "-L").splitlines() if "src=198.51.100." in line])


def crowd_in_flows(site: LocalHost) -> int:
    return len([key for key in site.flows() if {key[2] >> 8, key[4] >> 8} & {CROWD >> 8}])


@pytest.mark.parametrize("way", ["doNotTrack deny in XDP", "default deny"])
def test_t_att_1_a_denied_syn_flood_leaves_no_trace_and_the_client_is_answered(way: str) -> None:
    with local_host() as site, tcp_server(site.host, PORT, OTHER) as servers:
        make_kernel_track(site.host)
        documents = [endpoint(), policy("client", [allow("TCP", PORT, source={"nets": ["10.99.0.0/24"]})])]
        if way != "default deny":
            listed = {"nets": ["198.51.100.0/24"]}
            documents.append(policy("listed", [deny("TCP", source=listed)], order=1, untracked=True))
        site.program(*documents)
        count = sized(100_000, 5_000_000)
        outcomes = []
        with flooding(site, frames(site, PORT), count) as flood:
            while flood.is_alive():
                outcomes.append(connects(site.peer, site.host.address, PORT, patience_s=2))
                servers[0].accept()[0].close() if outcomes[-1] else None
        counts = site.counted()
        name = "ingress default/-1" if way == "default deny" else "ingress listed/0"
        print(f"{way}: {counts[name]} of {count} denied, {outcomes.count(True)} of {len(outcomes)} answered")
        assert counts[name] == count
        assert (crowd_in_conntrack(site), crowd_in_flows(site)) == (0, 0)
        assert len(outcomes) >= 50 and outcomes.count(True) >= 0.99 * len(outcomes)


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_t_att_2_a_full_table_keeps_its_connections_and_untracked_services_answer(protocol: int) -> None:
    size = sized(4_096, 65_536)
    with local_host() as site, tcp_server(site.host, PORT, UNTRACKED) as servers:
        make_kernel_track(site.host)
        site.program(
            settings(bpfMapSizeConntrack=size),
            endpoint(),
            policy("open", [allow("TCP", PORT), allow("UDP", PORT)]),
            policy("out", egress=[allow("TCP", 7100)]),
            policy("fast", [allow("TCP", UNTRACKED)], [allow("TCP", UNTRACKED, source_ports=True)], untracked=True),
            policy("talk", [allow("TCP", 7100)]),
        )
        with conversing(site.host, site.peer, inward=20, outward=20, port=7100) as talks:
            time.sleep(0.5)
            assert site.driver.connections().tables[0].established >= 40
            fill(site, size)
            held = established(site)
            assert len(held) == size
            outcomes = []
            start = talks.exchanges
            with flooding(site, frames(site, PORT, protocol=protocol), sized(40_000, 1_000_000)) as flood:
                while flood.is_alive():
                    outcomes.append(connects(site.peer, site.host.address, UNTRACKED, patience_s=2))
                    if outcomes[-1]:
                        servers[1].accept()[0].close()
            assert outcomes and all(outcomes)
            assert established(site) == held
            assert connects(site.peer, site.host.address, PORT, patience_s=2)
            assert talks.failures == 0 and talks.exchanges > start
        status = site.driver.connections().tables[0]
        print(f"{status}; {len(outcomes)} answers untracked; {site.counted().get('ingress unstored', 0)} unstored")
        assert status.opening <= status.opening_size


def fill(site: LocalHost, size: int) -> None:
    """Established flows of nobody's, until the table takes no more."""
    host = parse_address(site.host.address)[1]
    missing = size - site.driver.connections().tables[0].established
    flows = (
        Flow(
            (4, TCP, host, 9, 0xCB007100 + n // 60_000, 1024 + n % 60_000),
            1,
            False,
            "",
            0.0,
            FlowState.ESTABLISHED,
            True,
        )
        for n in range(missing)
    )
    site.driver._flows.store(flows)


def established(site: LocalHost) -> set[tuple[int, ...]]:
    return {one.flow.key for one in site.driver._flows.flows() if one.table == "flows4"}


# ---- the kernel's own table


def conntrack_entries(first: int, count: int, target: int) -> bytes:
    """Netlink messages that make assured TCP entries, each from another port or address."""
    # Source: linux/netfilter/nfnetlink_conntrack.h; an attribute is length, kind, value.
    made = bytearray()
    status, timeout = (
        struct.pack("=HH", 8, 3) + struct.pack("!I", 14),
        struct.pack("=HH", 8, 7) + struct.pack("!I", 600),
    )
    state = struct.pack("=HHHHHHB3x", 16, 4 | 1 << 15, 12, 1 | 1 << 15, 5, 1, 3)
    for number in range(first, first + count):
        ends = (CROWD + number // 60_000, target, 1024 + number % 60_000, 9)
        body = b"".join(
            struct.pack("=HHHHHH", 52, way | 1 << 15, 20, 1 | 1 << 15, 8, 1)
            + struct.pack("!I", source)
            + struct.pack("=HH", 8, 2)
            + struct.pack("!I", destination)
            + struct.pack("=HHHHB3xHH", 28, 2 | 1 << 15, 5, 1, TCP, 6, 2)
            + struct.pack("!H2x", source_port)
            + struct.pack("=HH", 6, 3)
            + struct.pack("!H2x", port)
            for way, source, destination, source_port, port in (
                (1, ends[0], ends[1], ends[2], ends[3]),
                (2, ends[1], ends[0], ends[3], ends[2]),
            )
        )
        body = b"\x02\0\0\0" + body + status + timeout + state
        made += struct.pack("=IHHII", 16 + len(body), 1 << 8, 0x601, number, 0) + body
    return bytes(made)


def conntrack_count(site: LocalHost) -> int:
    return int(site.host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def test_t_att_2_an_untracked_service_answers_while_the_kernels_own_table_is_full() -> None:
    limit = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    with local_host() as site, tcp_server(site.host, PORT, UNTRACKED) as servers:
        make_kernel_track(site.host)
        site.program(
            endpoint(),
            policy("open", [allow("TCP", PORT)]),
            policy("fast", [allow("TCP", UNTRACKED)], [allow("TCP", UNTRACKED, source_ports=True)], untracked=True),
        )
        with site.host.entered(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as line:
            for first in range(0, limit, 200):
                line.send(conntrack_entries(first, min(200, limit - first), parse_address(site.host.address)[1]))
        assert conntrack_count(site) >= limit
        outcomes = []
        for _ in range(sized(200, 2_000)):
            outcomes.append(connects(site.peer, site.host.address, UNTRACKED, patience_s=2))
            if outcomes[-1]:
                servers[1].accept()[0].close()
        tracked = [connects(site.peer, site.host.address, PORT, patience_s=0.1) for _ in range(5)]
        print(f"{outcomes.count(True)} of {len(outcomes)} untracked, {tracked.count(True)} of {len(tracked)} tracked")
        assert all(outcomes)
        assert conntrack_count(site) >= limit
