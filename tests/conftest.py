"""What holds for every test: how fast an example is drawn is no property, and nothing of agents stays mounted."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tortie.dataplane.ebpf.driver import BPFFS
from tortie.dataplane.ebpf.front import FOLDER
from tortie.kernel import bpf
from tortie.model.dataplane import IPTABLES, NFTABLES

# Tests run beside other work on small machines, where drawing ten examples may take a second.
settings.register_profile("tortie", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tortie")
# A shell starts what is behind an `&` with Ctrl-C ignored, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
_PLACES = (BPFFS, *(FOLDER / name for name in (NFTABLES, IPTABLES))) if os.geteuid() == 0 else ()
_NOT_OURS = pytest.StashKey[frozenset[Path]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note where bpffs is mounted already."""
    session.stash[_NOT_OURS] = frozenset(filter(bpf.is_bpffs, _PLACES))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Agents in namespaces mount bpffs in the places of the host's; killed ones leave empty folders in them.

    The process that has the workers, if there are any, does it when all of them have ended.
    """
    if hasattr(session.config, "workerinput"):
        return
    for place in set(_PLACES) - session.stash[_NOT_OURS]:
        # not what another run of tests beside this one has in it, or just made
        with suppress(OSError):
            for folder in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
                if not any(folder.iterdir()):
                    folder.rmdir()
        if bpf.is_bpffs(place):
            bpf.unmount_bpffs(place)
