"""Streams of UDP packets each of which is a new flow, and long-lived connections, in a process beside the test.

    inward    peer's packet socket ══▶ host's UDP socket         meets the host's ingress policy
    outward   host's raw socket ═════▶ peer's UDP socket         meets the host's egress policy, netfilter included

Each packet carries its number; shared memory has a byte for each, which says whether it arrived. Source ports and
addresses are used once in five million packets, so no packet belongs to a flow that an earlier one opened.
"""

import mmap
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from multiprocessing.process import BaseProcess

from frames import checksum
from lockdown import packet_socket
from netns import Namespace

MOST = 2_000_000
PORTS = 50_000
_UDP = struct.Struct("!HHHHQ")
_NEXT, _FIRST = 0, 8


@dataclass(frozen=True, slots=True)
class Stream:
    """New flows to one port: from the peer to the host, or from the host to the peer."""

    port: int
    is_inward: bool = True


class Streams:
    """What was sent and what arrived."""

    def __init__(self, streams: Sequence[Stream], memory: mmap.mmap, process: BaseProcess) -> None:
        self._streams, self._memory, self._process = list(streams), memory, process

    @property
    def sent(self) -> int:
        """Packets sent on each stream."""
        return int.from_bytes(self._memory[_NEXT : _NEXT + 8], "little")

    def settled(self) -> int:
        """The number sent until now, once those have arrived that will."""
        first = self.sent
        self.go_on(100)
        return first

    def go_on(self, packets: int) -> None:
        """Wait until so many more were sent on each stream."""
        until, deadline = self.sent + packets, time.monotonic() + 10
        while self.sent < until:
            assert self._process.is_alive() and time.monotonic() < deadline, "the streams have stopped"
            time.sleep(0.0005)

    def arrived(self, stream: Stream, first: int, last: int) -> bytes:
        """For each packet of that range 1 if it arrived, else 0."""
        start = _FIRST + self._streams.index(stream) * MOST
        return self._memory[start + first : start + last]

    def close(self) -> None:
        """Stop the process that was started, and free the memory."""
        self._process.kill()
        self._process.join()
        self._memory.close()


@contextmanager
def streaming(
    host: Namespace, peer: Namespace, streams: Sequence[Stream], *, pause_s: float = 0.0005
) -> Iterator[Streams]:
    """One packet on each stream, all together as a burst, `pause_s` after the one before."""
    memory = mmap.mmap(-1, _FIRST + MOST * len(streams))
    sockets = []
    for stream in streams:
        source, target = (peer, host) if stream.is_inward else (host, peer)
        with target.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind((target.address, stream.port))
        receiver.setblocking(False)
        if stream.is_inward:
            sender, head = (
                packet_socket(source),
                bytes.fromhex((target.mac + source.mac).replace(":", "")) + b"\x08\x00",
            )
        else:
            sender, head = _raw_socket(source, target), b""
        sockets.append((sender, receiver, head, source.address, target.address, stream.port))
    process = multiprocessing.get_context("fork").Process(target=_stream, args=(memory, sockets, pause_s), daemon=True)
    process.start()
    for sender, receiver, *_ in sockets:
        sender.close()
        receiver.close()
    found = Streams(streams, memory, process)
    try:
        yield found
    finally:
        found.close()


def _raw_socket(source: Namespace, target: Namespace) -> socket.socket:
    """A socket that sends whole IPv4 packets to the target."""
    with source.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        made.connect((target.address, 0))
    return made


Ends = tuple[socket.socket, socket.socket, bytes, str, str, int]


def ip_heads(source: str, target: str, length: int) -> list[bytes]:
    """IPv4 headers of UDP packets from a hundred addresses of the source's network."""
    first = int(IPv4Address(source)) & ~0xFF | 100
    heads = []
    for number in range(100):
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + length, 0, 0, 64, 17, 0)
        head += (first + number).to_bytes(4, "big") + IPv4Address(target).packed
        heads.append(head[:10] + checksum(head).to_bytes(2, "big") + head[12:])
    return heads


def _stream(memory: mmap.mmap, sockets: Sequence[Ends], pause_s: float) -> None:
    parent = os.getppid()
    heads = [[head + ip for ip in ip_heads(source, target, 8)] for _, _, head, source, target, _ in sockets]
    for number in range(MOST):
        for (sender, _, _, _, _, port), tops in zip(sockets, heads, strict=True):
            body = _UDP.pack(10_000 + number % PORTS, port, 16, 0, number)
            with suppress(OSError):  # a packet that egress drops may say ENOBUFS
                sender.send(tops[number // PORTS % 100] + body)
        memory[_NEXT : _NEXT + 8] = (number + 1).to_bytes(8, "little")
        if pause_s:
            time.sleep(pause_s)
        for place, (_, receiver, *_) in enumerate(sockets):
            with suppress(BlockingIOError):
                while True:
                    (arrived,) = struct.unpack("!Q", receiver.recv(8))
                    memory[_FIRST + place * MOST + arrived] = 1
        if number % 1000 == 0 and os.getppid() != parent:
            return


class Conversations:
    """Long-lived TCP connections, each of which says a byte and hears one, in turn."""

    def __init__(self, memory: mmap.mmap, process: BaseProcess) -> None:
        self._memory, self._process = memory, process

    @property
    def exchanges(self) -> int:
        """Bytes that went there and came back."""
        return int.from_bytes(self._memory[:8], "little")

    @property
    def failures(self) -> int:
        """Connections that were reset or did not answer within ten seconds."""
        return int.from_bytes(self._memory[8:16], "little")

    def close(self) -> None:
        """Stop the process that was started, and free the memory."""
        self._process.kill()
        self._process.join()
        self._memory.close()


@contextmanager
def conversing(
    host: Namespace, peer: Namespace, *, inward: int, outward: int, port: int, pause_s: float = 0.001
) -> Iterator[Conversations]:
    """So many connections of either end to that port of the other, open when the block begins."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    for source, target, count in ((peer, host, inward), (host, peer, outward)):
        with target.entered():
            server = socket.create_server((target.address, port), backlog=256)
        with server:
            for _ in range(count):
                with source.entered():
                    client = socket.create_connection((target.address, port), 10)
                pairs.append((client, server.accept()[0]))
    for one in (end for pair in pairs for end in pair):
        one.settimeout(10)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    memory = mmap.mmap(-1, 16)
    process = multiprocessing.get_context("fork").Process(target=_converse, args=(memory, pairs, pause_s), daemon=True)
    process.start()
    for one in (end for pair in pairs for end in pair):
        one.close()
    found = Conversations(memory, process)
    try:
        yield found
    finally:
        found.close()


def _converse(memory: mmap.mmap, pairs: list[tuple[socket.socket, socket.socket]], pause_s: float) -> None:
    parent, exchanges, failures = os.getppid(), 0, 0
    while pairs and os.getppid() == parent:
        for pair in list(pairs):
            client, server = pair
            try:
                client.sendall(b"?")
                heard = server.recv(1)
                server.sendall(b"!")
                is_well = (heard, client.recv(1)) == (b"?", b"!")
            except OSError:
                is_well = False
            if is_well:
                exchanges += 1
            else:
                failures += 1
                pairs.remove(pair)
            memory[:16] = struct.pack("<QQ", exchanges, failures)
            time.sleep(pause_s)
