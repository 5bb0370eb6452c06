"""A host that translates for containers behind it, with one of the dataplanes, and what the evaluator says of its ways.

    peer 10.99.0.2 ── ens4 │ host 10.99.0.1, forwards │ docker0 ── containers 172.18.0.2 and .3

`tried` sends real packets: attempts (`attempts.py`) from wherever they begin.
"""

import errno
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from attempts import ADDRESSES, AWAY, INSIDE, OUTSIDE, OWN, OWN_UDP, PEER, UNPUBLISHED, Attempt
from contract import NO_FAILSAFES, InNamespace, delta_of, running
from others_rules import BRIDGE, CONTAINER, DNS, LOCAL, SECOND, SERVICE, WEB

from netns import Namespace, namespace, veth_pair
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.iptables.driver import IptablesDriver
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.model.desired import Delta, EndpointState
from tortie.model.packet import TCP, UDP
from tortie.model.tables import Backend, TablesUse

DATAPLANES = ("ebpf", "nftables", "iptables-nft")
BRIDGE_NETFILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_PATIENCE_S, _SETTLED_S = 8.0, 0.25
"""For what has to be answered (a lost SYN is sent again after a second), and for what must not be, behind it."""


@dataclass(frozen=True, slots=True)
class Site:
    """The host, and those around it."""

    host: Namespace
    peer: Namespace
    container: Namespace
    second: Namespace

    def of(self, interface: str | None) -> Namespace:
        """Who is behind that interface; None: the host itself."""
        return {None: self.host, OUTSIDE: self.peer, INSIDE: self.container}[interface]

    def delta(self, endpoints: Mapping[str, EndpointState]) -> Delta:
        """A first delta with those endpoints, on the interfaces that there are."""
        with self.host.entered():
            found = {one.name: one for one in KernelInterfaces().read()}
        states = {name: replace(state, interface=found[name]) for name, state in endpoints.items()}
        return delta_of(states, failsafes=NO_FAILSAFES, addresses=ADDRESSES)


@contextmanager
def site() -> Iterator[Site]:
    """Nothing is translated or enforced yet."""
    with (
        veth_pair(host_interface=OUTSIDE) as (host, peer),
        namespace("container") as container,
        namespace("second") as second,
    ):
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0")
        host.run("ip", "link", "add", INSIDE, "type", "bridge")
        host.run("ip", "address", "add", f"{BRIDGE}/24", "dev", INSIDE)
        host.run("sysctl", "-qw", f"net.ipv4.conf.{INSIDE}.send_redirects=0")
        host.run("ip", "link", "set", INSIDE, "up")
        host.run("ip", "route", "add", "default", "via", PEER)
        for port, inside, address in (("veth0", container, CONTAINER), ("veth1", second, SECOND)):
            host.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", inside.name)
            host.run("ip", "link", "set", port, "master", INSIDE, "up")
            # As CNI plugins do: where bridged frames meet netfilter, a Service leads back to who asks, by its own port.
            host.run("ip", "link", "set", port, "type", "bridge_slave", "hairpin", "on")
            # As those of pods: what one container sends to another goes through the host's routes.
            inside.run("ip", "address", "add", f"{address}/32", "dev", "eth0")
            inside.run("ip", "link", "set", "eth0", "up")
            inside.run("ip", "route", "add", BRIDGE, "dev", "eth0")
            inside.run("ip", "route", "add", "default", "via", BRIDGE)
        for net in ("172.18.0.0/24", f"{SERVICE}/32"):
            peer.run("ip", "route", "add", net, "via", host.address)
        yield Site(host, peer, container, second)


def pass_bridges_by_netfilter(host: Namespace, *, is_on: bool) -> None:
    """Whether frames on the host's bridges meet the hooks of IP; where br_netfilter is not loaded, none do."""
    if BRIDGE_NETFILTER.exists():
        host.run("sysctl", "-qw", f"net.bridge.bridge-nf-call-iptables={is_on:d}")


@contextmanager
def enforcing(host: Namespace, dataplane: str) -> Iterator[InNamespace]:
    """That driver in the host's namespace; what it made is gone behind."""
    with ExitStack() as stack:
        if dataplane == "ebpf":
            bpffs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tortie-"))) / "bpf"
            stack.callback(lambda: bpffs.is_mount() and subprocess.run(["umount", "--lazy", bpffs], check=True))
            yield stack.enter_context(running(host, partial(EbpfDriver, bpffs)))
        elif dataplane == "nftables":
            yield stack.enter_context(running(host, NftablesDriver))
        else:
            yield stack.enter_context(running(host, partial(IptablesDriver, TablesUse(Backend.NFT))))


