"""What holds for every test: how fast an example is drawn is no property, and nothing of agents stays mounted."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tortie.dataplane.ebpf.driver import BPFFS
from tortie.kernel import bpf

# Tests run beside other work on small machines, where drawing ten examples may take a second.
settings.register_profile("tortie", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tortie")


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
