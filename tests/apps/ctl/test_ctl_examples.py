"""Every example of every --help works as it is written: typed into a shell, with an agent and the files it names."""

import inspect
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from apps.agent_thread import agent_at
from tortie.apps.ctl.main import cli

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
NEEDS_ROOT = ("tortie agent ", "nsenter ")
"""Examples that the tests in network namespaces stand for."""


def _policy(name: str, selector: str, port: int) -> dict[str, object]:
    ingress = [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}]
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name, "labels": {"role": "web"}},
        "spec": {"selector": selector, "order": 10, "ingress": ingress},
    }


def _endpoint(name: str, node: str, role: str) -> dict[str, object]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": {"role": role, "hep": "yes"}},
        "spec": {"node": node, "interfaceName": "eth0"},
    }


FELIX = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "FelixConfiguration",
    "metadata": {"name": "default"},
    "spec": {"bpfConntrackTimeouts": {"udpTimeout": "30s"}},
}
STORED = [
    _endpoint("node2-eth0", "node2", "web"),
    _endpoint("node3-eth0", "node3", "db"),
    _policy("web", "role == 'web'", 443),
    _policy("redis-accelerator-policy", "has(hep)", 6379),
    _policy("ssh-only", "all()", 22),
]


def _examples(command: click.Command, context: click.Context) -> Iterator[str]:
    text = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")[2]
    yield from (line.strip() for line in text.splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _examples(inner, context)


EXAMPLES = list(dict.fromkeys(_examples(cli, click.Context(cli))))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "agent.sock"
    with agent_at(path):
        yield path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With everything that the examples name."""
    here = tmp_path / "here"
    for name in ("policies/deep", "bin", "home/.config/fish/completions", "root/etc/bash_completion.d"):
        (here / name).mkdir(parents=True)
    stored = json.dumps(STORED)
    for name in ("policy.yaml", "policies/deep/all.yaml"):
        (here / name).write_text(stored)
    (here / "felixconfig.yaml").write_text(json.dumps(FELIX))
    (here / "examples").symlink_to(ROOT / "examples")
    for name in ("tests", "assertions"):
        (here / name).symlink_to(ROOT / "examples" / name)
    kubectl = here / "bin" / "kubectl"
    kubectl.write_text("#!/bin/sh\n[ \"$*\" = 'apply -f -' ] && grep -c CustomResourceDefinition > count\n")
    kubectl.chmod(0o755)
    return here


@pytest.mark.parametrize("example", [each for each in EXAMPLES if not each.startswith(NEEDS_ROOT)])
def test_an_example_works_as_it_is_written(folder: Path, agent: Path, example: str) -> None:
    environment = {
        "PATH": f"{folder}/bin:{BIN}:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "TORTIE_SOCKET": str(agent),
        "EDITOR": "true",
    }
    if not example.startswith("tortie create"):
        filling = [BIN / "tortie", "apply", "-f", "policy.yaml"]
        subprocess.run(filling, check=True, capture_output=True, cwd=folder, env=environment)
    # Where an example would write into the system, the same below a folder of the test.
    command = re.sub(r"(?<= )/(etc|usr|tmp)/", f"{folder}/root/\\1/", example)
    shell = subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {'exec ' * (' -w' in command)}{command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )
    if " -w" in command:
        assert shell.stdout is not None
        shell.stdout.readline()
        shell.send_signal(signal.SIGINT)
    out, err = shell.communicate(timeout=30)
    assert shell.returncode == 0, out + err
    assert "tortie: " not in err


def test_every_command_has_examples_that_are_tried() -> None:
    tried = {example.split("tortie ", 1)[1].split()[0] for example in EXAMPLES if "tortie " in example}
    assert tried == {*cli.list_commands(click.Context(cli))}
