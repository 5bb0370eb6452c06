"""Settings of the kernel under /proc/sys. Those under `net` are of the calling thread's network namespace.

Source: linux/net/sysctl_net.c; a look-up goes by the namespace of the thread that opens, whatever the path's beginning.
"""

import errno
import os

from tortie.kernel.errors import KernelError

DOOR = "sysctl"
_MOST_BYTES = 64


def read_integer(*parts: str) -> int | None:
    """The integer that a setting holds, None where the kernel has no such setting.

    Shape: the path below /proc/sys part by part, `"net", "ipv4", "conf", "eth0.7", "forwarding"`.
    Because: the name of an interface may contain dots, so no text with dots between the parts would be clear.
    Raises: KernelError; EINVAL for a part that is no name of a file, EBADMSG for a setting that is no integer.
    """
    name = " ".join(parts)
    if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise KernelError(DOOR, f"read {name!r}", errno.EINVAL, "each part is the name of one file or folder")
    try:
        # Because: a third of the time that Path.read_text takes, and interfaces are read at every change.
        fd = os.open("/proc/sys/" + "/".join(parts), os.O_RDONLY | os.O_CLOEXEC)
        try:
            said = os.read(fd, _MOST_BYTES)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KernelError(DOOR, f"read {name}", error.errno or 0) from error
    try:
        return int(said)
    except ValueError as error:
        raise KernelError(DOOR, f"read {name}", errno.EBADMSG, f"{said!r} is no integer") from error


def write_integer(value: int, *parts: str) -> None:
    """Set the setting of that name (see `read_integer`). Raises: KernelError, ENOENT where the kernel has none."""
    try:
        fd = os.open("/proc/sys/" + "/".join(parts), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(DOOR, f"write {' '.join(parts)}", error.errno or 0) from error
