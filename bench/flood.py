"""A flood that the kernel itself sends over a veth pair, from one CPU, and what becomes of it there.

The sender (drops.bpf.c) is run by the kernel on one CPU, and the host's receive path runs on the same one between its
batches: a packet's time is that of sending it *and* of what the host does with it, which holds rates together.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from struct import pack, unpack

from bench.lab import compiled
from netns import Namespace
from tortie.kernel import bpf

SOURCE_PORT, PORT = 40_000, 9
FACTOR, MASK, BASE, SOURCES_LENGTH = 0x9E3779B1, 0x1FFFFFFF, 0x40000000, 3
"""An odd factor spreads consecutive numbers over an eighth of all addresses, none of them twice."""
PACKETS = 400_000
"""In one call: setting it up costs the kernel some 10 ms, and its own time of the run does not have them."""
STRAY = 20
"""The peer's stack sends packets of its own, such as router solicitations; a program that drops all has them too."""


def sources(count: int) -> Iterator[IPv4Address]:
    """The addresses that the sender picks from; the first is the one of a flood from one source."""
    return (IPv4Address(BASE | (number * FACTOR & MASK)) for number in range(count))


HOT = next(sources(1))


@contextmanager
def one_cpu() -> Iterator[None]:
    """The calling thread stays on one CPU."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def sender(peer: Namespace, spread: int, opened: ExitStack, *, is_mended: bool = False) -> int:
    """Descriptor of a program that sends frames from the hot source, or each from one of so many; those are for the
    stack if they are `is_mended`."""
    made = compiled("drops", opened)
    constants = {
        "out_interface": peer.ifindex,
        "spread": spread,
        "mended": is_mended,
        "factor": FACTOR,
        "mask": MASK,
        "base": BASE,
    }
    for name, value in constants.items():
        made.write_rodata(name, value.to_bytes(4, sys.byteorder))
    made.load()
    return made.program_fd("send")


def frame(host: Namespace, peer: Namespace) -> bytes:
    """60 bytes: UDP from the hot source to the host."""
    macs = bytes.fromhex(f"{host.mac}{peer.mac}".replace(":", ""))
    payload = bytes(60 - 14 - 20 - 8)
    udp = pack("!HHHH", SOURCE_PORT, PORT, 8 + len(payload), 0) + payload
    head = pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + HOT.packed
    head += IPv4Address(host.address).packed
    return macs + pack("!H", 0x0800) + head[:10] + pack("!H", _checksum(head)) + head[12:] + udp


def _checksum(header: bytes) -> int:
    """Of an IPv4 header whose own field is 0. Source: RFC 1071."""
    total: int = sum(unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(program: int, host: Namespace, peer: Namespace, packets: int = PACKETS) -> tuple[int, int]:
    """How many packets of a flood arrived at the host, and the ns that the kernel took for all that it sent."""
    lost = _lost(peer)
    with peer.entered():
        ran = bpf.test_run(program, frame(host, peer), repeat=packets, flags=bpf.LIVE_FRAMES)
    return packets - (_lost(peer) - lost), ran.duration_ns * packets


def _lost(peer: Namespace) -> int:
    """Frames that found no room in the wire's ring."""
    return statistic(peer, r"tx_queue_\d+_xdp_xmit_errors")


def statistic(where: Namespace, name: str) -> int:
    """What the driver of the interface counted under names of this pattern."""
    listed = where.run("ethtool", "-S", where.interface)
    return sum(int(count) for count in re.findall(rf"{name}: (\d+)", listed))
