"""Requests a second of redis with a new connection for each, and what they cost the server: hosts side by side.

    plain          nothing in the packets' way
    conntrack      a stateful rule set of nft, as hosts have it
    xdp_pass       a native XDP program that only passes: what the veth driver takes for having one
    untracked      tortie's agent with the untracked policy of the article
    tracked        tortie's agent with normal policy that allows redis
    untracked.tc, tracked.tc    the same with xdpEnabled: false

Each host has its own namespaces, wire, redis-server and, where it is tortie's, its own agent. They take turns, round
after round, each time in another order, so that nothing is switched on or off between measurements and what disturbs
the machine disturbs them alike. What counts is the median of each round's own ratio to `plain`.
"""

import csv
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.figures import Figure, Missing, Unmeasured
from bench.lab import SELECTOR, Document, Host, article, document, host_endpoint, quiet_host

PORT = 6379
CLIENTS = 16
PLAIN, CONNTRACK, PASS, UNTRACKED, TRACKED = "plain", "conntrack", "xdp_pass", "untracked", "tracked"
AT_TC = ".tc"
STATEFUL = f"""
table inet firewall {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname "lo" accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        tcp dport {PORT} ct state new accept
    }}
}}
"""
CLIENT_SETTINGS = {"tcp_tw_reuse": "1", "ip_local_port_range": "10000 65535", "tcp_max_tw_buckets": "1000"}
"""Each connection takes a port; without these the client is out of them after 28,000. Above all failsafe ports: a
packet from an outbound one skips untracked policy."""


@dataclass(slots=True)
class Served:
    """A host with its redis-server, and what was measured of it, round by round. Units: requests/s, us/request."""

    name: str
    host: Host
    server: subprocess.Popen[bytes]
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def measure(self, requests: int, *, keeps: bool = False) -> None:
        """One turn. `keeps`: connections, else each request has one of its own."""
        before = _cpu_ns(self.server.pid)
        keep = str(int(keeps))
        address, clients = self.host.host.address, str(CLIENTS)
        words = ("-h", address, "-t", "set", "-c", clients, "-n", str(requests), "-k", keep, "--csv")
        said = self.host.peer.run(*on_cpu(max), "redis-benchmark", *words)
        rows = [row for row in csv.reader(said.splitlines()) if row[:1] == ["SET"]]
        if len(rows) != 1:
            raise Unmeasured(f"redis-benchmark gave no rate: {said}")
        self.rates.append(float(rows[0][1]))
        self.costs.append((_cpu_ns(self.server.pid) - before) / requests / 1e3)

    def figures(self, plain: "Served") -> Sequence[Figure]:
        """Rate, ratio to the plain host of the same rounds, and CPU time."""
        name = f"redis.{self.name}"
        ratios = tuple(one / other for one, other in zip(self.rates, plain.rates, strict=True))
        found = [Figure(name, "requests/s", tuple(self.rates), note=f"{CLIENTS} at a time")]
        if self is not plain:
            found.append(Figure(f"{name}.ratio", "x", ratios, note="to redis.plain"))
        return [*found, Figure(f"{name}.cpu", "us", tuple(self.costs), note="redis-server, a request")]


def measure(rounds: int, requests: int) -> Sequence[Figure | Missing]:
    """Every figure; a host that cannot be had is missing, with the reason. Raises: Unmeasured, without `plain`."""
    hosts: dict[str, Callable[[Host], None]] = {
        PLAIN: lambda _: None,
        CONNTRACK: lambda host: _run_nft(host, STATEFUL),
        PASS: lambda host: _attach_pass(host, opened),
        UNTRACKED: lambda host: host.enforce(article(host.host.address)),
        TRACKED: lambda host: host.enforce(normal_policy(host.host.address)),
        UNTRACKED + AT_TC: lambda host: host.enforce([NO_XDP, *article(host.host.address)]),
        TRACKED + AT_TC: lambda host: host.enforce([NO_XDP, *normal_policy(host.host.address)]),
    }
    served: list[Served] = []
    missing: list[Missing] = []
    with ExitStack() as opened:
        for name, prepare in hosts.items():
            one = serve(name, opened.enter_context(quiet_host()))
            try:
                prepare(one.host)
            except Unmeasured as error:
                missing.append(Missing(f"redis.{name}", str(error)))
            else:
                served.append(one)
        for number in range(-1, rounds):
            turn = number % len(served)
            for one in (*served[turn:], *served[:turn]):
                one.measure(requests)
            if number < 0:  # the first round is for the caches
                for one in served:
                    one.rates.clear()
                    one.costs.clear()
        for one in served:
            _check(one, requests * rounds)
        plain = next(one for one in served if one.name == PLAIN)
        return [*(figure for one in served for figure in one.figures(plain)), *missing]


