"""The agent as a process in a network namespace of its own, and the command line as processes beside it.

Real: datastore file, unix socket, locks, signals. The driver evaluates (tests/apps/fake_agent.py); what the real driver
does under an agent is tested beside that driver.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.documents import PAIR, POLICY, REFUSED, network_set

pytestmark = pytest.mark.root

TESTS = Path(__file__).parents[1]
FAKE_AGENT = TESTS / "apps" / "fake_agent.py"
TORTIE = str(Path(sys.executable).with_name("tortie"))


class Host:
    """A namespace's agent, its datastore and its socket; commands go to the socket unless they say otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datastore, self.socket = folder / "lib" / "state.db", folder / "run" / "tortie.sock"
        self.log = folder / "agent.log"
        self._agents: list[subprocess.Popen[bytes]] = []

    def start(
        self, node: str = "node2", *, delay_s: float = 0.0, socket: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """An agent in a new network namespace, as soon as it answers."""
        path = socket or self.socket
        arguments = [node, str(self.datastore), str(path), str(delay_s)]
        with self.log.open("ab") as log:
            agent = subprocess.Popen(
                ["unshare", "--net", sys.executable, str(FAKE_AGENT), *arguments],
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                stderr=log,
            )
        self._agents.append(agent)
        self.until_answered(path, agent)
        return agent

    def until_answered(self, path: Path, agent: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 10
        while self.tortie("version", socket=path, may_fail=True).stdout.count("none answers") or not path.exists():
            assert agent.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()

    def stop(self) -> None:
        for agent in self._agents:
            if agent.poll() is None:
                agent.terminate()
        for agent in self._agents:
            agent.wait(5)

    def tortie(
        self,
        *arguments: str,
        text: str = "",
        socket: Path | None = None,
        direct: bool = False,
        may_fail: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        where = ["--datastore", str(self.datastore)] if direct else ["--socket", str(socket or self.socket)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TORTIE_")}
        done = subprocess.run(
            [TORTIE, *where, *arguments], input=text, capture_output=True, text=True, env=clean, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr
        assert may_fail or done.returncode == 0, done
        return done


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    yield found
    found.stop()


def test_apply_says_what_is_enforced_where_and_how_fast(host: Host) -> None:
    host.start()
    done = host.tortie("apply", "-f", "-", text=PAIR)
    assert "Successfully applied 2 resource(s)\nEnforced on node node2 at revision 2 after " in done.stdout
    assert " ms: eth0 (xdp)\n" in done.stdout
    assert "Note" not in done.stdout


def test_a_direct_write_is_noticed_by_the_agent_that_watches_the_file(host: Host) -> None:
    host.start()
    done = host.tortie("apply", "-f", "-", text=PAIR, direct=True)
    assert "Enforced on node node2" in done.stdout
    assert "eth0" in host.tortie("status").stdout
    assert "revision 2" in host.tortie("status", direct=True).stdout
    gone = host.tortie("delete", "hep", "node2-eth0", direct=True)
    assert "no host endpoint governs an interface: nothing is enforced" in gone.stdout


def test_every_agent_that_serves_a_file_is_waited_for(host: Host) -> None:
    host.start("node2")
    host.start("node3", socket=host.folder / "run3" / "s")
    done = host.tortie("apply", "-f", "-", text=PAIR, direct=True)
    assert "Enforced on node node2" in done.stdout
    assert "Node node3 is at revision 2" in done.stdout
    status = host.tortie("status", direct=True, may_fail=True)
    assert status.returncode == 2
    assert "several agents serve" in status.stderr


def test_a_policy_that_cannot_be_enforced_is_stored_named_and_not_armed(host: Host) -> None:
    host.start()
    host.tortie("apply", "-f", "-", text=PAIR)
    done = host.tortie("apply", "-f", "-", text=REFUSED, may_fail=True)
    assert done.returncode == 1
    assert "refused on eth0: GlobalNetworkPolicy(by-method) (normal): http matches" in done.stderr
    assert "the last good state stays" in done.stderr
    assert "by-method" in host.tortie("get", "gnp").stdout
    status = host.tortie("status", may_fail=True)
    assert status.returncode == 1
    assert "Not enforced" in status.stdout
    trace = host.tortie("trace", "1.2.3.4", "10.0.0.5", "tcp/6379", "--in", "eth0")
    assert "the program enforces the last good state" in trace.stdout


def test_a_wrong_document_changes_nothing_and_names_its_place(host: Host) -> None:
    host.start()
    host.tortie("apply", "-f", "-", text=PAIR)
    before = host.tortie("get", "gnp", "-o", "json").stdout
    done = host.tortie("apply", "-f", "-", text=POLICY.replace("[6379]", "[6379:1]"), may_fail=True)
    assert done.returncode == 3
    assert "stdin:10:" in done.stderr
    assert before == host.tortie("get", "gnp", "-o", "json").stdout


def test_sigterm_ends_the_agent_within_a_second_and_cleans_its_traces(host: Host) -> None:
    agent = host.start()
    host.tortie("apply", "-f", "-", text=PAIR)
    started = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(5) == 0
    assert time.monotonic() - started < 1.0
    assert not host.socket.exists()
    assert list(Path(f"{host.datastore}.agents").iterdir()) == []
    assert "what is enforced stays enforced" in host.log.read_text()


def test_after_kill_9_the_next_agent_takes_over_and_nobody_waits_for_the_dead_one(host: Host) -> None:
    agent = host.start()
    host.tortie("apply", "-f", "-", text=PAIR)
    agent.kill()
    agent.wait(5)
    done = host.tortie("apply", "-f", "-", text=network_set("s", "10.0.0.0/8"), direct=True)
    assert "no agent serves it" in done.stdout
    host.start()
    assert "revision 3" in host.tortie("status").stdout
    assert len(list(Path(f"{host.datastore}.agents").iterdir())) == 1


def test_a_second_agent_in_a_namespace_is_refused(host: Host) -> None:
    agent = host.start()
    second = [str(FAKE_AGENT), "node2", str(host.datastore), str(host.folder / "run2" / "s")]
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{agent.pid}/ns/net", sys.executable, *second],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "another agent runs in this network namespace" in done.stderr


def test_an_agent_on_a_taken_socket_is_refused(host: Host) -> None:
    host.start()
    done = subprocess.run(
        [
            "unshare",
            "--net",
            sys.executable,
            str(FAKE_AGENT),
            "n",
            str(host.datastore),
            str(host.socket),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "another agent answers on" in done.stderr


def test_an_agent_starts_fast_and_small(host: Host) -> None:
    host.start()
    host.tortie("apply", "-f", "-", text=PAIR)
    status = json.loads(host.tortie("status", "-o", "json").stdout)
    print(f"agent memory {status['agent']['memory_mb']} MB")
    assert status["agent"]["memory_mb"] < 110


def test_an_interrupted_command_exits_130_and_a_closed_pipe_is_no_error(host: Host) -> None:
    host.start(delay_s=1.0)
    command = [TORTIE, "--socket", str(host.socket), "apply", "-f", "-"]
    waiting = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert waiting.stdin is not None
    waiting.stdin.write(PAIR)
    waiting.stdin.close()
    waiting.stdin = None
    time.sleep(0.5)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=5)
    assert waiting.returncode == 130
    assert "Traceback" not in err
    piped = subprocess.run(
        f"{TORTIE} --socket {host.socket} get tier -o json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (piped.stdout, piped.stderr) == ("{", "")


def test_nobody_but_root_may_speak_to_the_agent(host: Host) -> None:
    host.start()
    host.folder.chmod(0o755)
    done = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            sys.executable,
            "-c",
            f"import socket; socket.socket(socket.AF_UNIX).connect({str(host.socket)!r})",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "PermissionError" in done.stderr
