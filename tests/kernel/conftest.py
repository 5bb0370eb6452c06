"""The BPF fixture, compiled once a run, and a bpffs of the test's own."""

import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns import Namespace, veth_pair
from tortie.kernel import bpf


@pytest.fixture(scope="session")
def fixture_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled fixture.bpf.c."""
    made = tmp_path_factory.mktemp("bpf") / "fixture.bpf.o"
    include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    source = Path(__file__).with_name("fixture.bpf.c")
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror"]
    subprocess.run(["clang-14", *flags, include, "-c", source, "-o", made], check=True)
    return made


@pytest.fixture
def opened(fixture_object: Path) -> Iterator[bpf.ObjectFile]:
    """The fixture, open and not loaded."""
    with bpf.ObjectFile(fixture_object) as found:
        yield found


@pytest.fixture
def loaded(opened: bpf.ObjectFile) -> bpf.ObjectFile:
    """The fixture, loaded."""
    opened.load()
    return opened


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A host and its peer."""
    with veth_pair() as made:
        yield made


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpffs of this test."""
    folder = tmp_path / "bpf"
    bpf.mount_bpffs(folder)
    yield folder
    subprocess.run(["umount", folder], check=True)