NO_XDP = document("FelixConfiguration", "default", {"xdpEnabled": False})


def serve(name: str, host: Host) -> Served:
    """A redis-server on that host, in nobody's way yet. Raises: Unmeasured."""
    _widen(host)
    return Served(name, host, _start_server(host))


def _attach_pass(host: Host, opened: ExitStack) -> None:
    """The root program with nothing in its slot: it passes every packet."""
    host.attach_alone("xdp_root", opened)


def normal_policy(address: str) -> Sequence[Document]:
    """The host endpoint, and a policy that opens redis to new connections."""
    spec = {
        "selector": SELECTOR,
        "order": 9,
        "types": ["Ingress", "Egress"],
        "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [PORT]}}],
        "egress": [{"action": "Allow"}],
    }
    return [host_endpoint(address), document("GlobalNetworkPolicy", "redis-allowed", spec)]


def on_cpu(one_of: Callable[[Iterable[int]], int]) -> Sequence[str]:
    """The words that keep a command on one CPU: server and load have one each, or the scheduler tells the rate."""
    return "taskset", "--cpu-list", str(one_of(os.sched_getaffinity(0)))


def _widen(host: Host) -> None:
    """Queues as network cards have them, one for each CPU, and ports enough for the client."""
    queues = str(os.cpu_count() or 1)
    host.host.run("ethtool", "-L", host.host.interface, "rx", queues)
    host.peer.run("ethtool", "-L", host.peer.interface, "tx", queues)
    for name, value in CLIENT_SETTINGS.items():
        host.peer.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")


def _start_server(host: Host) -> subprocess.Popen[bytes]:
    options = ("--save", "", "--appendonly", "no", "--protected-mode", "no", "--dir", str(host.folder))
    words = (*on_cpu(min), "redis-server", "--bind", host.host.address, "--port", str(PORT), *options)
    with (host.folder / "redis.log").open("wb") as log:
        server = host.host.popen(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with host.peer.entered(), socket.create_connection((host.host.address, PORT), 1):
                return server
        except OSError:
            time.sleep(0.02)
    raise Unmeasured(f"redis-server does not answer; it said:\n{(host.folder / 'redis.log').read_text()}")


def _run_nft(host: Host, rules: str) -> None:
    host.host.run("nft", "-f", "-", input=rules)


def _cpu_ns(pid: int) -> int:
    """CPU time of a process: what utime + stime in /proc/PID/stat are, but not in hundredths of a second.

    Source: clock_getcpuclockid(3); linux/posix-timers_types.h, MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED.
    """
    return time.clock_gettime_ns(~pid << 3 | 2)


def _check(one: Served, requests: int) -> None:
    """That the host was what its name says. Raises: Unmeasured."""
    tracked = int(one.host.host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
    if one.name == CONNTRACK and not tracked:
        raise Unmeasured("connections of the conntrack host were not tracked")
    if one.name != CONNTRACK and tracked:
        raise Unmeasured(f"{tracked} connections of the {one.name} host were tracked")
    if one.name.startswith(UNTRACKED):
        for direction in ("ingress", "egress"):
            counted = one.host.packets(direction)
            # A connection's SYN, request and FIN, at least; likewise what answers them.
            if counted < 3 * requests:
                raise Unmeasured(f"untracked {direction} policy met {counted} packets in {requests} requests")
    if one.name.startswith(TRACKED):
        counted = one.host.packets("ingress")
        # Rules decide a connection's SYN, what follows it is the table's. Twice as many leave room for SYNs sent again.
        if not requests <= counted < 2 * requests:
            raise Unmeasured(f"normal policy decided {counted} packets in {requests} requests of a connection each")
