"""What holds for every test: nothing of the agents that tests ran stays mounted."""

import os
from collections.abc import Iterator

import pytest

from tortie.dataplane.ebpf.driver import BPFFS
from tortie.kernel import bpf


@pytest.fixture(scope="session", autouse=True)
def no_bpffs_left() -> Iterator[None]:
    """Agents in namespaces mount the bpffs in the place of the host's; killed ones leave empty folders in it."""
    if os.geteuid() != 0 or bpf.is_bpffs(BPFFS):
        yield
        return
    yield
    if not bpf.is_bpffs(BPFFS):
        return
    for folder in sorted((path for path in BPFFS.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    bpf.unmount_bpffs(BPFFS)  # not where another run of tests beside this one has something in it
