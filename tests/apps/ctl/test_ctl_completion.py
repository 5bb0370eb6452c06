"""What shells are given to complete words with, and the manual pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from apps.documents import PAIR
from tortie.apps.ctl.commands.completion import SHELLS, VARIABLE
from tortie.apps.ctl.forms import FORMS
from tortie.apps.ctl.main import COMMANDS, cli, run
from tortie.apps.ctl.manual import pages
from tortie.resources.felix import PARAMETERS
from tortie.resources.kinds import KINDS

IN_SHOP = """\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: inshop, namespace: shop}
spec: {selector: all()}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: shop}
spec: {node: n1, orchestrator: k8s, workload: w, pod: w, endpoint: eth0, interfaceName: c1, ipNetworks: [10.1.1.1]}
"""
TORTIE = Path(sys.executable).with_name("tortie")


@pytest.fixture
def complete(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for name in ("TORTIE_DATASTORE", "TORTIE_SOCKET", "TORTIE_NODE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "doc.yaml"
    path.write_text(f"{PAIR}---\n{IN_SHOP}", "utf-8")
    assert run(["--datastore", str(tmp_path / "state.db"), "apply", "-f", str(path)]) == 0
    capsys.readouterr()

    def completed(words: str) -> list[str]:
        """The words offered for the last one of the line."""
        line = words.replace("STORE", str(tmp_path / "state.db"))
        monkeypatch.setenv("COMP_WORDS", f"tortie {line}")
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ") + 1))
        monkeypatch.setenv(VARIABLE, "bash_complete")
        with pytest.raises(SystemExit):
            run([])
        out, err = capsys.readouterr()
        assert err == ""
        return [line.removeprefix("plain,") for line in out.splitlines() if line]

    return completed


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ge", ["get"]),
        ("selector ", ["test"]),
        ("get gn", ["gnp", "gns"]),
        ("get hostend", ["hostendpoints"]),
        ("get HostEnd", ["hostendpoints"]),
        ("--datastore STORE get hep ", ["node2-eth0"]),
        ("get --datastore STORE gnp re", ["redis"]),
        ("get --datastore STORE gnp redis ", []),
        ("delete --datastore STORE gnp r", ["redis"]),
        ("get --datastore /nowhere/at/all hep ", []),
        ("get nokind ", []),
        ("get hep -o ", [*FORMS]),
        ("get hep --ou", ["--output"]),
        ("explain-schema gnp.spec.in", ["gnp.spec.ingress"]),
        ("explain-schema gnp.nothing.", []),
        ("completion ", [*SHELLS]),
        ("get hep,gn", ["hep,gnp", "hep,gns"]),
        ("get --datastore STORE hep,gnp ", ["node2-eth0", "redis"]),
        ("get --datastore STORE gnp/", ["gnp/redis"]),
        ("get --datastore STORE gnp/redis hep/n", ["hep/node2-eth0"]),
        ("label --datastore STORE hep/n", ["hep/node2-eth0"]),
        ("get --datastore STORE -n shop np ", ["inshop"]),
        ("get --datastore STORE np ", []),
        ("delete --datastore STORE -n shop wep ", ["n1-k8s-w-eth0"]),
        ("config explain XDPEn", ["XDPEnabled"]),
        ("config explain xdpEn", ["xdpEnabled"]),
        ("config explain XDPEN", ["XDPEnabled", "xdpEnabled"]),
        ("config explain nothing", []),
        ("apply -f ", ["file,"]),
    ],
)
def test_words_are_completed(complete, words: str, offered: list[str]) -> None:
    assert complete(words) == offered


def _params(command: click.Command) -> list[click.Parameter]:
    inner = command.commands.values() if type(command) is click.Group else ()
    return [*command.params, *(param for each in inner for param in _params(each))]


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_files_are_completed_wherever_a_file_is_asked_for(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name) if name else cli
    assert command is not None
    for param in _params(command):
        if param.metavar and {"FILE", "DIR", "PATH"} & {*re.findall(r"\w+", param.metavar)}:
            (item,) = param.shell_complete(context, "x")
            assert (item.value, item.type) == ("x", "file"), param.name


def test_every_parameter_is_offered_once(complete) -> None:
    assert complete("config explain ") == [one.name for one in PARAMETERS]


def test_every_kind_is_offered(complete) -> None:
    assert complete("get ") == [kind.plural for kind in KINDS.values()]


def test_every_command_is_offered_without_loading_any(complete) -> None:
    assert complete("") == [*COMMANDS]
    code = (
        "import sys; from tortie.apps.ctl.main import run\n"
        "try: run([])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.startswith('tortie.apps.ctl.commands.') for name in sys.modules))"
    )
    environment = {**os.environ, "COMP_WORDS": "tortie ", "COMP_CWORD": "1", VARIABLE: "bash_complete"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_one_for_that_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True, capture_output=True)


def test_bash_completes_with_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["completion", "bash"])
    script = capsys.readouterr().out
    ask = 'COMP_WORDS=(tortie sel); COMP_CWORD=1; _tortie_completion tortie 2> /dev/null; echo "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{TORTIE.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, env=environment, check=True)
    assert done.stdout == b"selector\n"


def test_there_is_a_manual_page_for_each_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["man", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"tortie.1", *(f"tortie-{name}.1" for name in COMMANDS)}


PAGES = pages(cli)


@pytest.mark.parametrize("name", PAGES)
def test_a_manual_page_has_its_sections_and_only_known_requests(name: str) -> None:
    text = PAGES[name]
    sections = re.findall(r"^\.SH (.*)$", text, re.M)
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert {"OPTIONS", "EXAMPLES", "EXIT STATUS"} <= {*sections}
    assert len(sections) == len({*sections})
    assert {*re.findall(r"^[.'](\w*)", text, re.M)} <= {"TH", "SH", "SS", "PP", "TP", "B", "BR", "I", "nf", "fi"}
    assert re.search(r"(?<!\\)-", text) is None  # a bare hyphen cannot be copied into a shell
    assert {*re.findall(r"\\(\(\w\w|.)", text)} <= {"-", "e", "&", "(ga", "(aq", "(ha", "(ti", "(dq"}
    assert "\n\n" not in text


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed: its warnings cannot be asked for")
@pytest.mark.parametrize("name", PAGES)
def test_groff_warns_of_nothing_in_a_manual_page(name: str) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"], input=PAGES[name].encode(), capture_output=True, check=True
    )
    assert done.stderr == b""


def _options(command: click.Command) -> set[str]:
    inner = command.commands.values() if isinstance(command, click.Group) and command is not cli else ()
    own = {name for param in command.params if isinstance(param, click.Option) for name in param.opts}
    return own.union(*map(_options, inner))


def test_manual_pages_name_every_option_of_their_commands() -> None:
    context = click.Context(cli)
    for name, text in PAGES.items():
        command = cli if name == "tortie.1" else cli.get_command(context, name[len("tortie-") : -2])
        assert [each for each in _options(command) if each.replace("-", r"\-") not in text] == []
