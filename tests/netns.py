"""Network namespaces and veth pairs for tests: real packets, nothing of the machine's own touched.

    with veth_pair() as (host, peer):
        host.run("nft", "list", "ruleset")       # a command in that namespace; its standard output
        server = host.popen("redis-server", ...)  # killed with the namespace
        with host.entered(): ...                  # this thread's sockets, netlink and bpf links are made there
        peer.addresses[0].ip, host.address, host.ifindex, host.mac

Only the *network* namespace is entered (nsenter --net): `ip netns exec` brings a private mount namespace too, and a
bpffs mounted there is gone with the command. Names carry the pid, so that test runs on one machine do not meet.
"""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any

from tortie.kernel.netns import entered

_numbers = itertools.count()


@dataclass(slots=True)
class Namespace:
    """A network namespace of a test, and its end of a veth pair if it has one."""

    name: str
    interface: str = ""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    _started: list[subprocess.Popen[Any]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The file that stands for the namespace."""
        return Path("/run/netns") / self.name

    @property
    def address(self) -> str:
        """The first IPv4 address, without its length."""
        return next(str(found.ip) for found in self.addresses if found.version == 4)

    @property
    def address6(self) -> str:
        """The first IPv6 address, without its length."""
        return next(str(found.ip) for found in self.addresses if found.version == 6)

    @property
    def ifindex(self) -> int:
        """The interface's index in this namespace."""
        return int(self.link()["ifindex"])

    @property
    def mac(self) -> str:
        """The interface's hardware address."""
        return str(self.link()["address"])

    def link(self) -> dict[str, Any]:
        """What `ip` says about the interface."""
        found: dict[str, Any] = json.loads(self.run("ip", "-d", "-j", "link", "show", "dev", self.interface))[0]
        return found

    def command(self, *words: str | os.PathLike[str]) -> list[str]:
        """The words that run a command in this namespace."""
        return ["nsenter", f"--net={self.path}", "--", *(os.fspath(word) for word in words)]

    def run(self, *words: str | os.PathLike[str], timeout_s: float = 30, **options: Any) -> str:
        """Standard output of a command in this namespace. Raises: AssertionError with its output if it fails."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=timeout_s, check=False, **options
        )
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{' '.join(map(str, words))} in {self.name}: exit {done.returncode}\n{said}"
        return str(done.stdout)

    def popen(self, *words: str | os.PathLike[str], **options: Any) -> subprocess.Popen[Any]:
        """A process in this namespace, with the command's own pid; killed with the namespace if it still runs."""
        started = subprocess.Popen(self.command(*words), **options)
        self._started.append(started)
        return started

    def entered(self) -> AbstractContextManager[None]:
        """A block in which the calling thread is in this namespace."""
        return entered(self.path)

    def close(self) -> None:
        """Kill what was started here and delete the namespace."""
        for process in self._started:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self._started.clear()
        _ip("netns", "delete", self.name)


@contextmanager
def namespace(label: str = "ns") -> Iterator[Namespace]:
    """A fresh namespace with its loopback up."""
    made = Namespace(f"tortie-{label}-{os.getpid()}-{next(_numbers)}")
    _ip("netns", "add", made.name)
    try:
        _ip("-n", made.name, "link", "set", "lo", "up")
        yield made
    finally:
        made.close()


@contextmanager
def veth_pair(
    *,
    host_interface: str = "ens4",
    peer_interface: str = "eth0",
    host_addresses: tuple[str, ...] = ("10.99.0.1/24", "fd99::1/64"),
    peer_addresses: tuple[str, ...] = ("10.99.0.2/24", "fd99::2/64"),
) -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces joined by a veth pair that is up and has its addresses: the host under test, and its peer."""
    with namespace("host") as host, namespace("peer") as peer:
        host.interface, peer.interface = host_interface, peer_interface
        _ip(
            *("link", "add", host_interface, "netns", host.name, "type", "veth"),
            *("peer", "name", peer_interface, "netns", peer.name),
        )
        for end, addresses in ((host, host_addresses), (peer, peer_addresses)):
            end.addresses = tuple(ip_interface(text) for text in addresses)
            for address in end.addresses:
                # Duplicate address detection would keep an IPv6 address unusable for a second or two.
                detection = ("nodad",) if address.version == 6 else ()
                _ip("-n", end.name, "address", "add", str(address), "dev", end.interface, *detection)
        for end in (host, peer):
            _ip("-n", end.name, "link", "set", end.interface, "up")
        for end in (host, peer):
            _wait_until_it_carries(end)
        yield host, peer


def receive_by_napi(end: Namespace) -> None:
    """Have a veth receive by NAPI also without XDP, as network cards do: also frames that were no socket buffers.

    Else it throws away what it has in its ring when an XDP program goes: with the kernel alone, on a busy machine, up
    to 6 TCP segments in 400 times; this way none. Source: drivers/net/veth.c, veth_disable_xdp.
    """
    end.run("ethtool", "-K", end.interface, "gro", "on")


def _wait_until_it_carries(end: Namespace) -> None:
    """The kernel notices carriers at most once a second (net/core/link_watch.c): until then packets are thrown away."""
    deadline = time.monotonic() + 10
    while end.link()["operstate"] != "UP":
        assert time.monotonic() < deadline, f"{end.interface} in {end.name} has no carrier after 10 s"
        time.sleep(0.02)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: exit {done.returncode}\n{done.stderr}"
