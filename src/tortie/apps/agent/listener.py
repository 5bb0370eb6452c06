"""The unix socket that the API answers on: ours alone, closed to others from its first moment."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tortie.apps.agent.claims import claim
from tortie.apps.failure import Code, Failure

BACKLOG = 256


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """A listening socket of mode 0600 at the path, which is removed at the end.

    What a killed agent left there is replaced; a path that another agent answers on, or that is no socket, is not.
    Raises: Failure.
    """
    taken = f"another agent answers on {path}; give this one its own --socket"
    with claim(path.with_name(path.name + ".lock"), taken):
        _remove_stale(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as listener:
            _bind_private(listener, path)
            listener.listen(BACKLOG)
            try:
                yield listener
            finally:
                path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    if path.is_socket():
        path.unlink()
    elif path.exists() or path.is_symlink():
        raise Failure(Code.FAILED, f"{path}: exists and is no socket; remove it or give another --socket")


def _bind_private(listener: socket.socket, path: Path) -> None:
    # The mode is in place before the name is: there is no moment at which somebody else could connect.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise Failure(Code.FAILED, f"{path}: {error.strerror or error}; give another --socket") from None
    finally:
        os.umask(before)
