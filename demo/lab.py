"""Two network namespaces that play client and host, the processes in them, and the way to get rid of it all.

    client ns                        host ns
    eth0 10.99.0.2, fd99::2  ═veth═  ens4 10.99.0.1, fd99::1
    servers that the host uses       redis, a web server, a stand-in for ssh, tortie agent

Whatever is made is written down in the lab's folder first, so that a lab that was kept, or whose maker was killed, can
be removed by `demo.py --clean`. Nothing outside of the two namespaces and the folder is touched.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from documents import INTERFACE, NODE

RUN = Path("/run/tortie-demo")
TORTIE = Path(sys.executable).with_name("tortie")
AGENT_RUN = Path("/run/tortie")
HOST, HOST6, CLIENT, CLIENT6 = "10.99.0.1", "fd99::1", "10.99.0.2", "fd99::2"
LISTED, LISTED6 = "10.99.0.66", "fd99::66"
"""Addresses of the client that the denied set has: real ones, so that an answer would be seen."""
CLIENT_INTERFACE = "eth0"


class LabError(Exception):
    """Something the demonstration needs did not work; the text says what."""


def _run(*words: str | os.PathLike[str], text: str | None = None, timeout_s: float = 30) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}".strip())
    return done.stdout


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace by name. Only the network is entered: mounts stay the machine's."""

    name: str

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return Path("/run/netns") / self.name

    def command(self, *words: str | os.PathLike[str]) -> list[str]:
        """The words that run a command in it."""
        return ["nsenter", f"--net={self.path}", "--", *(os.fspath(word) for word in words)]

    def run(self, *words: str | os.PathLike[str], timeout_s: float = 30) -> str:
        """Standard output of a command in it. Raises: LabError with its output if it fails."""
        return _run(*self.command(*words), timeout_s=timeout_s)

    def nft(self, rules: str) -> None:
        """One nft transaction in it."""
        _run(*self.command("nft", "-f", "-"), text=rules)

    def link(self, interface: str) -> dict[str, Any]:
        """What `ip -d -j link` says about an interface in it."""
        found: dict[str, Any] = json.loads(self.run("ip", "-d", "-j", "link", "show", "dev", interface))[0]
        return found


