"""The main job end to end: agent and command line as processes, real servers, real packets, the real driver."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from frames import frame
from netns import Namespace, veth_pair
from tortie.kernel.netns import entered
from tortie.model.address import parse_address
from tortie.model.packet import TCP, Packet

pytestmark = pytest.mark.root

TORTIE = Path(sys.executable).with_name("tortie")
REDIS, WEB = 6379, 8080
PATIENCE_S = 1.5  # outlives a lost SYN, which is sent again after a second
FRIEND, FOE = "10.99.0.2", "10.99.0.66"
FRIEND6, FOE6 = "fd99::2", "fd99::66"
ADDRESSES = ("10.99.0.2/24", "fd99::2/64", "10.99.0.66/24", "fd99::66/64")

ENDPOINT = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node2-ens4, labels: {hep: redis-host}}
spec: {interfaceName: ens4, node: node2, expectedIPs: [10.99.0.1]}
"""
ACCELERATE = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: accelerate}
spec:
  selector: has(hep) && hep == "redis-host"
  order: 9
  applyOnForward: true
  doNotTrack: true
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [6379, 8080]}}
  egress:
  - {action: Allow, protocol: TCP, source: {ports: [6379, 8080]}}
"""
DENY = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: deny-listed}
spec:
  selector: hep == "redis-host"
  order: 1
  applyOnForward: true
  doNotTrack: true
  types: [Ingress]
  ingress:
  - {action: Deny, source: {selector: list == "deny"}}
"""
LISTED = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: listed, labels: {list: deny}}
spec: {nets: [10.99.0.66, "fd99::66", 198.51.100.0/24]}
"""
DOCUMENTS = {"endpoint": ENDPOINT, "accelerate": ACCELERATE, "deny": DENY, "set": LISTED}


@dataclass
class Site:
    """A host that is told what to enforce, and its client."""

    host: Namespace
    client: Namespace
    folder: Path
    agent: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> tuple[str, ...]:
        """The datastore: commands on it work with an agent and without one."""
        return ("--datastore", str(self.folder / "lib" / "state.db"))

    def start(self) -> subprocess.Popen[bytes]:
        """An agent, as soon as it answers."""
        where = ("--node", "node2", *self.target, "--socket", self.folder / "run" / "sock")
        log = self.folder / "agent.log"
        with log.open("ab") as said:
            self.agent = self.host.popen(TORTIE, "agent", "run", *where, stderr=said, cwd=self.folder)
        deadline = time.monotonic() + 10
        while self.tortie("--socket", str(self.folder / "run" / "sock"), "status").returncode == 7:
            assert self.agent.poll() is None and time.monotonic() < deadline, log.read_text()
        return self.agent

    def kill(self) -> None:
        """kill -9."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(5)

    def tortie(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """What the command line did."""
        command = [TORTIE, *words] if "--socket" in words else [TORTIE, *self.target, *words]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    def apply(self, *documents: str) -> str:
        """What `apply` said."""
        done = self.tortie("apply", "-f", "-", text="---\n".join(documents))
        assert done.returncode == 0, done
        return done.stdout

    def status(self) -> dict[str, object]:
        """The agent's account of the interface."""
        answer = json.loads(self.tortie("status", "-o", "json").stdout)
        (found,) = answer["enforced"]["interfaces"]
        assert isinstance(found, dict)
        return found

    def counted(self, policy: str) -> int:
        """Ingress packets that met the first rule of a policy."""
        answer = json.loads(self.tortie("status", "-o", "json").stdout)
        return sum(
            one["packets"]
            for one in answer["counters"]["rules"]
            if (one["policy"], one["rule"], one["direction"]) == (f"GlobalNetworkPolicy({policy})", 0, "ingress")
        )

    def program(self) -> int:
        """The id of the native XDP program that the kernel lists."""
        found = self.host.link()["xdp"]
        assert found["mode"] == 1
        return int(found["prog"]["id"])

    def tracked(self) -> int:
        """The entries in the host's conntrack table, of both families."""
        return sum(len(self.host.run("conntrack", "-L", "-f", family).splitlines()) for family in ("ipv4", "ipv6"))

    def verdicts(self, patience_s: float = PATIENCE_S) -> dict[str, bool]:
        """Which of the client's addresses redis answers."""
        sources = (FRIEND, FRIEND6, FOE, FOE6)

        def ask(source: str) -> bool:
            with entered(self.client.path):
                to = self.host.address6 if ":" in source else self.host.address
                return answers(to, source, patience_s)

        # All at once: each that is denied takes all the patience there is.
        with ThreadPoolExecutor(len(sources)) as threads:
            return dict(zip(sources, threads.map(ask, sources), strict=True))


GUARDED = {FRIEND: True, FRIEND6: True, FOE: False, FOE6: False}


def answers(address: str, source: str, patience_s: float = PATIENCE_S) -> bool:
    """Whether redis answers a new connection of the thread's namespace."""
    try:
        with socket.create_connection((address, REDIS), patience_s, (source, 0)) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16) == b"+PONG\r\n"
    except OSError:
        return False


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A host with redis and a web server, whose kernel tracks connections; no agent yet."""
    folder.mkdir(exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    with veth_pair(peer_addresses=ADDRESSES) as (host, client):
        made = Site(host, client, folder)
        words = ("--save", "", "--protected-mode", "no", "--bind", "*", "-::*")
        host.popen("redis-server", "--port", str(REDIS), *words, **quiet)
        host.popen(sys.executable, "-m", "http.server", str(WEB), "--bind", "::", "--directory", folder, **quiet)
        rule = "ct state new counter"
        host.run("nft", f"table inet watch {{ chain seen {{ type filter hook input priority 0; {rule}; }}; }}")
        deadline = time.monotonic() + 10
        while not all(made.verdicts(patience_s=0.1).values()):
            assert time.monotonic() < deadline, "redis-server does not answer"
        try:
            yield made
        finally:
            if made.agent and made.agent.poll() is None:
                made.agent.terminate()
                made.agent.wait(5)
            host.run(TORTIE, "agent", "cleanup")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def test_redis_and_curl_go_untracked_through_native_xdp_over_both_families(place: Site) -> None:
    assert place.tracked() > 0
    place.start()
    said = place.apply(ENDPOINT, ACCELERATE)
    assert "ens4 (xdp)" in said
    place.host.run("conntrack", "-F")
    (place.folder / "page").write_text("x" * 300_000)
    assert all(place.verdicts().values())
    for host in (place.host.address, f"[{place.host.address6}]"):
        page = place.client.run("curl", "-sS", "--max-time", "5", f"http://{host}:{WEB}/page")
        assert page == "x" * 300_000
    assert place.tracked() == 0
    status = place.status()
    assert (status["acceleration"], status["is_enforced"], status["program_id"]) == ("xdp", True, place.program())


def test_every_packet_of_a_denied_flood_is_counted_and_none_reaches_the_stack(place: Site) -> None:
    place.start()
    place.host.run(
        "nft",
        "table inet stack { counter seen {}; chain c { type filter hook prerouting priority -400; "
        "ip saddr 198.51.100.0/24 counter name seen; }; }",
    )
    place.apply(ENDPOINT, ACCELERATE)
    assert flood(place, 500) == 500
    assert seen(place) == 500
    place.apply(DENY, LISTED)
    before = place.counted("deny-listed")
    assert flood(place, 30_000) == 30_000
    assert place.counted("deny-listed") - before == 30_000
    assert seen(place) == 500
    assert place.verdicts() == GUARDED


def flood(place: Site, count: int) -> int:
    """Frames sent from addresses of the denied set, and handed to the host's interface."""
    ends = bytes.fromhex((place.host.mac + place.client.mac).replace(":", ""))
    target = parse_address(place.host.address)[1]
    first = parse_address("198.51.100.0")[1]
    flow = {"version": 4, "protocol": TCP, "destination": target, "destination_port": REDIS}
    made = [ends + frame(Packet(**flow, source=first + n, source_port=1024 + n))[12:] for n in range(1, 255)]
    with place.client.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((place.client.interface, 0))
        for number in range(count):
            out.send(made[number % len(made)])
    return count


