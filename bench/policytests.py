"""What `tortie test` takes for a file of a thousand packets, from the start of the command to its exit."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Unmeasured

PACKETS = 1_000
POLICIES = 50
FIRST_PORT = 10_000
"""Beyond the failsafe ports."""


def measure(runs: int) -> Sequence[Figure]:
    """The figure. Raises: Unmeasured."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "test.yaml"
        path.write_text(document(), encoding="utf-8")
        samples = tuple(_run(path) for _ in range(runs))
    return [Figure("test.1000", "ms", samples, note=f"{PACKETS} packets on {POLICIES} policies, command and all")]


def document() -> str:
    """A test whose packets lead through all of the policies, and of which every second is allowed."""
    endpoint = "{node: host1, interfaceName: eth0}"
    lines = [
        "apiVersion: tortie.io/v1",
        "kind: PolicyTest",
        "host: {node: host1, interfaces: [{name: eth0, addresses: [192.0.2.10/24]}]}",
        "resources:",
        f"- {{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h}}, spec: {endpoint}}}",
    ]
    for number in range(POLICIES):
        ports = list(range(FIRST_PORT + 2 * number, FIRST_PORT + PACKETS, 2 * POLICIES))
        rule = f"{{action: Allow, protocol: TCP, destination: {{ports: {ports}}}}}"
        head = f"apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p{number}}}"
        lines.append(f"- {{{head}, spec: {{order: {number}, ingress: [{rule}]}}}}")
    lines.append("packets:")
    ends = "direction: ingress, in: eth0, proto: tcp, src: 192.0.2.99, dst: 192.0.2.10"
    for number in range(PACKETS):
        expected = "deny" if number % 2 else "allow"
        lines.append(f"- {{{ends}, dport: {FIRST_PORT + number}, expect: {expected}}}")
    return "\n".join(lines) + "\n"


def _run(path: Path) -> float:
    """Milliseconds of one run."""
    command = [str(Path(sys.executable).with_name("tortie")), "test", str(path)]
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if not ran.stdout.endswith(f"{PACKETS} passed, 0 failed\n"):
        raise Unmeasured(f"tortie test says {ran.stdout[-300:]!r}, {ran.stderr[-300:]!r}")
    return took * 1000
