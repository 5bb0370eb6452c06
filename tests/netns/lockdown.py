"""Locked-down hosts for tests: documents in short, a driver in this process, or a real agent over a datastore.

    with local_host() as host:                      # engine and driver here: every step is done when it returns
        host.program(endpoint(), policy("open", ingress=[allow("TCP", 7001)]))
    with agent_host(folder) as host:                # `tortie agent run` as a process
        host.commit(...); host.start(); host.settle()

Everything is in namespaces of its own, and gone with the block. TORTIE_SOAK=1 (`make soak`) asks for the full sizes.
"""

import asyncio
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frames import checksum
from netns import Namespace, veth_pair
from tortie.apps.absorb import absorb
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.calc import Engine
from tortie.dataplane.driver import ApplyReport
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.pages import OBJECTS, Pages
from tortie.kernel import bpf
from tortie.kernel.netns import cookie
from tortie.model.desired import Delta
from tortie.model.policy import DEFAULT_ALLOW
from tortie.resources.codec import decode_stored, encode
from tortie.store.protocol import Delete, Key, Put
from tortie.store.sqlite import SqliteStore

IS_SOAK = os.environ.get("TORTIE_SOAK") == "1"
NODE = "node2"
TORTIE = Path(sys.executable).with_name("tortie")
BPFFS = Path("/run/tortie/bpf")
OPEN = (DEFAULT_ALLOW,)
"""Profiles of an endpoint that allows what no policy decides."""
PATIENCE_S = 3.0  # outlives a lost SYN, which is sent again after a second: a busy machine loses some
Document = Mapping[str, Any]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TORTIE_")}


def sized(ci: int, soak: int) -> int:
    """How many, here."""
    return soak if IS_SOAK else ci


# ---- documents


def document(kind: str, name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> Document:
    """A document as the datastore keeps it."""
    metadata = {"name": name, "labels": dict(labels)} if labels else {"name": name}
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}


def endpoint(interface: str = "ens4", *, profiles: Sequence[str] = (), name: str = "") -> Document:
    """The host endpoint of an interface."""
    labels = {"role": "host", "interface": interface}
    more = {"profiles": list(profiles)} if profiles else {}
    return document("HostEndpoint", name or f"host-{interface}", labels, interfaceName=interface, node=NODE, **more)


def policy(
    name: str,
    ingress: Sequence[Document] = (),
    egress: Sequence[Document] = (),
    *,
    order: float = 10,
    untracked: bool = False,
    types: Sequence[str] = (),
) -> Document:
    """A GlobalNetworkPolicy of every host endpoint here; of the directions that it has rules for, unless `types`."""
    found = types or [kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules]
    more = {"doNotTrack": True, "applyOnForward": True} if untracked else {}
    rules = {"ingress": list(ingress), "egress": list(egress)}
    rules = {side: given for side, given in rules.items() if given}
    return document(
        "GlobalNetworkPolicy", name, selector='role == "host"', order=order, types=list(found), **rules, **more
    )


def rule(
    action: str, protocol: str, *ports: int, source: Document | None = None, source_ports: bool = False
) -> Document:
    """A rule on destination ports, or on source ports."""
    sides: dict[str, dict[str, Any]] = {"source": dict(source or {}), "destination": {}}
    if ports:
        sides["source" if source_ports else "destination"]["ports"] = list(ports)
    return {"action": action, "protocol": protocol, **{side: given for side, given in sides.items() if given}}


def allow(protocol: str, *ports: int, source: Document | None = None, source_ports: bool = False) -> Document:
    """See `rule`."""
    return rule("Allow", protocol, *ports, source=source, source_ports=source_ports)


def deny(protocol: str, *ports: int, source: Document | None = None, source_ports: bool = False) -> Document:
    """See `rule`."""
    return rule("Deny", protocol, *ports, source=source, source_ports=source_ports)


def network_set(name: str, nets: Sequence[str]) -> Document:
    """A GlobalNetworkSet with the label list=<name>."""
    return document("GlobalNetworkSet", name, {"list": name}, nets=list(nets))


def settings(**spec: Any) -> Document:
    """The FelixConfiguration of all nodes."""
    return document("FelixConfiguration", "default", **spec)


def entry(given: Document) -> tuple[Key, bytes]:
    """Key and stored form."""
    resource = decode_stored(json.dumps(given).encode())
    return Key(resource.kind, resource.namespace, resource.name), encode(resource)


# ---- a driver in this process