def seen(place: Site) -> int:
    """Packets of the flood that reached the stack."""
    listed = json.loads(place.host.run("nft", "-j", "list", "counter", "inet", "stack", "seen"))["nftables"]
    return int(next(one["counter"]["packets"] for one in listed if "counter" in one))


@contextmanager
def connecting(place: Site, address: str, source: str, pause_s: float) -> Iterator[list[bool]]:
    """A new connection every `pause_s` while the block lasts, and whether each was answered."""
    outcomes: list[bool] = []
    over = threading.Event()

    def connect() -> None:
        with entered(place.client.path):
            while not over.is_set():
                outcomes.append(answers(address, source))
                time.sleep(pause_s)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        thread.join(5)


def test_killing_the_agent_under_traffic_and_starting_the_next_changes_no_verdict(place: Site) -> None:
    place.start()
    place.apply(*DOCUMENTS.values())
    assert place.verdicts() == GUARDED
    program = place.program()
    with ExitStack() as traffic:
        allowed = [
            traffic.enter_context(connecting(place, address, source, 0.005))
            for address, source in ((place.host.address, FRIEND), (place.host.address6, FRIEND6))
        ]
        denied = [
            traffic.enter_context(connecting(place, address, source, 0.0))
            for address, source in ((place.host.address, FOE), (place.host.address6, FOE6))
        ]
        time.sleep(0.3)
        place.kill()
        counts = [len(one) for one in allowed]
        time.sleep(1)
        assert place.program() == program
        assert all(len(one) > count + 50 for one, count in zip(allowed, counts, strict=True))
        place.start()
        assert place.program() == program
        time.sleep(0.5)
    assert [one.count(False) for one in allowed] == [0, 0]
    assert [one.count(True) for one in denied] == [0, 0]
    assert all(denied)
    assert place.status()["program_id"] == program
    before = place.counted("deny-listed")
    assert place.verdicts() == GUARDED
    assert place.counted("deny-listed") > before


