"""Packets a second that a host drops on a veth pair, by what drops them: several hosts side by side.

    empty          an XDP program that drops and looks at nothing
    policy         tortie's agent: untracked deny policy of 1,000 rules, the last of which denies a set of 100,000
    nftables       the same with that dataplane, in the raw hook alone; `front`: with XDP in front of it
    nft_raw        one rule of nft in raw PREROUTING
    iptables_raw   one rule of iptables in raw PREROUTING; only where iptables is installed

The sender (drops.bpf.c) is run by the kernel on one CPU, and the host's receive path runs on the same one between its
batches: a packet's time is that of sending it *and* of dropping it, which holds the rates together. A figure counts
only if what should drop the packets counted them all. "Random": every packet from one of the set's members.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from struct import pack, unpack

from bench.figures import Figure, Missing, Unmeasured
from bench.lab import SELECTOR, Document, Host, compiled, document, host_endpoint, quiet_host
from tortie.kernel import bpf
from tortie.model.xdp import ANNOTATION

EMPTY, POLICY, NFT, IPTABLES = "empty", "policy", "nft_raw", "iptables_raw"
BEHIND, FRONT = "nftables", "nftables.front"
PORT = 9
RULES, MEMBERS = 1_000, 100_000
FIRST_PORT = 20_000
FACTOR, MASK, BASE = 0x9E3779B1, 0x3FFFFFFF, 0x40000000
"""An odd factor spreads consecutive numbers over a quarter of all addresses, none of them twice."""
PACKETS = 400_000
"""In one call: setting it up costs the kernel some 10 ms, and its own time of the run does not have them."""
STRAY = 20
"""The peer's stack sends packets of its own, such as router solicitations; a program that drops all has them too."""
ENFORCED_S = 60.0


def sources(count: int) -> Iterator[IPv4Address]:
    """The addresses that the sender picks from; the first is the one of a flood from one source."""
    return (IPv4Address(BASE | (number * FACTOR & MASK)) for number in range(count))


HOT = next(sources(1))


@dataclass(slots=True)
class Dropping:
    """A host that drops, and the rates of its rounds. Units: millions of packets a second."""

    name: str
    host: Host
    counted: Callable[[], int]
    senders: dict[str, int] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, how: str) -> None:
        """One turn of one sender. Raises: Unmeasured unless every packet that was sent was counted as dropped."""
        before, lost = self.counted(), _lost(self.host)
        with self.host.peer.entered():
            ran = bpf.test_run(self.senders[how], _frame(self.host), repeat=PACKETS, flags=bpf.LIVE_FRAMES)
        arrived = PACKETS - (_lost(self.host) - lost)
        dropped = self.counted() - before
        if not arrived <= dropped <= arrived + STRAY or not ran.duration_ns:
            raise Unmeasured(f"veth.drop.{self.name}{how}: {dropped} of {arrived} packets were counted as dropped")
        self.rates.setdefault(how, []).append(arrived / PACKETS * 1e3 / ran.duration_ns)


def measure(rounds: int, members: int) -> Sequence[Figure | Missing]:
    """Every figure; a host that cannot be had is missing, with the reason."""
    hosts = {
        EMPTY: _empty,
        POLICY: lambda host, opened: _policy(host, members),
        FRONT: lambda host, opened: _policy(host, members, dataplane="nftables"),
        BEHIND: lambda host, opened: _policy(host, members, dataplane="nftables", xdp="never"),
        NFT: _nft,
        IPTABLES: _iptables,
    }
    dropping: list[Dropping] = []
    missing: list[Missing] = []
    with ExitStack() as opened:
        for name, prepare in hosts.items():
            host = opened.enter_context(quiet_host())
            try:
                one = Dropping(name, host, prepare(host, opened))
            except Unmeasured as error:
                missing.append(Missing(f"veth.drop.{name}", str(error)))
                continue
            one.senders[""] = _load(host, 0, opened)
            if name in (EMPTY, POLICY):
                one.senders[".random"] = _load(host, members, opened)
            dropping.append(one)
        turns = [(one, how) for one in dropping for how in one.senders]
        with _one_cpu():
            for number in range(-1, rounds):
                at = number % len(turns)
                for one, how in (*turns[at:], *turns[:at]):
                    one.measure(how)
                if number < 0:  # the first round is for the caches
                    for one, _ in turns:
                        one.rates.clear()
    (empty,) = (one for one in dropping if one.name == EMPTY)
    return [*(figure for one, how in turns for figure in _figures(one, how, empty)), *missing]


