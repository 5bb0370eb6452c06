"""T-COR-3: every packet is counted once, with what decided about it; what did not arrive was dropped for a reason."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest

import pytest

from frames import frame
from lockdown import (
    LocalHost,
    allow,
    deny,
    endpoint,
    link_statistics,
    local_host,
    packet_socket,
    policy,
    sized,
)
from netns import Namespace
from tortie.model.address import parse_address
from tortie.model.packet import ACK, FIN, ICMP, SYN, TCP, UDP, Fragment, Packet

pytestmark = pytest.mark.root

LISTED = "198.51.100.0"
PASSES = {"open/0", "open/1", "failsafe", "established", "not_ip"}
"""What lets a packet pass; everything else that is counted drops it."""
POLICIES = (
    policy("listed", [deny("UDP", source={"nets": [f"{LISTED}/24"]})], order=1, untracked=True),
    policy("open", [allow("UDP", 7001), allow("TCP", 7001), deny("UDP", 7002), deny("TCP", 7003)]),
    policy("open-out", egress=[allow("UDP", 7001), allow("TCP", 7001), deny("UDP", 7002), deny("TCP", 7003)]),
)


def packets(source: Namespace, target: Namespace) -> Sequence[bytes]:
    """Frames of every kind, mixed."""
    head = bytes.fromhex((target.mac + source.mac).replace(":", ""))
    ends = {"source": parse_address(source.address)[1], "destination": parse_address(target.address)[1]}
    ends6 = {"source": parse_address(source.address6)[1], "destination": parse_address(target.address6)[1]}
    listed = {**ends, "source": parse_address(LISTED)[1]}

    def of(protocol: int, port: int, number: int, **more: object) -> bytes:
        fields = {"version": 4, **ends, "source_port": 20_000 + number, "destination_port": port, **more}
        return head + frame(Packet(protocol=protocol, **fields))[12:]  # type: ignore[arg-type]

    kinds = [
        [of(UDP, 7001, n) for n in range(256)],
        [of(TCP, 7001, n) for n in range(256)],
        [of(UDP, 7002, n) for n in range(64)],
        [of(UDP, 7002, n, version=6, **ends6) for n in range(64)],
        [of(UDP, 7001, n, **{**listed, "source": listed["source"] + n}) for n in range(200)],
        [of(TCP, 80, n) for n in range(64)],
        [of(TCP, 7001, 1000 + n, tcp_flags=SYN | ACK) for n in range(64)],
        [of(TCP, 7001, 2000 + n, tcp_flags=SYN | FIN) for n in range(16)],
        [of(TCP, 22, n) for n in range(64)],
        [
            of(UDP, 7001, n, fragment=Fragment.LATER, fragment_id=n, source_port=None, destination_port=None)
            for n in range(16)
        ],
        [
            of(ICMP, 0, n, source_port=None, destination_port=None, icmp_type=8, icmp_code=0, icmp_id=n)
            for n in range(16)
        ],
        [of(UDP, 7002, 0)[:30]],
        [head + b"\x08\x06" + bytes(46)],
    ]
    return [one for one in chain.from_iterable(zip_longest(*kinds)) if one is not None]


def watch(where: Namespace) -> None:
    """Count what passes the programs, and let it end there; nobody speaks of his own accord."""
    chain = "chain c { type filter hook prerouting priority -450; counter name seen drop; }"
    where.run("nft", f"table inet sink {{ counter seen {{}}; {chain}; }}")


def quiet(*ends: Namespace) -> None:
    """No packets but those of the test."""
    for end in ends:
        end.run("sysctl", "-qw", f"net.ipv6.conf.{end.interface}.disable_ipv6=1")
        end.run("ip", "link", "set", end.interface, "arp", "off")


def seen(where: Namespace) -> int:
    return int(where.run("nft", "list", "counter", "inet", "sink", "seen").split("packets ")[1].split()[0])


def counted(site: LocalHost, direction: str) -> dict[str, int]:
    prefix = f"{direction} "
    return {name.removeprefix(prefix): count for name, count in site.counted().items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("direction", "count"), [("ingress", sized(1_000_000, 10_000_000)), ("egress", sized(200_000, 2_000_000))]
)
def test_t_cor_3_counters_account_for_every_packet(direction: str, count: int) -> None:
    with local_host() as site:
        source, target = (site.peer, site.host) if direction == "ingress" else (site.host, site.peer)
        made = packets(source, target)
        watch(target)
        site.program(endpoint(), *POLICIES)
        quiet(site.peer, site.host)
        before, dropped_before = counted(site, direction), link_statistics(source)["tx"]["dropped"]
        start = seen(target)
        sent = send(source, made, count)
        after = counted(site, direction)
        lost = link_statistics(source)["tx"]["dropped"] - dropped_before if direction == "ingress" else 0
        counts = {name: after[name] - before.get(name, 0) for name in after}
        counts = {name: number for name, number in counts.items() if number}
        passes = {
            f"open-out/{name[-1]}" if direction == "egress" and name.startswith("open/") else name for name in PASSES
        }
        arps = sum(one[12:14] == b"\x08\x06" for one in made) * (count // len(made))
        arrived = seen(target) - start + arps
        print(f"{direction}: {sent} sent, {arrived} arrived, {lost} lost before the programs: {counts}")
        assert sum(counts.values()) == sent - lost
        assert sum(number for name, number in counts.items() if name not in passes) == sent - lost - arrived
        dropping = {"invalid", "malformed", "fragment", "default/-1"}
        policies = {"listed/0", "open/2"} if direction == "ingress" else {"open-out/2"}
        assert counts.keys() - passes == dropping | policies
        assert passes & counts.keys() >= {"established", "not_ip"}


def send(source: Namespace, made: Sequence[bytes], count: int) -> int:
    """Packets put on the wire: `count`, rounded down to whole rounds of all kinds."""
    rounds = count // len(made)
    with packet_socket(source) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        put = line.send
        for _ in range(rounds):
            for one in made:
                with suppress(OSError):  # ENOBUFS is what the sender hears of a drop in tc
                    put(one)
    return rounds * len(made)
