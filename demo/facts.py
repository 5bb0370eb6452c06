"""How facts are measured in the lab: by real connections, and by the kernel's listings and counters. Judges nothing."""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import flood
import lab as labs
from documents import FLOOD_SOURCES, INTERFACE
from lab import CLIENT_INTERFACE, HOST, HOST6, Lab, LabError
from tortie.kernel.netns import entered

REDIS_PORT, WEB_PORT = flood.PORT, 8080
PATIENCE_S = 0.4
"""A connection that takes longer is none: on this wire the answer takes a fraction of a millisecond."""
NATIVE = 1
"""Source: linux/if_link.h, XDP_ATTACHED_DRV."""


def ping(address: str, source: str = "", patience_s: float = PATIENCE_S) -> float | None:
    """Seconds until redis answered PING on a new connection, None if it did not; from the thread's namespace."""
    started = time.monotonic()
    try:
        with socket.create_connection((address, REDIS_PORT), patience_s, (source, 0) if source else None) as client:
            client.sendall(b"PING\r\n")
            return time.monotonic() - started if client.recv(16) == b"+PONG\r\n" else None
    except OSError:
        return None


def pings(lab: Lab, count: int) -> list[float | None]:
    """`count` new connections from the client to redis, over IPv4 and IPv6 in turn."""
    with entered(lab.client.path):
        return [ping(HOST6 if number % 2 else HOST) for number in range(count)]


def listed_answers(lab: Lab) -> list[str]:
    """The client's listed addresses that redis answers."""
    with entered(lab.client.path):
        return [source for to, source in ((HOST, labs.LISTED), (HOST6, labs.LISTED6)) if ping(to, source) is not None]


def until_served(lab: Lab) -> None:
    """Wait for redis and the web server. Raises: LabError after 10 s."""
    deadline = time.monotonic() + 10
    while None in pings(lab, 2) or not web_status(lab):
        if time.monotonic() > deadline:
            said = "".join((lab.folder / name).read_text() for name in ("redis.log", "web.log"))
            raise LabError(f"redis-server and the web server do not answer; they said:\n{said}")
        time.sleep(0.05)


def median_ms(times: Iterable[float | None]) -> float:
    """The median of those that were answered. Units: ms."""
    return statistics.median([one for one in times if one is not None] or [float("nan")]) * 1e3


def web_status(lab: Lab) -> str:
    """The first line of the web server's answer, "" if it gave none."""
    try:
        with (
            entered(lab.client.path),
            socket.create_connection((HOST, WEB_PORT), PATIENCE_S) as client,
        ):
            client.settimeout(5)
            client.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return client.recv(200).decode().partition("\r\n")[0]
    except OSError:
        return ""


