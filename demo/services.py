"""The services of the lab, and how they are asked: each time on a new connection, from the thread's own namespace."""

import os
import socket
import time
from dataclasses import dataclass

import flood
from lab import CLIENT6, HOST, HOST6, LISTED, LISTED6

SSH_PORT, WEB_PORT, HTTPS_PORT, OTHER_PORT = 22, 8080, 443, 9000
PATIENCE_S = 0.9
"""A connection that takes longer is none. On this wire the answer takes a fraction of a millisecond; and it is a second
before a SYN is sent again, so that an attempt is one packet and its answer says what became of that."""
SILENCE, REFUSED = "silence", "refused"
SSH_GREETING, OTHER_GREETING = "SSH-2.0-demo", "hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where something listens, what it is asked, and how its answer begins.

    `source` is the asker's address, if it matters.
    """

    name: str
    address: str
    port: int
    asks: str
    says: str
    source: str = ""

    def answer(self, patience_s: float = PATIENCE_S) -> str:
        """The first line of its answer; `SILENCE` where nothing comes, `REFUSED` where a reset does."""
        source = (self.source, 0) if self.source else None
        try:
            with socket.create_connection((self.address, self.port), patience_s, source) as client:
                client.sendall(self.asks.encode())
                return client.recv(200).decode().partition("\r\n")[0]
        except TimeoutError:
            return SILENCE
        except ConnectionError:
            return REFUSED

    def seconds(self, patience_s: float = PATIENCE_S) -> float | None:
        """How long the right answer took, None if it did not come."""
        started = time.monotonic()
        return time.monotonic() - started if self.answer(patience_s).startswith(self.says) else None


def _redis(address: str, source: str = "") -> Service:
    name = f"redis, asked from {source}" if source else "redis"
    return Service(name=name, address=address, port=flood.PORT, asks="PING\r\n", says="+PONG", source=source)


def _web(address: str) -> Service:
    return Service(name="web", address=address, port=WEB_PORT, asks="HEAD / HTTP/1.0\r\n\r\n", says="HTTP/1.1 200")


REDIS = _redis(HOST), _redis(HOST6)
REDIS_LISTED = _redis(HOST, LISTED), _redis(HOST6, LISTED6)
WEB = _web(HOST), _web(HOST6)
SSH = Service(name="ssh", address=HOST, port=SSH_PORT, asks="", says=SSH_GREETING)
OUT_HTTPS = Service(name="https outside", address=CLIENT6, port=HTTPS_PORT, asks="", says=OTHER_GREETING)
OUT_OTHER = Service(name="another port outside", address=CLIENT6, port=OTHER_PORT, asks="", says=OTHER_GREETING)


def ping6(address: str, patience_s: float = 1.0) -> float | None:
    """Seconds until an ICMPv6 echo was answered, None if it was not."""
    own = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.connect((address, 0))
        started = time.monotonic()
        # Type, code, a checksum that the kernel fills in, identifier, sequence number (RFC 4443, 4.1).
        raw.send(bytes((128, 0, 0, 0)) + own.to_bytes(2, "big") + bytes((0, 1)))
        while (left := started + patience_s - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                answer = raw.recv(200)
            except TimeoutError:
                break
            if answer[0] == 129 and answer[4:6] == own.to_bytes(2, "big"):
                return time.monotonic() - started
    return None