def _figures(one: Dropping, how: str, empty: Dropping) -> Iterator[Figure]:
    name, rates = f"veth.drop.{one.name}{how}", one.rates[how]
    note = "random sources" if how else "one source"
    yield Figure(name, "Mpps", tuple(rates), note=note)
    if one is not empty:
        ratios = (rate / other for rate, other in zip(rates, empty.rates[how], strict=True))
        yield Figure(f"{name}.ratio", "x", tuple(ratios), note=f"to empty{how}")


# What drops


def _empty(host: Host, opened: ExitStack) -> Callable[[], int]:
    host.attach_alone("xdp_empty", opened)
    return lambda: _statistic(host.host.run("ethtool", "-S", host.host.interface), r"rx_queue_\d+_xdp_drops")


def _policy(host: Host, members: int, *, dataplane: str = "ebpf", xdp: str = "auto") -> Callable[[], int]:
    host.environment["TORTIE_DATAPLANE"] = dataplane
    endpoint = host_endpoint(host.host.address)
    endpoint["metadata"]["annotations"] = {ANNOTATION: xdp}
    listed = {"nets": [str(address) for address in sources(members)]}
    rules: list[Document] = [
        {"action": "Deny", "protocol": "UDP", "destination": {"ports": [FIRST_PORT + number]}}
        for number in range(RULES - 1)
    ]
    policy = {
        "selector": SELECTOR,
        "order": 1,
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress"],
        "ingress": [*rules, {"action": "Deny", "source": {"selector": 'list == "deny"'}}],
    }
    documents = [
        endpoint,
        document("GlobalNetworkSet", "listed", listed, labels={"list": "deny"}),
        document("GlobalNetworkPolicy", "deny-listed", policy),
    ]
    host.enforce(documents, timeout_s=ENFORCED_S)
    if xdp == "never":
        _receive_frames(host)
    return lambda: host.packets("ingress", rule=RULES - 1)


def _nft(host: Host, opened: ExitStack) -> Callable[[], int]:
    rule = f"ip saddr {HOT} counter name dropped drop"
    chain = f"chain early {{\ntype filter hook prerouting priority raw;\n{rule}\n}}"
    host.host.run("nft", "-f", "-", input=f"table ip bench {{\ncounter dropped {{\n}}\n{chain}\n}}\n")
    _receive_frames(host)

    def counted() -> int:
        listed = json.loads(host.host.run("nft", "-j", "list", "counter", "ip", "bench", "dropped"))["nftables"]
        return int(next(one["counter"]["packets"] for one in listed if "counter" in one))

    return counted


def _iptables(host: Host, opened: ExitStack) -> Callable[[], int]:
    command = shutil.which("iptables-legacy") or shutil.which("iptables")
    if command is None:
        raise Unmeasured("iptables is not installed")
    host.host.run(command, "-t", "raw", "-A", "PREROUTING", "-s", str(HOT), "-j", "DROP")
    _receive_frames(host)

    def counted() -> int:
        listed = host.host.run(command, "-t", "raw", "-nvxL", "PREROUTING")
        return int(next(line.split()[0] for line in listed.splitlines() if "DROP" in line))

    return counted


def _receive_frames(host: Host) -> None:
    """Let the host's driver take frames that were no socket buffers; an XDP program would do it too."""
    host.host.run("ethtool", "-K", host.host.interface, "gro", "on")


# What sends


@contextmanager
def _one_cpu() -> Iterator[None]:
    """The calling thread stays on one CPU."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def _load(host: Host, spread: int, opened: ExitStack) -> int:
    sender = compiled("drops", opened)
    constants = {
        "out_interface": host.peer.ifindex,
        "spread": spread,
        "factor": FACTOR,
        "mask": MASK,
        "base": BASE,
    }
    for name, value in constants.items():
        sender.write_rodata(name, value.to_bytes(4, sys.byteorder))
    sender.load()
    return sender.program_fd("send")


def _frame(host: Host) -> bytes:
    """60 bytes: UDP from the hot source to the host."""
    macs = bytes.fromhex(f"{host.host.mac}{host.peer.mac}".replace(":", ""))
    payload = bytes(60 - 14 - 20 - 8)
    udp = pack("!HHHH", 40_000, PORT, 8 + len(payload), 0) + payload
    head = pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + HOT.packed
    head += IPv4Address(host.host.address).packed
    return macs + pack("!H", 0x0800) + head[:10] + pack("!H", _checksum(head)) + head[12:] + udp


def _checksum(header: bytes) -> int:
    """Of an IPv4 header whose own field is 0. Source: RFC 1071."""
    total: int = sum(unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _lost(host: Host) -> int:
    """Frames that found no room in the wire's ring."""
    return _statistic(host.peer.run("ethtool", "-S", host.peer.interface), r"tx_queue_\d+_xdp_xmit_errors")


def _statistic(listed: str, name: str) -> int:
    return sum(int(count) for count in re.findall(rf"{name}: (\d+)", listed))
