"""What holds for every test: how fast an example is drawn is no property, and nothing of agents stays mounted."""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

from tortie.dataplane.ebpf.driver import BPFFS
from tortie.dataplane.ebpf.front import FOLDER
from tortie.kernel import bpf
from tortie.model.dataplane import IPTABLES, NFTABLES

# Tests run beside other work on small machines, where drawing ten examples may take a second.
settings.register_profile("tortie", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tortie")


@pytest.fixture(scope="session", autouse=True)
def no_bpffs_left() -> Iterator[None]:
    """Agents in namespaces mount bpffs in the places of the host's; killed ones leave empty folders in them."""
    places = (BPFFS, *(FOLDER / name for name in (NFTABLES, IPTABLES))) if os.geteuid() == 0 else ()
    ours = [place for place in places if not bpf.is_bpffs(place)]
    yield
    for place in ours:
        # not what another run of tests beside this one has in it, or just made
        with suppress(OSError):
            for folder in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
                if not any(folder.iterdir()):
                    folder.rmdir()
        if bpf.is_bpffs(place):
            bpf.unmount_bpffs(place)
