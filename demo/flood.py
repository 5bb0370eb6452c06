"""A flood of TCP SYNs from spoofed sources, sent for a bounded time by the kernel itself; a process of its own.

Started in the client's network namespace; its standard output is one line of JSON with what it sent. The frames never
were socket buffers (BPF_PROG_TEST_RUN with live frames), so the sender costs little.
"""

import argparse
import json
import socket
import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from struct import pack, unpack

from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

PORT = 6379
BURST = 400_000
"""Frames a system call at most: the clock is looked at in between. Each call costs the kernel some 25 ms to set up."""


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes (RFC 1071)."""
    total: int = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(source: IPv4Address | IPv6Address, target: IPv4Address | IPv6Address, macs: bytes) -> bytes:
    """The frame of one SYN to redis."""
    tcp = pack("!HHIIHHHH", 40_000, PORT, 1, 0, 5 << 12 | 0x002, 64_240, 0, 0)
    addresses = source.packed + target.packed
    tcp = tcp[:16] + pack("!H", checksum(addresses + pack("!II", len(tcp), 6) + tcp)) + tcp[18:]
    if source.version == 6:
        return macs + pack("!HIHBB", 0x86DD, 6 << 28, len(tcp), 6, 64) + addresses + tcp
    head = pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses
    return macs + pack("!H", 0x0800) + head[:10] + pack("!H", checksum(head)) + head[12:] + tcp


def send(program: Path, interface: int, frames: list[bytes], *, packets: int, seconds: float) -> tuple[int, float]:
    """Frames sent and the seconds that it took: until there are `packets`, or the time is over."""
    with bpf.ObjectFile(program) as sender:
        sender.write_rodata("out_interface", interface.to_bytes(4, sys.byteorder))
        sender.load()
        spoof = sender.program_fd("spoof")
        sent, started = 0, time.monotonic()
        while sent < packets and time.monotonic() - started < seconds:
            burst = min(BURST, max((packets - sent) // len(frames), 1))
            for frame in frames:
                bpf.test_run(spoof, frame, repeat=burst, flags=bpf.LIVE_FRAMES)
                sent += burst
        return sent, time.monotonic() - started


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("program", type=Path)
    options.add_argument("--interface", required=True)
    options.add_argument("--macs", required=True, help="destination and source, 24 hexadecimal digits")
    options.add_argument("--flow", action="append", nargs=2, metavar=("FROM", "TO"), required=True)
    options.add_argument("--packets", type=int, default=20_000_000)
    options.add_argument("--seconds", type=float, default=2.5)
    given = options.parse_args()
    frames = [syn(ip_address(source), ip_address(target), bytes.fromhex(given.macs)) for source, target in given.flow]
    try:
        index = socket.if_nametoindex(given.interface)
        sent, took = send(given.program, index, frames, packets=given.packets, seconds=given.seconds)
    except KernelError as error:
        print(f"flood: {error}; live frames need Linux 5.18", file=sys.stderr)
        return 1
    json.dump({"sent": sent, "seconds": took}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
