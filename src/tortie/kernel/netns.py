"""Network namespaces: which one this is, and being in another for a while."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tortie.kernel.errors import KernelError

if TYPE_CHECKING:
    import ctypes

_SO_NETNS_COOKIE = 71  # Linux 5.14; Source: asm-generic/socket.h
_CLONE_NEWNET = 0x40000000


def cookie() -> int:
    """The number of the calling thread's network namespace; the kernel never gives it again, unlike inode numbers.

    Raises: KernelError ENOPROTOOPT before Linux 5.14, where only `inode` tells namespaces apart.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        try:
            answer = asked.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError as error:
            raise KernelError("netns", "cookie", error.errno or 0, "it needs Linux 5.14") from error
    (number,) = struct.unpack("=Q", answer)
    return int(number)


def inode() -> int:
    """The inode of the calling thread's network namespace: unique only as long as the namespace lives."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """A block in which the calling thread, and what it starts, is in the network namespace at `path`.

    Because: a namespace belongs to a thread; other threads of the process stay where they are. Sockets and links keep
    the namespace that they were made in.
    """
    with _back_again():
        try:
            target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise KernelError("netns", f"enter {path}", error.errno or 0) from error
        try:
            _setns(target, str(path))
        finally:
            os.close(target)
        yield


@contextmanager
def fresh() -> Iterator[None]:
    """A block in which the calling thread, and what it starts, is in a new network namespace, gone with the block.

    Raises: KernelError.
    """
    with _back_again():
        _checked(_libc().unshare(_CLONE_NEWNET), "make a namespace")
        yield


@contextmanager
def _back_again() -> Iterator[None]:
    """A block at whose end the calling thread is in the namespace where it began."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _setns(before, "the namespace before")
        finally:
            os.close(before)


def _setns(fd: int, thing: str) -> None:
    _checked(_libc().setns(fd, _CLONE_NEWNET), f"enter {thing}")


def _libc() -> "ctypes.CDLL":
    # os.setns and os.unshare come with Python 3.12; ctypes costs start-up time, which only who changes namespaces pays.
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, thing: str) -> None:
    import ctypes

    if result:
        raise KernelError("netns", thing, ctypes.get_errno(), "it needs CAP_SYS_ADMIN")
