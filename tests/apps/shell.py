"""Commands in this process, on one datastore file that no agent serves, or on an agent's socket."""

from pathlib import Path

import pytest

from tortie.apps.ctl.main import run


class Shell:
    """Runs commands on one datastore file, or on `socket` if there is one."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], socket: Path | None = None) -> None:
        self.folder, self._capture, self.socket = folder, capture, socket
        self.datastore = folder / "store" / "state.db"

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        where = ["--datastore", str(self.datastore)] if self.socket is None else ["--socket", str(self.socket)]
        code = run([*where, *arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def file(self, text: str, name: str = "doc.yaml") -> str:
        """The path of a file that holds this."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)