# ---- real packets


@dataclass(slots=True)
class _Wire:
    """Everybody's sockets, in one thread: servers that give back what they get, and clients that wait for it."""

    poll: select.epoll = field(default_factory=select.epoll)
    served: dict[int, socket.socket] = field(default_factory=dict)
    clients: dict[int, tuple[Attempt, socket.socket]] = field(default_factory=dict)
    answered: set[Attempt] = field(default_factory=set)

    def serve(self, where: Namespace, protocol: int, port: int) -> None:
        with where.entered():
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("", port))
        if protocol == TCP:
            one.listen()
        self._watch(one)

    def _watch(self, one: socket.socket) -> None:
        one.setblocking(False)
        self.served[one.fileno()] = one
        self.poll.register(one, select.EPOLLIN)

    def start(self, where: Namespace, attempt: Attempt) -> None:
        with where.entered():
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM if attempt.protocol == TCP else socket.SOCK_DGRAM)
        one.setblocking(False)
        if attempt.arrives == INSIDE:
            one.bind((CONTAINER, 0))
        with suppress(BlockingIOError):
            one.connect(attempt.named)
        self.clients[one.fileno()] = attempt, one
        self.poll.register(one, select.EPOLLIN | select.EPOLLOUT)

    def turn(self, timeout_s: float) -> None:
        """Whatever is ready within that time."""
        for number, event in self.poll.poll(timeout_s):
            if number in self.served:
                self._give_back(self.served[number])
            elif number in self.clients:
                self._hear(*self.clients[number], event)

    def ask_again(self) -> None:
        """A datagram may be lost."""
        for attempt, one in self.clients.values():
            if attempt.protocol == UDP and attempt not in self.answered:
                _send(one)

    def _give_back(self, one: socket.socket) -> None:
        with suppress(OSError):
            if one.type == socket.SOCK_DGRAM:
                question, who = one.recvfrom(100)
                one.sendto(question, who)
            elif one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                self._watch(one.accept()[0])
            elif question := one.recv(100):
                one.send(question)
            else:
                self.poll.unregister(one)

    def _hear(self, attempt: Attempt, one: socket.socket, event: int) -> None:
        if event & select.EPOLLOUT:
            self.poll.modify(one, select.EPOLLIN)
            _send(one)
        if event & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
            with suppress(OSError):
                if one.recv(100):
                    self.answered.add(attempt)
            self.poll.unregister(one)

    def close(self) -> None:
        self.poll.close()
        for one in (*self.served.values(), *(client for _, client in self.clients.values())):
            one.close()


def _send(one: socket.socket) -> None:
    try:
        one.send(b"?")
    except OSError as error:  # a drop in OUTPUT is told to the socket
        if error.errno not in (errno.EPERM, errno.EAGAIN, errno.ECONNREFUSED):
            raise


def tried(town: Site, attempts: Sequence[Attempt], expected: Callable[[Attempt], bool]) -> set[Attempt]:
    """Those whose question was answered; all are asked at once, so that those that nobody may answer cost little."""
    wire = _Wire()
    try:
        services = ((OWN, LOCAL), (WEB, UNPUBLISHED), (WEB,), (AWAY,))
        for where, ports in zip((town.host, town.container, town.second, town.peer), services, strict=True):
            for port in ports:
                wire.serve(where, TCP, port)
        wire.serve(town.host, UDP, OWN_UDP)
        wire.serve(town.container, UDP, DNS)
        for attempt in attempts:
            wire.start(town.of(attempt.arrives), attempt)
        awaited = {attempt for attempt in attempts if expected(attempt)}
        deadline = time.monotonic() + _PATIENCE_S
        again = time.monotonic() + 1
        while awaited - wire.answered and time.monotonic() < deadline:
            wire.turn(0.1)
            if time.monotonic() > again:
                wire.ask_again()
                again += 1
        until = time.monotonic() + _SETTLED_S
        while time.monotonic() < until:
            wire.turn(0.05)
        return wire.answered
    finally:
        wire.close()
