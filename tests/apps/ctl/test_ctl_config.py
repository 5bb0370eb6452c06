"""`tortie config explain` on a datastore file, on documents alone, and on an agent that has been told something."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tortie.apps.ctl import wire
from tortie.apps.ctl.main import run
from tortie.apps.failure import Code

ROOT = Path(__file__).parents[2]
SETTINGS = """\
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default, annotations: {config.projectcalico.org/LogSeverityScreen: debug}}
spec: {xdpEnabled: false, bpfMapSizeConntrack: 1000, failsafeInboundHostPorts: [{protocol: TCP, port: 22}]}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.me}
spec: {bpfMapSizeConntrack: 2000}
"""


class Shell:
    """Runs commands on one datastore file."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture
        self.datastore = folder / "state.db"

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = run(["--datastore", str(self.datastore), "--node", "me", *arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def file(self, text: str, name: str = "doc.yaml") -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in list(os.environ):
        if name.startswith("TORTIE_") or name.lower().startswith("felix_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TORTIE_FELIX_CONFIG", str(tmp_path / "felix.cfg"))
    return Shell(tmp_path, capsys)


def rows(out: str) -> dict[str, str]:
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()[1:]}


def test_the_table_has_value_source_what_it_hides_and_whether_it_is_used(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("apply", "-f", shell.file(SETTINGS))[0] == 0
    shell.file("XDPEnabled = true\nHealthPort = x\nNope = 1\n", "felix.cfg")
    monkeypatch.setenv("FELIX_BPFMAPSIZECONNTRACK", "0x10")
    code, out, err = shell("config", "explain")
    assert code == 0
    found = rows(out)
    size = "2000 of FelixConfiguration(node.me), 1000 of FelixConfiguration(default)"
    assert found["BPFMapSizeConntrack"].startswith(f"0x10 environment {size} 512000 yes Most established")
    file = shell.folder / "felix.cfg"
    assert found["XDPEnabled"].startswith(f"true {file} false of FelixConfiguration(default) true yes Judge")
    assert found["LogSeverityScreen"].startswith("Debug FelixConfiguration(default), annotation - Info not used Least")
    assert found["FailsafeInboundHostPorts"].startswith("tcp:22 FelixConfiguration(default) - tcp:22,udp:68")
    assert "FelixHostname" not in found
    assert f"warning: {file}: line 2: 'x' is no whole number; expected 0 to 65535; the default 9099 holds\n" in err
    assert f"warning: {file}: line 3: there is no parameter 'Nope'; it is passed over\n" in err
    assert f"note: no agent serves {shell.datastore}" in err


def test_all_parameters_are_listed_when_asked(shell: Shell) -> None:
    shell("apply", "-f", shell.file(SETTINGS))
    code, out, _ = shell("config", "explain", "--all")
    assert (code, len(rows(out))) == (0, 219)


def test_the_story_of_one_parameter_has_everything(shell: Shell) -> None:
    shell(
        "apply",
        "-f",
        shell.file(SETTINGS + SETTINGS.split("---\n")[1].replace("node.me", "node.you").join(("---\n", ""))),
    )
    code, out, _ = shell("config", "explain", "bpfmapsizeconntrack", "EtcdAddr")
    assert code == 0
    first, second = out.split("\n\n")
    assert first.splitlines() == [
        "BPFMapSizeConntrack",
        "  Most established connections of each IP version.",
        "  value     2000, from FelixConfiguration(node.me) (spec.bpfMapSizeConntrack)",
        "  default   512000",
        "  values    a whole number; with one that cannot be read the default holds; `none` is no value of it, "
        "and an agent does not start with it",
        "  set by    FELIX_BPFMapSizeConntrack, spec.bpfMapSizeConntrack, config.projectcalico.org/BPFMapSizeConntrack",
        "  used      yes",
        "  SOURCE                         PLACE                      VALUE",
        "  FelixConfiguration(node.me)    spec.bpfMapSizeConntrack   2000    wins",
        "  FelixConfiguration(default)    spec.bpfMapSizeConntrack   1000    overridden",
        "  FelixConfiguration(node.you)   spec.bpfMapSizeConntrack   2000    elsewhere",
    ]
    assert "  value     127.0.0.1:2379, from the built-in default\n" in second
    assert "not by documents" in second
    assert "not used: accepted, and tortie does not act on it" in second
    assert second.endswith("  Nobody sets it.\n")


def test_a_near_miss_is_a_usage_error_with_a_suggestion(shell: Shell) -> None:
    shell("apply", "-f", shell.file(SETTINGS))
    code, out, err = shell("config", "explain", "XDPEnable")
    assert (code, out) == (2, "")
    assert "no parameter 'XDPEnable'; did you mean XDPEnabled?" in err
    assert shell("config", "explain", "XDPEnabled", "--all")[0] == 2


def test_documents_alone_can_be_explained_and_wrong_ones_are_refused(shell: Shell) -> None:
    path = shell.file(SETTINGS)
    code, out, _ = shell("config", "explain", "-f", path, "-o", "json", "XDPEnabled")
    assert code == 0
    (found,) = json.loads(out)["parameters"]
    assert (found["value"], found["source"], found["place"]) == (
        "false",
        "FelixConfiguration(default)",
        "spec.xdpEnabled",
    )
    assert not shell.datastore.exists()
    code, _, err = shell("config", "explain", "-f", shell.file(SETTINGS.replace("xdpEnabled", "xdpEnable")))
    assert code == 3
    assert "did you mean xdpEnabled?" in err


def test_without_datastore_and_documents_nobody_can_be_asked(shell: Shell) -> None:
    code, _, err = shell("config", "explain")
    assert code == Code.UNREACHABLE.exit_code
    assert "does not exist; give -f FILE or --datastore PATH" in err


def test_apply_warns_of_settings_that_will_not_count(shell: Shell) -> None:
    text = SETTINGS.replace("LogSeverityScreen: debug", "LogSeverityScreen: loud").replace(
        "xdpEnabled: false", 'interfaceExclude: "a b"'
    )
    code, _, err = shell("apply", "-f", shell.file(text))
    assert code == 0
    assert "warning: FelixConfiguration(default): annotation config.projectcalico.org/LogSeverityScreen: 'loud'" in err
    assert "warning: FelixConfiguration(default): spec.interfaceExclude: 'a b' is no interface name" in err


@contextmanager
def agent(folder: Path, told: Mapping[str, str]) -> Iterator[str]:
    socket = str(folder / "a.sock")
    command = [sys.executable, str(ROOT / "apps" / "fake_agent.py"), "me", str(folder / "state.db"), socket]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **told}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 20
            while not wire.answers(socket):
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield socket
        finally:
            process.terminate()
            process.wait(10)


def test_an_agent_acts_on_its_environment_and_its_file_and_explains_them(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shell.file("InterfaceExclude = eth0\nFailsafeInboundHostPorts = none\n", "felix.cfg")
    endpoint = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: all}
spec: {interfaceName: eth0, node: me}
"""
    shell("apply", "-f", shell.file(SETTINGS + "---\n" + endpoint))
    told = {"FELIX_XDPEnabled": "yes", "FELIX_BPFLogLevel": "loud", "FELIX_DisableConntrackInvalidCheck": "perhaps"}
    with agent(shell.folder, told) as socket:
        assert run(["--socket", socket, "config", "explain", "-o", "json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["node"] == "me"
        found = {one["name"]: one for one in answer["parameters"]}
        assert (found["XDPEnabled"]["value"], found["XDPEnabled"]["source"]) == ("true", "environment")
        assert (found["InterfaceExclude"]["value"], found["InterfaceExclude"]["source"]) == ("eth0", file)
        assert (found["FailsafeInboundHostPorts"]["value"]) == "none"
        assert "'loud' is none of Off, Info, Debug" in found["BPFLogLevel"]["said"][0]["problem"]
        # The same question by way of the file goes to the agent that serves it.
        code, out, err = shell("config", "explain", "XDPEnabled")
        assert (code, err) == (0, "")
        assert "true, from environment (FELIX_XDPEnabled)" in out
        # Another node's environment is not known to this agent.
        assert run(["--socket", socket, "--node", "you", "config", "explain"]) == 0
        out, err = capsys.readouterr()
        assert "environment and file of you are not known here" in err
        assert rows(out)["XDPEnabled"].startswith("false FelixConfiguration(default)")
        # What is enforced: the excluded interface has no endpoint, and no failsafe port is open.
        assert run(["--socket", socket, "status", "-o", "json"]) in (0, 1)
        status = json.loads(capsys.readouterr().out)
        assert any("'perhaps' is neither true nor false" in warning for warning in status["warnings"])
        assert [one["interfaces"] for one in status["enforced"]["endpoints"]] == [[]]


@pytest.mark.parametrize(
    "told",
    [{"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:ssh"}, {"FELIX_InterfacePrefix": "none"}, {"FELIX_MetadataPort": "x"}],
)
def test_an_agent_does_not_start_with_a_value_that_must_not_be_passed_over(
    shell: Shell, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in told.items():
        monkeypatch.setenv(name, text)
    code, _, err = shell("agent", "run", "--socket", str(shell.folder / "a.sock"))
    assert code == Code.USAGE.exit_code
    assert f"environment: {next(iter(told))}: " in err
    assert not shell.datastore.exists()


def test_a_packet_is_traced_with_what_an_agent_here_would_be_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("apply", "-f", shell.file(SETTINGS))
    endpoint = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: eth0}
spec: {interfaceName: eth0, node: me, expectedIPs: [10.0.0.5]}
"""
    shell("apply", "-f", shell.file(endpoint))
    packet = ("trace", "203.0.113.9", "10.0.0.5", "tcp/22", "--in", "eth0", "-o", "json")
    assert json.loads(shell(*packet)[1])["reason"] == "failsafe"
    monkeypatch.setenv("FELIX_FAILSAFEINBOUNDHOSTPORTS", "none")
    assert json.loads(shell(*packet)[1])["verdict"] == "deny"
    monkeypatch.setenv("FELIX_FAILSAFEINBOUNDHOSTPORTS", "ssh")
    assert shell(*packet)[0] == 2
