"""A host with a real agent in a network namespace, and a peer on the other end of a veth pair.

`lab` has the prober between them; `quiet_host` has no traffic but what its user makes.

Files are in a folder of their own, on a disk if the working folder is on one: a commit waits for it.
"""

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Unmeasured
from bench.prober import HOST_PORT, PEER_PORT, Prober, Way, prober
from netns import Namespace, veth_pair
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf
from tortie.resources.codec import decode_stored, encode
from tortie.store.protocol import Key, Put
from tortie.store.sqlite import SqliteStore

TORTIE = Path(sys.executable).with_name("tortie")
NODE = "node2"
PROBE_POLICY = "bench-probe"
SELECTOR = 'has(hep) && hep == "redis-host"'
FOLDER = Path("build")
ENFORCED_S = 10.0
BALLAST_FROM = 20_000

Document = Mapping[str, Any]


def root_program(name: str, opened: ExitStack) -> int:
    """The file descriptor of one program of the root's object, loaded alone, until `opened` ends."""
    roots = opened.enter_context(bpf.ObjectFile(OBJECTS / "root.bpf.o"))
    for one in roots.program_names:
        roots.set_autoload(one, one == name)
    roots.load()
    return roots.program_fd(name)


@dataclass(slots=True)
class Host:
    """The host, its peer and the agent that may run there."""

    host: Namespace
    peer: Namespace
    folder: Path
    environment: dict[str, str]
    node: str = NODE
    agent: subprocess.Popen[bytes] | None = None

    @property
    def datastore(self) -> Path:
        """The datastore file."""
        return self.folder / "state.db"

    @property
    def socket(self) -> Path:
        """The agent's socket."""
        return self.folder / "run" / "socket"

    def attach_alone(self, name: str, opened: ExitStack) -> None:
        """A root program, with nothing of tortie's behind it, until `opened` ends."""
        program = root_program(name, opened)
        with self.host.entered():
            opened.callback(os.close, bpf.attach_xdp(program, self.host.ifindex))

    def start_agent(self) -> int:
        """The moment in ns at which the agent's process was started."""
        words = self.host.command(TORTIE, *self._target(), "agent", "run", "--node", self.node)
        with (self.folder / "agent.log").open("ab") as log:
            started = time.monotonic_ns()
            self.agent = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log)
        return started

    def until_answering(self, timeout_s: float = ENFORCED_S) -> None:
        """Wait until the agent has everything up. Raises: Unmeasured with its log."""
        deadline = time.monotonic() + timeout_s
        while not self.socket.exists() or self.command("status", check=False).returncode == 7:
            if self.agent is None or self.agent.poll() is not None or time.monotonic() > deadline:
                raise Unmeasured(f"the agent does not answer; its log ends:\n{self.log()}")
            time.sleep(0.02)

    def enforce(self, documents: Sequence[Document], *, timeout_s: float = ENFORCED_S) -> None:
        """Store the documents, start the agent, and wait until it enforces them. Raises: Unmeasured with its reason."""
        store = SqliteStore.open(self.datastore)
        try:
            asyncio.run(commit(store, documents))
        finally:
            asyncio.run(store.close())
        self.start_agent()
        self.until_answering()
        deadline = time.monotonic() + timeout_s
        while not (told := self._enforced())["is_current"] and time.monotonic() < deadline:
            time.sleep(0.05)
        whynot = [*told["failed"].values(), *(why for found in told["refused"].values() for why in found)]
        if whynot or not any(found["is_enforced"] for found in told["interfaces"]):
            raise Unmeasured("; ".join(map(str, whynot)) or f"nothing is enforced: {told}")

    def packets(self, direction: str, *, rule: int | None = None) -> int:
        """Packets that the agent counted for rules of that direction, or for those of that number in their policy."""
        counted = json.loads(self.command("status", "-o", "json").stdout)["counters"]["rules"]
        return sum(
            int(one["packets"])
            for one in counted
            if one["direction"] == direction and (rule is None or one["rule"] == rule)
        )

    def _enforced(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "-o", "json", check=False).stdout)["enforced"]
        return found

    def stop_agent(self) -> None:
        """SIGTERM; what is enforced stays."""
        if self.agent is not None:
            self.agent.terminate()
            self.agent.wait(10)
            self.agent = None

    def clean_up(self) -> None:
        """Take everything of tortie's out of the host's kernel."""
        self.stop_agent()
        self.host.run(TORTIE, "agent", "cleanup", env=self.environment)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A finished command on the agent's socket. Raises: Unmeasured if it failed."""
        done = subprocess.run(
            self.words(*words), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise Unmeasured(
                f"tortie {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}{self.log()}"
            )
        return done

    def words(self, *words: str) -> list[str]:
        """The command line of a command on the agent's socket."""
        return [str(TORTIE), "--socket", str(self.socket), *words]

    def memory_mb(self, field: str) -> float:
        """The agent's memory by that name of the kernel's: `VmRSS` now, `VmHWM` at most."""
        assert self.agent is not None
        # nsenter became the agent: the pid is the agent's own.
        return memory_mb(field, str(self.agent.pid))

    def log(self) -> str:
        """The end of the agent's log."""
        path = self.folder / "agent.log"
        return path.read_text(errors="replace")[-2_000:] if path.exists() else ""

    def _target(self) -> list[str]:
        return ["--datastore", str(self.datastore), "--socket", str(self.socket)]


@dataclass(slots=True, kw_only=True)
class Lab(Host):
    """A host with the prober's streams to and from it."""

    probe: Prober

    def require(self, *, is_open: bool, ways: Sequence[Way] = tuple(Way)) -> None:
        """That the ports are in this state now. Raises: Unmeasured."""
        for way in ways:
            if self.probe.is_open(way) is not is_open:
                raise Unmeasured(f"the {way.name.lower()} port is not {'open' if is_open else 'closed'}\n{self.log()}")


@contextmanager
def quiet_host() -> Iterator[Host]:
    """Namespaces and an empty folder; no agent yet. Nothing of them is left behind."""
    with veth_pair() as (host, peer), folder() as place:
        made = Host(host, peer, place, environment())
        try:
            yield made
        finally:
            made.clean_up()


@contextmanager
def lab(*, node: str = NODE) -> Iterator[Lab]:
    """Namespaces, prober and an empty folder; no agent yet, that node's. Nothing of them is left behind."""
    with veth_pair() as (host, peer), folder() as place, prober(host, peer) as streams:
        made = Lab(host, peer, place, environment(), node, probe=streams)
        try:
            made.require(is_open=True)
            yield made
        finally:
            made.clean_up()


def compiled(name: str, opened: ExitStack) -> bpf.ObjectFile:
    """A program of the bench's own, not loaded yet, until `opened` ends."""
    made = opened.enter_context(folder()) / f"{name}.bpf.o"
    source = Path(__file__).with_name(f"{name}.bpf.c")
    includes = [f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}", f"-I{source.parents[1] / 'bpf/include'}"]
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", *includes]
    subprocess.run(["clang-14", *flags, "-c", source, "-o", made], check=True)
    return opened.enter_context(bpf.ObjectFile(made))


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder of ours, on the disk of the working folder, until the end."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tortie-bench-", dir=FOLDER) as name:
        place = Path(name).absolute()
        place.chmod(0o700)
        yield place


