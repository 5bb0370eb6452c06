"""What the tests of the commands share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent_thread import agent_at
from apps.shell import Shell


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORTIE_DATASTORE", "TORTIE_SOCKET", "TORTIE_NODE", "VISUAL", "EDITOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """On a datastore file."""
    return Shell(tmp_path, capsys)


@pytest.fixture(params=["file", "socket"])
def either(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """On a datastore file, and then on an agent's socket: what they print has to be the same."""
    if request.param == "file":
        yield Shell(tmp_path, capsys)
        return
    path = tmp_path / "run" / "agent.sock"
    with agent_at(path):
        yield Shell(tmp_path, capsys, path)
