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


def pin_over(fd: int, path: Path) -> None:
    """Give it that name, whatever had it before: at every moment one of the two has it. Raises: KernelError."""
    if not path.exists():
        pin(fd, path)
        return
    new = path.with_name(f"{path.name}+new")
    new.unlink(missing_ok=True)
    pin(fd, new)
    new.rename(path)


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


def durable_bpffs(path: Path) -> Path:
    """Where a bpffs mounted on `path` is reached from here; mounted if it is not yet, outside of private mounts.

    Because: `ip netns exec` and service managers give a process a private mount namespace; a bpffs mounted there goes
    with the process, and what is pinned in it with the bpffs. The mount is then made in the mount namespace of the
    first process, or of the oldest ancestor that may be looked at, and reached through a descriptor.
    """
    outside = _outside()
    if outside is None:
        mount_bpffs(path)
        return path
    seen = outside / "root" / path.relative_to("/")
    seen.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_bpffs(seen):
        _enter(outside, "mount", "-t", "bpf", "-o", "mode=0700", "bpf", str(path))
    return Path(f"/proc/self/fd/{os.open(seen, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)}")


def mounted_bpffs(path: Path) -> Path | None:
    """Where the bpffs that `durable_bpffs` made for `path` is reached from here; None where there is none."""
    outside = _outside()
    seen = path if outside is None else outside / "root" / path.relative_to("/")
    return seen if is_bpffs(seen) else None


def is_current(path: Path, reached: Path) -> bool:
    """Whether what `durable_bpffs` answered for `path` is still what is mounted there."""
    outside = _outside()
    seen = path if outside is None else outside / "root" / path.relative_to("/")
    try:
        return is_bpffs(reached) and is_bpffs(seen) and seen.stat().st_dev == reached.stat().st_dev
    except OSError:
        return False


def unmount_bpffs(path: Path) -> bool:
    """Undo `durable_bpffs` if nothing is pinned there any more; whether it did."""
    outside = _outside()
    seen = path if outside is None else outside / "root" / path.relative_to("/")
    if not is_bpffs(seen) or any(_is_used(entry) for entry in seen.iterdir()):
        return False
    if outside is None:
        _child("umount", str(path))
    else:
        _enter(outside, "umount", str(path))
    return True


def _is_used(entry: Path) -> bool:
    """Whether somebody pinned something, or means to.

    The kernel puts maps.debug and progs.debug into every bpffs, and iproute2 its own folders into the first it finds.
    """
    if entry.suffix == ".debug":
        return False
    return entry.name not in ("ip", "tc", "xdp") or any(not path.is_dir() for path in entry.rglob("*"))


def _outside() -> Path | None:
    """The /proc folder of a process whose mounts outlive ours; None where ours are not private, as far as we see."""
    own = Path("/proc/self/ns/mnt").readlink()
    for pid in (1, *reversed(_ancestors())):
        try:
            theirs = Path(f"/proc/{pid}/ns/mnt").readlink()
        except (PermissionError, FileNotFoundError):
            continue
        return None if theirs == own else Path(f"/proc/{pid}")
    return None


def _ancestors() -> list[int]:
    """Pids of the parent, its parent and so on, the first process left out."""
    found: list[int] = []
    pid = os.getppid()
    while pid > 1:
        found.append(pid)
        try:
            # the name in the second field may hold anything, so count from its closing bracket
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
    return found


def _enter(process: Path, *words: str) -> None:
    """Run a command in another process's mount namespace."""
    _child("nsenter", f"--mount={process}/ns/mnt", "--", *words)


def _child(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError as error:
        raise KernelError(DOOR, " ".join(words), errno.ENOENT, f"{words[0]} is missing: install util-linux") from error
    if done.returncode:
        raise KernelError(DOOR, " ".join(words), 0, done.stderr.strip())
