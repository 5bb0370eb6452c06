"""What tests of drivers share."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tortie.kernel import bpf


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A place for pins of the test's own."""
    path = tmp_path / "bpf"
    yield path
    if path.exists() and bpf.is_bpffs(path):
        subprocess.run(["umount", path], check=True)
