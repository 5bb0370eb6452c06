"""Questions and answers over UDP, in processes beside the test: whether each question is answered.

A flow is opened by its asker alone: policy of the side that answers lets nothing out by itself. So what is not answered
tells of a connection that somebody did not know.
"""

import mmap
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

from netns import Namespace

_ASKED, _LOST = 0, 8
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
LONG_LIVED = 16
"""Flows that go on for as long as the block, beside those that are new with each question."""
_PATIENCE_S = 2.0
"""After that an answer does not come any more."""


class Exchange:
    """Counts of one direction."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    @property
    def asked(self) -> int:
        """Questions so far."""
        return self._read(_ASKED)

    @property
    def lost(self) -> int:
        """Questions that were not answered."""
        return self._read(_LOST)

    def _read(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self._memory, offset)[0])


@contextmanager
def exchanging(asker: Namespace, answerer: Namespace, port: int, *, version: int = 4) -> Iterator[Exchange]:
    """Questions from one namespace to that port in the other, one after another, every second one of a new flow."""
    memory = mmap.mmap(-1, 16)
    with answerer.entered():
        server = socket.socket(_FAMILIES[version], socket.SOCK_DGRAM)
    address = answerer.address if version == 4 else answerer.address6
    server.bind((address, port))
    kind = multiprocessing.get_context("fork").Process
    started: list[BaseProcess] = [kind(target=_answer, args=(server,), daemon=True)]
    with asker.entered():
        started.append(kind(target=_ask, args=(memory, address, port), daemon=True))
        for process in started:
            process.start()
    server.close()
    try:
        yield Exchange(memory)
    finally:
        for process in started:
            process.kill()
            process.join()


def _answer(server: socket.socket) -> None:
    parent = os.getppid()
    server.settimeout(1)
    while os.getppid() == parent:
        try:
            question, who = server.recvfrom(100)
            server.sendto(question, who)
        except (TimeoutError, PermissionError):
            continue


def _ask(memory: mmap.mmap, address: str, port: int) -> None:
    parent = os.getppid()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    old = [_asker(family) for _ in range(LONG_LIVED)]
    asked = lost = 0
    while os.getppid() == parent:
        one = old[asked // 2 % LONG_LIVED] if asked % 2 else _asker(family)
        question = struct.pack("<Q", asked)
        try:
            one.sendto(question, (address, port))
            while one.recv(100) != question:  # late ones
                pass
        except (TimeoutError, PermissionError):
            lost += 1
        if not asked % 2:
            one.close()
        asked += 1
        struct.pack_into("<QQ", memory, 0, asked, lost)
        time.sleep(0.001)


def _asker(family: socket.AddressFamily) -> socket.socket:
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.settimeout(_PATIENCE_S)
    return one
