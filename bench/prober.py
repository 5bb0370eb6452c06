"""Two streams of small UDP packets between peer and host, and which of them arrived: how a change of policy is seen.

    peer:PEER_PORT ──inward──▶ host:HOST_PORT      meets the host's ingress policy
    peer:PEER_PORT ◀──outward── host:HOST_PORT     meets the host's egress policy

A process of its own sends one packet each way every half millisecond and writes into shared memory when each was sent
and when it arrived (the kernel's monotonic clock, the same in every process). A port opened when the first packet
arrived; it closed when the first packet that got lost was sent. So a change is never seen too early, and up to one
interval too late. Nothing is subtracted.
"""

import mmap
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.process import BaseProcess

from bench.figures import Unmeasured
from netns import Namespace

HOST_PORT, PEER_PORT = 7_777, 7_778
INTERVAL_S = 0.0005
SETTLED = 20
"""Packets that must agree before a verdict counts as changed: a lost packet is known by the later ones."""
MAX_PACKETS = 2_000_000
_WORDS = 4
"""Sent inward, arrived inward, arrived outward, sent outward."""


class Way(IntEnum):
    """Direction of a stream; the value is the word of its arrivals."""

    INWARD = 1
    OUTWARD = 2


@dataclass(frozen=True, slots=True)
class Moment:
    """When a stream first showed the new verdict, and the number of the packet that did."""

    time_ns: int
    packet: int


class Prober:
    """The running streams."""

    def __init__(self, memory: mmap.mmap, process: BaseProcess) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("Q")
        self._process = process

    @property
    def sent(self) -> int:
        """Packets sent on each stream; the next one has this number."""
        return self._words[0]

    def is_open(self, way: Way) -> bool:
        """What the newest packets say. Raises: Unmeasured if they do not agree within a second."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            first = self.sent
            self._until_sent(first + 2 * SETTLED)
            found = {bool(self._arrival(way, number)) for number in range(first, first + SETTLED)}
            if len(found) == 1:
                return found.pop()
        raise Unmeasured(f"the {way.name.lower()} packets neither arrive nor get lost all")

    def until(self, way: Way, *, is_open: bool, start: int, timeout_s: float) -> Moment:
        """When the stream became so, from packet `start` on. Raises: Unmeasured if it never did, or not for good."""
        deadline = time.monotonic() + timeout_s
        number = start
        while True:
            if time.monotonic() > deadline:
                state = "open" if is_open else "close"
                raise Unmeasured(f"the {way.name.lower()} port did not {state} within {timeout_s:g} s")
            if self.sent <= number + SETTLED:
                time.sleep(INTERVAL_S)
                continue
            if bool(self._arrival(way, number)) is is_open:
                break
            number += 1
        self._until_sent(number + 2 * SETTLED)
        if any(bool(self._arrival(way, later)) is not is_open for later in range(number, number + SETTLED)):
            raise Unmeasured(f"the {way.name.lower()} port flapped at packet {number}")
        lost_ns = self._word(number, 0 if way is Way.INWARD else 3)
        return Moment(self._arrival(way, number) if is_open else lost_ns, number)

    def _until_sent(self, number: int) -> None:
        while self.sent <= number:
            if not self._process.is_alive():
                raise Unmeasured("the prober died")
            time.sleep(INTERVAL_S)

    def _arrival(self, way: Way, number: int) -> int:
        return self._word(number, way)

    def _word(self, number: int, word: int) -> int:
        return self._words[1 + number * _WORDS + word]

    def close(self) -> None:
        """Stop the process that was started, and free the memory."""
        self._process.kill()
        self._process.join()
        self._words.release()
        self._memory.close()


@contextmanager
def prober(host: Namespace, peer: Namespace) -> Iterator[Prober]:
    """The streams between two joined namespaces, running."""
    memory = mmap.mmap(-1, 8 * (1 + MAX_PACKETS * _WORDS))
    ends = tuple(_socket(end, port) for end, port in ((peer, PEER_PORT), (host, HOST_PORT)))
    targets = ((host.address, HOST_PORT), (peer.address, PEER_PORT))
    process = multiprocessing.get_context("fork").Process(target=_probe, args=(memory, ends, targets), daemon=True)
    process.start()
    for end in ends:
        end.close()
    found = Prober(memory, process)
    try:
        yield found
    finally:
        found.close()


def _socket(end: Namespace, port: int) -> socket.socket:
    with end.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((end.address, port))
    made.setblocking(False)
    return made


def _probe(memory: mmap.mmap, ends: Sequence[socket.socket], targets: Sequence[tuple[str, int]]) -> None:
    """The process: send, note, wait, until killed or its parent is gone."""
    parent = os.getppid()
    words = memoryview(memory).cast("Q")
    peer, host = ends
    for number in range(MAX_PACKETS):
        due = time.monotonic() + INTERVAL_S
        name = number.to_bytes(8, "little")
        words[1 + number * _WORDS] = time.monotonic_ns()
        # nftables drops in OUTPUT: the sender is told, and the packet is lost like any other.
        with suppress(PermissionError):
            peer.sendto(name, targets[0])
        words[1 + number * _WORDS + 3] = time.monotonic_ns()
        with suppress(PermissionError):
            host.sendto(name, targets[1])
        words[0] = number + 1
        while True:
            left = due - time.monotonic()
            # poll and epoll count in whole milliseconds.
            readable, _, _ = select.select(ends, (), (), max(0.0, left))
            for end in readable:
                _note(words, end, Way.INWARD if end is host else Way.OUTWARD)
            if left <= 0:
                break
        if os.getppid() != parent:
            return


def _note(words: memoryview, end: socket.socket, way: Way) -> None:
    with suppress(BlockingIOError):
        while True:
            number = int.from_bytes(end.recv(64), "little")
            words[1 + number * _WORDS + way] = time.monotonic_ns()