def tracked(lab: Lab) -> int:
    """Entries for redis connections in the host's conntrack table, of both families."""
    listed = [lab.host.run("conntrack", "-L", "-f", family, "-p", "tcp") for family in ("ipv4", "ipv6")]
    return sum(f"dport={REDIS_PORT} " in line for text in listed for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class Attached:
    """An XDP program as the kernel lists it; name "" for none."""

    name: str = ""
    id: int = 0
    is_native: bool = False


def attached(lab: Lab) -> Attached:
    """The XDP program on the host's interface, from `ip -d -j link`."""
    found = lab.host.link(INTERFACE).get("xdp")
    if not found:
        return Attached()
    return Attached(found["prog"].get("name", "?"), found["prog"]["id"], found["mode"] == NATIVE)


@dataclass(frozen=True, slots=True)
class Enforced:
    """What `tortie status -o json` says of the host's interface, and the packets that it counted by policy and rule."""

    name: str
    id: int | None
    where: str
    is_enforced: bool
    packets: dict[tuple[str, int], int]
    notes: list[str]


def enforced(lab: Lab) -> Enforced:
    """The agent's own account. Raises: LabError if the interface is not in it."""
    answer = json.loads(lab.must("status", "-o", "json"))
    found = [one for one in answer["enforced"]["interfaces"] if one["interface"] == INTERFACE]
    if not found:
        raise LabError(f"tortie status does not know {INTERFACE}: {answer['enforced']}")
    (one,) = found
    counted = {
        (count["policy"], count["rule"]): count["packets"]
        for count in answer["counters"]["rules"]
        if count["direction"] == "ingress"
    }
    where, program = one["acceleration"], one["program_id"]
    return Enforced(one["program_name"] or "", program, where, one["is_enforced"], counted, answer["notes"])


def watch_flood(lab: Lab) -> None:
    """Count what reaches the stack from the flood's sources, before anything but the driver has seen it."""
    rules = "".join(f"{'ip6' if ':' in net else 'ip'} saddr {net} counter name flood\n" for net in FLOOD_SOURCES)
    hook = "type filter hook prerouting priority -400;"
    lab.host.nft(f"table inet watch {{ counter flood {{}}; chain seen {{ {hook}\n{rules} }}; }}")


def seen_by_stack(lab: Lab) -> int:
    """Packets of the flood that reached the host's stack since `watch_flood`."""
    listed = json.loads(lab.host.run("nft", "-j", "list", "counter", "inet", "watch", "flood"))["nftables"]
    return int(next(one["counter"]["packets"] for one in listed if "counter" in one))


def make_kernel_track(lab: Lab) -> None:
    """A rule that asks for a connection's state: from now on the kernel tracks every one, as behind any firewall."""
    lab.host.nft("table inet track { chain seen { type filter hook input priority 0; ct state new counter; }; }")


def compile_flood(lab: Lab) -> Path:
    """The flood's program."""
    made = lab.folder / "flood.bpf.o"
    include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", include]
    subprocess.run(["clang-14", *flags, "-c", Path(__file__).with_name("flood.bpf.c"), "-o", made], check=True)
    return made


@dataclass(frozen=True, slots=True)
class Flooded:
    """What was sent, and what of it found no room in the wire's ring and never got to the host. Units: `seconds`."""

    sent: int
    lost: int
    seconds: float

    @property
    def arrived(self) -> int:
        """What the host's driver was given."""
        return self.sent - self.lost

    @property
    def rate_mpps(self) -> float:
        """Millions of packets a second that arrived."""
        return self.arrived / self.seconds / 1e6


def flood_cpu() -> int:
    """The CPU that the flood is sent from, and with it the receive queue that it fills: one attacker's flows."""
    return max(os.sched_getaffinity(0))


def send_flood(lab: Lab, program: Path, *limits: str) -> Flooded:
    """SYNs to redis from every address of the flood's sources, over both families."""
    ends = ((lab.host, INTERFACE), (lab.client, CLIENT_INTERFACE))
    macs = "".join(namespace.link(interface)["address"].replace(":", "") for namespace, interface in ends)
    flows = [word for net, to in zip(FLOOD_SOURCES, (HOST, HOST6), strict=True) for word in ("--flow", first(net), to)]
    script = Path(flood.__file__)
    words: tuple[str | os.PathLike[str], ...]
    words = (
        "taskset",
        "--cpu-list",
        str(flood_cpu()),
        sys.executable,
        script,
        program,
        "--interface",
        CLIENT_INTERFACE,
        "--macs",
        macs,
        *flows,
        *limits,
    )
    lost = _lost_on_wire(lab)
    answer = json.loads(lab.client.run(*words))
    return Flooded(answer["sent"], _lost_on_wire(lab) - lost, answer["seconds"])


def _lost_on_wire(lab: Lab) -> int:
    """Frames of programs, not of sockets, that the client's interface could not hand over."""
    listed = lab.client.run("ethtool", "-S", CLIENT_INTERFACE)
    return sum(int(count) for count in re.findall(r"tx_queue_\d+_xdp_xmit_errors: (\d+)", listed))


def dropped_by_driver(lab: Lab) -> int:
    """Frames that an XDP program made the host's driver drop, as the driver counts them."""
    listed = lab.host.run("ethtool", "-S", INTERFACE)
    return sum(int(count) for count in re.findall(r"rx_queue_\d+_xdp_drops: (\d+)", listed))


def first(net: str) -> str:
    """The first address of a net that a host could have."""
    return net.partition("/")[0].removesuffix(".0").removesuffix("::") + (".1" if "." in net else "::1")


@dataclass(slots=True)
class Traffic:
    """Connections made in the background for as long as a block lasts: one after another, `pause_s` apart."""

    lab: Lab
    source: tuple[str, str] = ("", "")
    """The client's address for IPv4 and IPv6, if it matters which."""
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
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {flood_cpu()} or {flood_cpu()})
        with entered(self.lab.client.path):
            while not self._over.is_set():
                family = len(self.times) % 2
                self.times.append(ping((HOST, HOST6)[family], self.source[family], self.patience_s))
                time.sleep(self.pause_s)

    @property
    def answered(self) -> int:
        """Connections on which redis answered."""
        return len([one for one in self.times if one is not None])
