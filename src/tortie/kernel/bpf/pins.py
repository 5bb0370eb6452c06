"""Pins: names in a bpffs that keep maps, programs and links alive without a process."""

import errno
import os
import subprocess
from pathlib import Path

from tortie.kernel._bpf import lib
from tortie.kernel.bpf.calls import DOOR, checked
from tortie.kernel.errors import KernelError


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


_INIT = Path("/proc/1")


def durable_bpffs(path: Path) -> Path:
    """Where a bpffs mounted on `path` is reached from here; mounted if it is not yet, in the first process's view.

    Because: `ip netns exec` and service managers give a process a private mount namespace; a bpffs mounted there goes
    with the process, and what is pinned in it with the bpffs. /proc/1/root shows the mounts that stay.
    """
    try:
        is_private = Path("/proc/self/ns/mnt").readlink() != (_INIT / "ns/mnt").readlink()
    except PermissionError:
        is_private = False
    if not is_private:
        mount_bpffs(path)
        return path
    outside = _INIT / "root" / path.relative_to("/")
    outside.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_bpffs(outside):
        _outside("mount", "-t", "bpf", "-o", "mode=0700", "bpf", str(path))
    return outside


def unmount_bpffs(path: Path, reached: Path) -> None:
    """Undo `durable_bpffs` if nothing is pinned there any more; else leave it as it is."""
    # the kernel puts maps.debug and progs.debug into every bpffs
    if is_bpffs(reached) and all(path.suffix == ".debug" for path in reached.iterdir()):
        _outside("umount", str(path))


def _outside(*words: str) -> None:
    """Run a command in the mount namespace of the first process."""
    command = ["nsenter", f"--mount={_INIT}/ns/mnt", "--", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError as error:
        raise KernelError(DOOR, " ".join(words), errno.ENOENT, "nsenter is missing: install util-linux") from error
    if done.returncode:
        raise KernelError(DOOR, " ".join(words), 0, done.stderr.strip())