@dataclass
class LocalHost:
    """A host whose engine and driver are the test's own, and its peer."""

    host: Namespace
    peer: Namespace
    driver: EbpfDriver
    engine: Engine = field(default_factory=lambda: Engine(NODE))
    _is_open: bool = False

    def program(self, *documents: Document, gone: Sequence[Document] = ()) -> ApplyReport:
        """What came of these documents. Nothing may be refused, nothing may fail."""
        self.take(*documents, gone=gone)
        return self.apply()

    def take(self, *documents: Document, gone: Sequence[Document] = ()) -> Delta:
        """The change of the desired state, which the driver has noted."""
        for given in documents:
            key, value = entry(given)
            assert absorb(self.engine, key, value) is None
        for given in gone:
            assert absorb(self.engine, entry(given)[0], None) is None
        with self.host.entered():
            for interface in KernelInterfaces().read():
                self.engine.set_interface(interface.name, interface)
        if not self._is_open:
            self.engine.in_sync()
            self._is_open = True
        delta = self.engine.flush()
        self.driver.take(delta)
        return delta

    def apply(self) -> ApplyReport:
        """Apply in the host's namespace. Nothing may be refused, nothing may fail."""
        with self.host.entered():
            report = self.driver.apply()
        assert (report.refused, report.failed) == ({}, {})
        return report

    def resync(self) -> ApplyReport:
        """Check and repair in the host's namespace."""
        with self.host.entered():
            return self.driver.resync()

    def counted(self) -> dict[str, int]:
        """Packets by `direction reason` and `direction policy/rule`; what nothing met is not in it."""
        with self.host.entered():
            rules, reasons = self.driver.counters()
        found = {f"{one.direction.value} {one.reason.value}": one.packets for one in reasons}
        found |= {f"{one.direction.value} {one.rule.policy.name}/{one.rule.index}": one.packets for one in rules}
        return {name: count for name, count in found.items() if count}

    def flows(self) -> set[tuple[int, ...]]:
        """Keys of all flows that the connection table has."""
        return {one.flow.key for one in self.driver._flows.flows()}


@contextmanager
def local_host(**pair: Any) -> Iterator[LocalHost]:
    """A host and its peer; nothing is enforced yet."""
    with tempfile.TemporaryDirectory(prefix="tortie-") as folder, veth_pair(**pair) as (host, peer):
        bpffs = Path(folder) / "bpf"
        try:
            with host.entered():
                driver = EbpfDriver(bpffs)
            try:
                yield LocalHost(host, peer, driver)
            finally:
                with host.entered():
                    driver.cleanup()
        finally:
            if bpffs.is_mount():
                subprocess.run(["umount", "--lazy", bpffs], check=True)


@contextmanager
def foreign_xdp(host: Namespace) -> Iterator[None]:
    """Another's XDP program on the host's interface, which passes everything: ours has to be content with tc."""
    with host.entered(), bpf.ObjectFile(OBJECTS / "root.bpf.o") as foreign:
        for name in foreign.program_names:
            foreign.set_autoload(name, name == "xdp_root")
        foreign.load()
        link = bpf.attach_xdp(foreign.program_fd("xdp_root"), host.ifindex)
    try:
        yield
    finally:
        os.close(link)


# ---- an agent as a process


@dataclass
class AgentHost:
    """A host with a real agent, and the datastore that it follows."""

    host: Namespace
    peer: Namespace
    folder: Path
    store: SqliteStore
    agent: subprocess.Popen[Any] | None = None
    package: Path | None = None
    """A folder with another version of the package, which agents are started of."""
    _starts: int = 0

    @property
    def socket(self) -> Path:
        """The agent's."""
        return self.folder / "run" / "sock"

    @property
    def log(self) -> str:
        """What all agents of this host said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*")))

    def commit(self, *documents: Document, gone: Sequence[Document] = ()) -> int:
        """The revision of one transaction with these documents."""
        writes = [Put(*entry(given)) for given in documents]
        return asyncio.run(self.store.commit([*writes, *(Delete(entry(given)[0]) for given in gone)]))

    def start(self, *, limit_s: float = 20.0) -> float:
        """The seconds from the start of an agent to its first programmed view, by its own log."""
        self._starts += 1
        log = self.folder / f"log-{self._starts:03}"
        words = self.host.command(
            *(TORTIE, "--datastore", self.store.path, "--socket", self.socket, "agent", "run", "--node", NODE)
        )
        started = time.monotonic()
        with log.open("wb") as said:
            other = {"PYTHONPATH": str(self.package)} if self.package is not None else {}
            self.agent = subprocess.Popen(words, stderr=said, stdout=said, env=ENVIRONMENT | other)
        while "revision" not in (said_so_far := log.read_text()):
            assert self.agent.poll() is None and time.monotonic() - started < limit_s, said_so_far
            time.sleep(0.005)
        return time.monotonic() - started

    def kill(self) -> None:
        """kill -9."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(5)

    def stop(self) -> None:
        """SIGTERM."""
        if self.agent is not None and self.agent.poll() is None:
            self.agent.terminate()
            self.agent.wait(10)

    def ask(self, path: str) -> dict[str, Any]:
        """The agent's answer to GET. Raises: OSError while nobody answers."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.socket))
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(line)
            answer.begin()
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def settle(self, limit_s: float = 20.0) -> dict[str, Any]:
        """The status once the newest revision is programmed and nothing has failed."""
        _, revision = asyncio.run(self.store.list("Tier"))
        deadline = time.monotonic() + limit_s
        while True:
            with suppress(OSError):
                status = self.ask("/v1/status")
                if status["enforced"]["revision"] >= revision and not status["enforced"]["failed"]:
                    return status
            assert self.agent is not None and self.agent.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    @property
    def pins(self) -> Path:
        """The folder of the host's pins."""
        with self.host.entered():
            return BPFFS / f"netns-{cookie()}"


