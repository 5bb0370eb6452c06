"""Pins: names in a bpffs that keep maps, programs and links alive without a process."""

import os
from pathlib import Path

from tortie.kernel._bpf import lib
from tortie.kernel.bpf.calls import checked


def pin(fd: int, path: Path) -> None:
    """Give a map, program or link a name. Raises: KernelError EEXIST where the name is taken."""
    checked(lib.bpf_obj_pin(fd, os.fsencode(path)), f"pin {path}", "" if is_bpffs(path.parent) else _NOT_BPFFS)


_NOT_BPFFS = "its folder is not in a bpffs: mount one there"


def open_pin(path: Path) -> int:
    """Descriptor of what is pinned there, which the caller closes."""
    return checked(lib.bpf_obj_get(os.fsencode(path)), f"open pin {path}")


def is_bpffs(path: Path) -> bool:
    """Whether a folder is in a bpffs; False where there is no such folder."""
    return lib.tortie_bpffs_is(os.fsencode(path)) == 1


def mount_bpffs(path: Path) -> None:
    """Make sure that a folder is in a bpffs: create it and mount one there if it is not.

    Because: a bpffs below /sys goes with the private mount namespace that `ip netns exec` makes, and the pins with it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_bpffs(path):
        checked(lib.tortie_bpffs_mount(os.fsencode(path)), f"mount bpffs on {path}")