def memory_mb(field: str, pid: str = "self") -> float:
    """A process's memory by that name of the kernel's. Units: 10^6 bytes. Raises: Unmeasured."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise Unmeasured(f"the kernel tells no {field} of process {pid}")


def environment() -> dict[str, str]:
    """This process's, without what would choose a target."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TORTIE_")}


async def commit(store: SqliteStore, documents: Sequence[Document]) -> int:
    """The moment in ns just after the commit of these documents returned."""
    writes = [put(document) for document in documents]
    await store.commit(writes)
    return time.monotonic_ns()


def put(document: Document) -> Put:
    """The write that stores the document."""
    resource = decode_stored(json.dumps(document).encode())
    return Put(Key(resource.kind, resource.namespace, resource.name), encode(resource))


def host_endpoint(address: str) -> Document:
    """The host's end of the wire, which the policies of this file select."""
    spec = {"interfaceName": "ens4", "node": NODE, "expectedIPs": [address]}
    return document("HostEndpoint", "node2-ens4", spec, labels={"hep": "redis-host"})


TRACKING_RULES = """table inet beside {
	chain seen {
		type filter hook prerouting priority 0;
		ct state established counter
	}
}
"""
"""Rules of somebody else that have the kernel track connections."""


def article(address: str) -> Sequence[Document]:
    """The host endpoint, and the policy that opens redis untracked."""
    redis = {
        "selector": SELECTOR,
        "order": 9,
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress", "Egress"],
        "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [6379]}}],
        "egress": [{"action": "Allow", "protocol": "TCP", "source": {"ports": [6379]}}],
    }
    return [host_endpoint(address), document("GlobalNetworkPolicy", "redis-accelerator-policy", redis)]


def probe_policy(*, is_open: bool, is_egress_open: bool = True) -> Document:
    """The one-rule policy that opens or closes the prober's inward port; its egress rule likewise, the outward one."""
    action, egress = ("Allow" if is_open else "Deny"), ("Allow" if is_egress_open else "Deny")
    spec = {
        "selector": SELECTOR,
        "order": 1_000,
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress", "Egress"],
        "ingress": [{"action": action, "protocol": "UDP", "destination": {"ports": [HOST_PORT]}}],
        "egress": [{"action": egress, "protocol": "UDP", "destination": {"ports": [PEER_PORT]}}],
    }
    return document("GlobalNetworkPolicy", PROBE_POLICY, spec)


def ballast(rules: int, *, per_policy: int = 1_000) -> Sequence[Document]:
    """Policies in front of the prober's, with that many rules together, none of which the prober's packets meet."""
    documents = []
    for number in range(rules // per_policy):
        first = BALLAST_FROM + number * per_policy
        ingress = [
            {"action": "Deny", "protocol": "TCP", "destination": {"ports": [first + rule]}}
            for rule in range(per_policy)
        ]
        spec = {
            "selector": SELECTOR,
            "order": 100 + number,
            "applyOnForward": True,
            "doNotTrack": True,
            "types": ["Ingress"],
            "ingress": ingress,
        }
        documents.append(document("GlobalNetworkPolicy", f"bench-ballast-{number:02}", spec))
    return documents


def document(kind: str, name: str, spec: Document, *, labels: Mapping[str, str] | None = None) -> Document:
    """A document of that kind."""
    metadata = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}
