"""Traffic in the background while something else happens: new connections one after another, and one that lasts."""

import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from facts import load_cpu
from lab import LabError, Namespace
from services import PATIENCE_S, Service
from tortie.kernel.netns import entered


@dataclass(slots=True)
class Traffic:
    """Connections made for as long as a block lasts: to each service in turn, one after another, `pause_s` apart."""

    asker: Namespace
    services: Sequence[Service]
    pause_s: float = 0.005
    patience_s: float = PATIENCE_S
    times: list[float | None] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(5)

    def _make(self) -> None:
        # A thread's own; on a machine with one CPU everything shares it.
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {load_cpu()} or {load_cpu()})
        with entered(self.asker.path):
            while not self._over.is_set():
                service = self.services[len(self.times) % len(self.services)]
                self.times.append(service.seconds(self.patience_s))
                time.sleep(self.pause_s)

    @property
    def asked(self) -> int:
        """Connections that were tried."""
        return len(self.times)

    @property
    def answered(self) -> int:
        """Connections on which the service answered."""
        return len([one for one in self.times if one is not None])


@dataclass(slots=True)
class Conversation:
    """One TCP connection for as long as a block lasts: a message every 10 ms or so, each one answered."""

    asker: Namespace
    address: str
    port: int
    message: bytes
    ending: bytes
    """How an answer ends."""
    greeting: bytes = b""
    """What the server says first."""
    asked: int = 0
    answered: int = 0
    slowest_s: float = 0.0
    broken: str = ""
    """Why it ended before its time."""
    _socket: socket.socket = field(default_factory=socket.socket)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        with entered(self.asker.path):
            try:
                self._socket = socket.create_connection((self.address, self.port), 5)
                if self.greeting:
                    self._read(self.greeting)
            except OSError as error:
                raise LabError(f"no connection to {self.address}, port {self.port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(10)
        self._socket.close()

    def _talk(self) -> None:
        while not self._over.is_set():
            started = time.monotonic()
            self.asked += 1
            try:
                self._socket.sendall(self.message)
                self._read(self.ending)
            except OSError as error:
                self.broken = str(error)
                return
            self.answered += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            time.sleep(0.01)

    def _read(self, ending: bytes) -> None:
        """Read up to `ending`. Raises: OSError, also where the other side closes."""
        found = b""
        while not found.endswith(ending):
            more = self._socket.recv(4096)
            if not more:
                raise ConnectionError("closed by the other side")
            found += more
