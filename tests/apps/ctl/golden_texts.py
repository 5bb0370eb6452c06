"""What commands print, as files that a person can read: each `$ tortie ...` followed by its output.

python tests/apps/ctl/golden_texts.py    writes every file of tests/golden/explain anew
"""

import contextlib
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tortie.apps.ctl.main import run

FOLDER = Path(__file__).parents[2] / "golden" / "explain"
_NOWHERE = ("--datastore", "/nonexistent/state.db")


def commands(text: str) -> list[str]:
    """The commands of such a file."""
    return [line.removeprefix("$ tortie ") for line in text.splitlines() if line.startswith("$ tortie ")]


def rendered(text: str) -> str:
    """The file with what its commands print now."""
    return "\n".join(line for command in commands(text) for line in _told(command))


def _told(command: str) -> Iterator[str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out), contextlib.chdir(FOLDER):
        code = run([*_NOWHERE, *shlex.split(command)])
    yield f"$ tortie {command}"
    yield out.getvalue().rstrip("\n")
    if code:
        yield f"exit code {code}"
    yield ""


if __name__ == "__main__":
    os.environ.pop("TORTIE_NODE", None)
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