@contextmanager
def agent_host(folder: Path, **pair: Any) -> Iterator[AgentHost]:
    """A host, its peer and an empty datastore; no agent yet."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "lib").mkdir(mode=0o700)
    with veth_pair(**pair) as (host, peer):
        made = AgentHost(host, peer, folder, SqliteStore.open(folder / "lib" / "state.db"))
        try:
            yield made
        finally:
            made.stop()
            asyncio.run(made.store.close())
            host.run(TORTIE, "agent", "cleanup", env=ENVIRONMENT)


# ---- traffic


def until(holds: Callable[[], object], limit_s: float) -> float:
    """Seconds until something held. Raises: AssertionError after `limit_s`."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
        time.sleep(0.02)
    return time.monotonic() - started


@contextmanager
def tcp_server(where: Namespace, *ports: int) -> Iterator[list[socket.socket]]:
    """Listening sockets, of both families; nobody accepts, the kernel answers."""
    with where.entered():
        servers = [socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True) for port in ports]
    try:
        yield servers
    finally:
        for server in servers:
            server.close()


def connects(
    source: Namespace, address: str, port: int, *, patience_s: float = PATIENCE_S, source_port: int = 0
) -> bool:
    """Whether a new TCP connection from there is answered."""
    with source.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(patience_s)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if source_port:
                client.bind(("", source_port))
            client.connect((address, port))
        except OSError:
            return False
        return True


def pings(source: Namespace, address: str, *, patience_s: float = PATIENCE_S) -> bool:
    """Whether an echo request from there is answered."""
    is_four = ":" not in address
    with source.entered():
        kind = (socket.AF_INET, socket.IPPROTO_ICMP) if is_four else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
        echo = socket.socket(kind[0], socket.SOCK_RAW, kind[1])
    request = struct.pack("!BBHHH", 8 if is_four else 128, 0, 0, os.getpid() & 0xFFFF, 1)
    if is_four:  # the kernel adds the checksum to the other one
        request = request[:2] + checksum(request).to_bytes(2, "big") + request[4:]
    with echo:
        echo.settimeout(patience_s)
        try:
            echo.sendto(request, (address, 0))
            while True:
                answer = echo.recv(200)[20 if is_four else 0 :]
                if answer[0] == (0 if is_four else 129) and answer[4:8] == request[4:8]:
                    return True
        except OSError:
            return False


def packet_socket(where: Namespace, *, hears: bool = False) -> socket.socket:
    """A socket that sends frames from there, and hears those that arrive if asked to."""
    with where.entered():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    made.bind((where.interface, 3 if hears else 0))
    made.settimeout(2)
    return made


def make_kernel_track(host: Namespace) -> None:
    """Have nf_conntrack at work in the namespace, as on a host with a firewall of its own."""
    script = "table inet watch { chain c { type filter hook input priority 0; ct state new counter; }; }"
    host.run("nft", script)


def link_statistics(where: Namespace) -> dict[str, Any]:
    """Packets that the interface sent, received and dropped."""
    found: dict[str, Any] = json.loads(where.run("ip", "-s", "-j", "link", "show", "dev", where.interface))[0]
    stats: dict[str, Any] = found["stats64"]
    return stats


def lane_of(site: AgentHost, *, leaving: bool = False) -> tuple[int, Path, int]:
    """The lane of the host's interface: its number, where the table of lanes is pinned, and the id of its pages."""
    start = "out_lane-" if leaving else "lane-"
    folder = site.pins / f"if{site.host.ifindex}"
    (lane,) = (int(path.name.removeprefix(start)) for path in folder.glob(f"{start}*"))
    with site.host.entered():
        for path in (site.pins / "host").glob("lanes*"):
            with bpf.borrowed(bpf.open_pin(path)) as lanes:
                found = bpf.lookup(lanes, lane.to_bytes(4, "little"), 4)
            if found:
                return lane, path, int.from_bytes(found, "little")
    raise AssertionError(f"nothing is in lane {lane}")


def pages_of(site: AgentHost, *, leaving: bool = False) -> Pages:
    """The newest generation of the host's interface. Close it."""
    return Pages.of_id(lane_of(site, leaving=leaving)[2])
