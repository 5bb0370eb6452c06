"""What an agent is told by its environment and its file, from outside in."""

from pathlib import Path

import pytest

from tortie.apps.defaults import FELIX_CONFIG
from tortie.apps.failure import Code, Failure
from tortie.apps.told import MOST_BYTES, remarks, settings_told, told, told_here
from tortie.model.settings import FelixSettings
from tortie.model.xdp import XdpUse


def test_the_environment_is_stronger_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "felix.cfg"
    path.write_text("[global]\nXDPEnabled = true\nBPFMapSizeConntrack = 7\n")
    levels = told({"FELIX_XDPENABLED": "false"}, path)
    assert [level.source for level in levels] == ["environment", str(path)]
    strong, weak = settings_told(levels)
    assert strong == FelixSettings(name="environment", xdp=XdpUse.NEVER)
    assert weak == FelixSettings(name=str(path), xdp=XdpUse.AUTO, conntrack_size=7)


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert [level.source for level in told({}, tmp_path / "no.cfg")] == ["environment"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"XDPEnabled", "line 1: 'XDPEnabled' is no Parameter = value"),
        (b"\xff\xfe", "can't decode"),
        (b"#" * (MOST_BYTES + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_nobody_can_read_is_a_usage_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "felix.cfg"
    path.write_bytes(content)
    with pytest.raises(Failure, match=complaint) as caught:
        told({}, path)
    assert caught.value.code is Code.USAGE
    assert str(path) in caught.value.message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        told({}, tmp_path)


def test_every_value_that_stops_an_agent_is_named_used_or_not(tmp_path: Path) -> None:
    path = tmp_path / "felix.cfg"
    path.write_text("ChainInsertMode = sideways\nHealthPort = x\n")
    variables = {"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:ssh", "FELIX_INTERFACEPREFIX": "none"}
    with pytest.raises(Failure) as caught:
        settings_told(told(variables, path))
    text = caught.value.message
    assert "FELIX_FAILSAFEINBOUNDHOSTPORTS" in text
    assert "FELIX_INTERFACEPREFIX" in text
    assert f"{path}: line 1: 'sideways' is none of Insert, Append" in text
    assert "HealthPort" not in text


def test_what_is_passed_over_is_remarked(tmp_path: Path) -> None:
    path = tmp_path / "felix.cfg"
    path.write_text("HealthPort = x\nNope = 1\nXDPEnabled = no\nxdpenabled = yes\n")
    lines = remarks(told({"FELIX_LOGFILEPATH": "none"}, path))
    assert lines == [
        "environment: not used by tortie: LogFilePath",
        f"{path}: line 1: 'x' is no whole number; expected 0 to 65535; the default 9099 holds",
        f"{path}: line 2: there is no parameter 'Nope'; it is passed over",
        f"{path}: XDPEnabled is set 2 times; line 4 holds, the last one",
        f"{path}: not used by tortie: HealthPort",
    ]
    assert remarks(told({"FELIX_XDPENABLED": "no"}, tmp_path / "none.cfg")) == []


def test_the_command_reads_the_file_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "felix.cfg"
    path.write_text("XDPEnabled = no\n")
    monkeypatch.setenv("TORTIE_FELIX_CONFIG", str(path))
    assert str(path) in [level.source for level in told_here()]
    assert FELIX_CONFIG == "/etc/calico/felix.cfg"
