"""A network namespace with a real agent in it, spoken to by the command line."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from apps.documents import PAIR
from netns import Namespace

TORTIE = str(Path(sys.executable).with_name("tortie"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TORTIE_")}
PATIENCE_S = 0.3
"""How long an answer is waited for that nobody may give."""


class Host:
    """A namespace with an agent in it, which enforces with that dataplane."""

    def __init__(self, namespace: Namespace, folder: Path, dataplane: str = "ebpf") -> None:
        self.namespace, self.folder, self.dataplane = namespace, folder, dataplane
        self.documents = PAIR.replace("eth0", namespace.interface)
        self.agent: subprocess.Popen[bytes] | None = None
        self.bounding: list[str] = []
        """The only capabilities that the agent and its children can have; none: all."""

    def start(self) -> float:
        """Start an agent; the seconds until it had programmed its first view, by its own log."""
        log = self.folder / f"log-{time.monotonic_ns()}"
        where = [*self._where("datastore"), *self._where("socket")]
        command = [TORTIE, "agent", "run", "--node", "node2", "--dataplane", self.dataplane, *where]
        started = time.monotonic()
        with log.open("wb") as sink:
            self.agent = subprocess.Popen(self._inside(command), stderr=sink, env=ENVIRONMENT)
        while "revision" not in log.read_text():
            assert self.agent.poll() is None, log.read_text()
            assert time.monotonic() - started < 10, log.read_text()
            time.sleep(0.005)
        return time.monotonic() - started

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.agent is not None
        self.agent.send_signal(number)
        self.agent.wait(5)

    def clean_up(self) -> str:
        command = [TORTIE, "agent", "cleanup"]
        done = subprocess.run(self._inside(command), capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tortie(self, *arguments: str, text: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [TORTIE, *self._where("socket"), *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=60,
            check=False,
        )
        assert code == done.returncode, done
        return done.stdout + done.stderr

    def until_answered(self) -> None:
        while "none answers" in self.tortie("version"):
            time.sleep(0.01)

    def _inside(self, command: list[str]) -> list[str]:
        bounds = [f"+{name.lower().removeprefix('cap_')}" for name in self.bounding]
        bounded = ["setpriv", f"--bounding-set=-all,{','.join(bounds)}"] if bounds else []
        return ["nsenter", f"--net={self.namespace.path}", *bounded, *command]

    def _where(self, option: str) -> list[str]:
        return [f"--{option}", str(self.folder / "agent" / option)]


def answer_of(host: Host, peer: Namespace, port: int) -> str:
    """What becomes of a connection to a port that nobody listens on: `refused` by the host itself, or `silence`."""
    with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(PATIENCE_S)
        try:
            one.connect((host.namespace.address, port))
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
    return "accepted"
