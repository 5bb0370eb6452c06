"""How a call of the extension fails: a negative errno or NULL becomes a KernelError, with a remedy if one is known."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tortie.kernel._bpf import ffi, lib
from tortie.kernel.errors import KernelError

if TYPE_CHECKING:
    from tortie.kernel._bpf import CData, Numbers

DOOR = "bpf"

_REMEDIES = {
    errno.EPERM: "run as root, or give the process CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
    errno.ENOSYS: "the kernel is built without bpf(2); tortie needs CONFIG_BPF_SYSCALL and Linux 5.10 or newer",
    errno.ENODEV: "the interface is gone",
}

# Installs libbpf's print callback: nothing that libbpf says goes to stderr by itself.
lib.tortie_log_clear()


def checked(result: int, thing: str, detail: str = "") -> int:
    """The result of a call, once it is known to be no error."""
    if result >= 0:
        return result
    raise KernelError(DOOR, thing, -result, detail or _REMEDIES.get(-result, ""))


def pointer(result: CData, thing: str, detail: str = "") -> CData:
    """The pointer of a call, once it is known not to be NULL."""
    if result:
        return result
    raise KernelError(DOOR, thing, ffi.errno, detail or log() or _REMEDIES.get(ffi.errno, ""))


def walk(next_id: Callable[[int, Numbers], int], what: str) -> Iterator[int]:
    """Ids of all things of one kind in the kernel, those of other network namespaces too; nothing is opened."""
    found, last = ffi.new("uint32_t[]", 1), 0
    while (result := next_id(last, found)) != -errno.ENOENT:
        checked(result, f"walk {what}")
        last = found[0]
        yield last


def log() -> str:
    """What libbpf said on this thread since `clear_log`."""
    return ffi.string(lib.tortie_log_text()).decode(errors="replace").strip()


def clear_log() -> None:
    """Forget what libbpf said on this thread."""
    lib.tortie_log_clear()


def text(array: CData) -> str:
    """A name out of C memory."""
    return ffi.string(array).decode(errors="replace")