@pytest.mark.parametrize(
    "order",
    [
        ("agent", "endpoint", "accelerate", "deny", "set"),
        ("set", "deny", "accelerate", "endpoint", "agent"),
        ("deny", "agent", "set", "endpoint", "accelerate"),
    ],
)
def test_the_order_in_which_agent_and_documents_come_does_not_matter(place: Site, order: tuple[str, ...]) -> None:
    for step in order:
        if step == "agent":
            place.start()
        else:
            place.apply(DOCUMENTS[step])
    until(lambda: place.verdicts() == GUARDED, 2)
    place.host.run("conntrack", "-F")
    assert place.verdicts() == GUARDED
    assert place.tracked() == 0


def until(holds: object, limit_s: float) -> float:
    """Seconds until something held. Raises: AssertionError after `limit_s`."""
    assert callable(holds)
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < limit_s
        time.sleep(0.02)
    return time.monotonic() - started


def test_policy_returns_with_an_interface_that_was_deleted_and_made_again(place: Site) -> None:
    place.start()
    place.apply(*DOCUMENTS.values())
    assert place.verdicts() == GUARDED
    place.host.run("ip", "link", "delete", place.host.interface)
    wait_for_no_interface(place)
    make_again(place)
    until(lambda: "xdp" in place.host.link(), 5)
    until(lambda: place.verdicts() == GUARDED, 5)  # IPv6 of the new wire may need its second neighbour solicitation
    place.host.run("conntrack", "-F")
    assert place.verdicts() == GUARDED
    assert place.tracked() == 0


def wait_for_no_interface(place: Site) -> None:
    """Wait until the agent no longer counts on the interface."""

    def is_gone() -> bool:
        answer = json.loads(place.tortie("status", "-o", "json").stdout)
        return not any(one["is_enforced"] for one in answer["enforced"]["interfaces"])

    until(is_gone, 5)


def make_again(place: Site) -> None:
    """The pair of interfaces with its addresses, as `veth_pair` made it."""
    peer = ("peer", "name", place.client.interface, "netns", place.client.name)
    place.host.run("ip", "link", "add", place.host.interface, "type", "veth", *peer)
    for end in (place.host, place.client):
        for address in end.addresses:
            rest = ("nodad",) if address.version == 6 else ()
            end.run("ip", "address", "add", str(address), "dev", end.interface, *rest)
        end.run("ip", "link", "set", end.interface, "up")


def test_two_agents_in_two_namespaces_do_not_disturb_each_other(tmp_path: Path) -> None:
    with site(tmp_path / "a") as guarded, site(tmp_path / "b") as other:
        guarded.start()
        other.start()
        guarded.apply(*DOCUMENTS.values())
        other.apply(ENDPOINT, ACCELERATE)
        program = guarded.program()
        assert guarded.verdicts() == GUARDED
        assert all(other.verdicts().values())
        assert other.counted("deny-listed") == 0
        assert other.tortie("delete", "hep", "node2-ens4").returncode == 0
        assert "xdp" not in other.host.link()
        other.kill()
        removed = other.host.run(TORTIE, "agent", "cleanup")
        assert "tortie" in removed
        assert guarded.program() == program
        assert guarded.verdicts() == GUARDED
        assert guarded.status()["program_id"] == program
        assert "Enforced on node node2" in guarded.apply(LISTED.replace("10.99.0.66, ", ""))
        assert guarded.verdicts() == GUARDED | {FOE: True}
