"""A bell that other processes ring: the kernel's inotify on the folder of a database file.

A committing process sets the file's times after the commit (sqlite.py), which the kernel reports as IN_ATTRIB.
Because: IN_MODIFY of the write-ahead log comes too early. SQLite writes its frames, syncs them, and only then shows
them to readers through shared memory, which inotify does not see; a reader woken by the write would find nothing new.
"""

import asyncio
import ctypes
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tortie.store.watch import Bell

# Source: linux/inotify.h.
_ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLYDIR = 0x1000000
_INTEREST = _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_ABOUT_FOLDER = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _Q_OVERFLOW | _IGNORED
_HEADER = struct.Struct("=iIII")
_READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class FileBell(Bell):
    """Rings when another process announces a commit, and when the file comes, goes or is replaced."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = Path(path)
        self._names = {os.fsencode(self._path.name), os.fsencode(self._path.name) + b"-wal"}
        self._fd = -1

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """As Bell.listen; the first listener opens the descriptor, the last one closes it.

        One descriptor for all watchers of a store: a user has only 128 by default.
        """
        with super().listen() as listener:
            if self._fd < 0:
                self._open()
            try:
                yield listener
            finally:
                if self._fd >= 0 and len(self._listeners) == 1:
                    self._close()

    def _open(self) -> None:
        try:
            fd = _watch_folder(self._path.parent)
        except OSError as error:
            log.warning(
                "%s: inotify: %s: changes by other processes are noticed late; raise fs.inotify.max_user_instances",
                self._path,
                error.strerror,
            )
            return
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._on_readable)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        os.close(fd)

    def _on_readable(self) -> None:
        try:
            events = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        offset = 0
        concerns_us = False
        while offset < len(events):
            _, mask, _, length = _HEADER.unpack_from(events, offset)
            offset += _HEADER.size
            name = events[offset : offset + length].rstrip(b"\0")
            offset += length
            concerns_us |= bool(mask & _ABOUT_FOLDER) or name in self._names
        if concerns_us:
            self.ring()


def _watch_folder(folder: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _error(folder)
    if libc.inotify_add_watch(fd, os.fsencode(folder), ctypes.c_uint32(_INTEREST)) < 0:
        error = _error(folder)
        os.close(fd)
        raise error
    return int(fd)


def _error(folder: Path) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), str(folder))