@dataclass(slots=True)
class Lab:
    """The namespaces, the processes and the folder of one demonstration."""

    folder: Path
    host: Namespace
    client: Namespace
    processes: dict[int, str] = field(default_factory=dict)
    """Start times by pid: together they name a process for ever."""
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _agent: subprocess.Popen[bytes] | None = None
    _lock: int = -1

    @classmethod
    def make(cls) -> "Lab":
        """A new lab's names; nothing exists yet but its folder."""
        number = os.getpid()
        lab = cls(RUN / str(number), Namespace(f"tortie-demo-{number}-host"), Namespace(f"tortie-demo-{number}-client"))
        # Short: the path of a unix socket has 107 bytes at most.
        lab.folder.mkdir(mode=0o700, parents=True)
        lab._hold()
        lab._write_down()
        return lab

    @classmethod
    def left(cls) -> Iterator["Lab"]:
        """Labs that nobody works with: kept ones, and those whose maker was killed."""
        for folder in sorted(RUN.glob("*")) if RUN.exists() else ():
            try:
                record = json.loads((folder / "lab.json").read_text())
            except (OSError, ValueError):
                record = {"host": "", "client": "", "processes": {}}
            started = {int(pid): start for pid, start in record["processes"].items()}
            lab = cls(folder, Namespace(record["host"]), Namespace(record["client"]), started)
            with suppress(BlockingIOError):
                lab._hold()
                yield lab

    def _hold(self) -> None:
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _write_down(self) -> None:
        record = {"host": self.host.name, "client": self.client.name, "processes": self.processes}
        new = self.folder / "lab.json.new"
        new.write_text(json.dumps(record))
        new.rename(self.folder / "lab.json")

    @property
    def socket(self) -> Path:
        """Where the agent answers."""
        return self.folder / "run" / "tortie.sock"

    @property
    def datastore(self) -> Path:
        """The agent's datastore."""
        return self.folder / "lib" / "state.db"

    @property
    def agent_log(self) -> Path:
        """What the agent said."""
        return self.folder / "agent.log"

    def up(self) -> None:
        """Make the namespaces and the wire."""
        for namespace in (self.host, self.client):
            _run("ip", "netns", "add", namespace.name)
            _run("ip", "-n", namespace.name, "link", "set", "lo", "up")
        _run(
            *("ip", "link", "add", INTERFACE, "netns", self.host.name, "type", "veth"),
            *("peer", "name", CLIENT_INTERFACE, "netns", self.client.name),
        )
        for namespace, interface, addresses in (
            (self.host, INTERFACE, (HOST, HOST6)),
            (self.client, CLIENT_INTERFACE, (CLIENT, CLIENT6, LISTED, LISTED6)),
        ):
            for address in addresses:
                # Duplicate address detection would keep an IPv6 address unusable for a second or two; and a deprecated
                # one is not chosen as a source for connections that name none.
                rest = ("nodad", "preferred_lft", "0") if address == LISTED6 else ("nodad",) if ":" in address else ()
                length = "64" if ":" in address else "24"
                _run("ip", "-n", namespace.name, "address", "add", f"{address}/{length}", "dev", interface, *rest)
            _run("ip", "-n", namespace.name, "link", "set", interface, "up")
        # As network cards have it: a receive queue for each CPU, so that a flood on one leaves the others their rings.
        self.host.run("ethtool", "-L", INTERFACE, "rx", str(os.cpu_count() or 1))
        # Short connections use a port each; the client would be out of them after 28,000 and a minute. Not from 1024:
        # a packet from an outbound failsafe port (6666 is one) may be the reply leg of one, and skips untracked policy.
        settings = {"tcp_tw_reuse": "1", "ip_local_port_range": "10000 65535", "tcp_max_tw_buckets": "2000"}
        for name, value in settings.items():
            self.client.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")

    def start(self, namespace: Namespace, *words: str | os.PathLike[str], log: str) -> subprocess.Popen[bytes]:
        """A process in a namespace, with a session of its own: an interrupt at the terminal is ours to deal with."""
        with (self.folder / log).open("ab") as said:
            started = subprocess.Popen(
                namespace.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                cwd=self.folder,
            )
        self._children.append(started)
        self.processes[started.pid] = _start_time(started.pid)
        self._write_down()
        return started

    def start_agent(self) -> float:
        """Start an agent for the host's namespace, and wait until it answers; the seconds until it did.

        It answers only when everything that is stored is enforced.
        """
        started = time.monotonic()
        where = ("--node", NODE, "--datastore", self.datastore, "--socket", self.socket)
        self._agent = agent = self.start(self.host, TORTIE, "agent", "run", *where, log="agent.log")
        while not self._is_answering():
            if agent.poll() is not None or time.monotonic() > started + 15:
                raise LabError(f"the agent does not answer; it said:\n{self.agent_log.read_text()}")
            time.sleep(0.001)
        return time.monotonic() - started

    def _is_answering(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(os.fspath(self.socket))
            except OSError:
                return False
        return True

    def kill_agent(self) -> None:
        """Kill the agent as the kernel does when memory is short: without a warning."""
        if self._agent is None:
            raise ValueError("no agent was started")
        self._agent.kill()
        self._agent.wait(5)

    def tortie(self, *words: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        """What the command line did, with the lab's agent as its target."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TORTIE_")}
        return subprocess.run(
            [TORTIE, "--socket", self.socket, *words],
            capture_output=True,
            text=True,
            env=clean,
            timeout=30,
            check=False,
        )

    def must(self, *words: str | os.PathLike[str]) -> str:
        """Standard output of a `tortie` command. Raises: LabError if it fails."""
        done = self.tortie(*words)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise LabError(f"tortie {' '.join(map(str, words))}: exit code {done.returncode}\n{said}")
        return done.stdout

    def keep(self) -> None:
        """Let go of the lab, which stays up."""
        for child in self._children:
            child.returncode = 0 if child.returncode is None else child.returncode
        os.close(self._lock)

    def remove(self) -> list[str]:
        """Undo all of it, in whatever state it is; what could not be undone."""
        wrong: list[str] = []
        _end(self.processes)
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(5)
        if self.host.name and self.host.path.exists():
            try:
                lock = AGENT_RUN / f"agent-{self.host.path.stat().st_ino}.lock"
                self.host.run(TORTIE, "agent", "cleanup")
                lock.unlink(missing_ok=True)
            except (LabError, OSError) as error:
                wrong.append(str(error))
        for namespace in (self.host, self.client):
            if namespace.name and namespace.path.exists():
                try:
                    _run("ip", "netns", "delete", namespace.name)
                except LabError as error:
                    wrong.append(str(error))
        if not wrong:
            shutil.rmtree(self.folder)
            # Others' labs, or another agent, may be in there.
            for folder in (RUN, AGENT_RUN / "bpf", AGENT_RUN):
                with suppress(OSError):
                    folder.rmdir()
        os.close(self._lock)
        return wrong + self.remains()

    def remains(self) -> list[str]:
        """What is still there of the lab."""
        found = [str(path) for path in (self.folder, self.host.path, self.client.path) if path.exists()]
        return found + [f"process {pid}" for pid, start in self.processes.items() if _start_time(pid) == start]


def _start_time(pid: int) -> str:
    """When a process started, in ticks; "" if it is gone or only waits to be noticed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _end(processes: dict[int, str]) -> None:
    """End the processes, with force after 3 s; a pid that another process has by now is left alone."""
    for number, patience_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + patience_s
        alive = [pid for pid, start in processes.items() if start and _start_time(pid) == start]
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while alive and time.monotonic() < deadline:
            alive = [pid for pid in alive if _start_time(pid) == processes[pid]]
            time.sleep(0.01)
