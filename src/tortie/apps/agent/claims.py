"""What only one agent may have at a time, and how others find it.

A claim is a lock on a file that dies with its holder, so a killed agent leaves nothing that has to be cleaned. The file
may stay; without the lock it means nothing.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tortie.apps.defaults import RUN_FOLDER, beacons_of
from tortie.apps.failure import Code, Failure


@contextmanager
def claim(path: Path, taken: str) -> Iterator[int]:
    """The descriptor of the locked file. Raises: Failure with the text `taken` if another process has the lock."""
    private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(Code.FAILED, taken) from None
        yield descriptor
    finally:
        os.close(descriptor)


def claim_namespace(inode: int) -> AbstractContextManager[int]:
    """The right to be the agent of the network namespace with that inode, which nobody can reuse while we are in it."""
    path = Path(RUN_FOLDER) / f"agent-{inode}.lock"
    return claim(path, f"another agent runs in this network namespace (it holds {path}); stop that one first")


def private_folder(folder: Path) -> None:
    """Make the folder, 0700, or check that nobody else can put things into the one there is.

    Raises: Failure.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise Failure(Code.FAILED, f"{folder}: {error.strerror}; give another path") from None
    # A sticky folder such as /tmp is fine: nobody else can replace a file of ours there.
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise Failure(Code.FAILED, f"{folder}: others may write there; use a folder that only root can write")


@contextmanager
def beacon(datastore: Path, *, socket: Path, node: str) -> Iterator[None]:
    """While this lasts, whoever writes to the datastore directly finds this agent's socket beside it."""
    # The store resolves links, and so does every reader of beacons: one file, one folder of beacons.
    path = Path(beacons_of(os.path.realpath(datastore))) / f"{os.getpid()}.json"
    with claim(path, f"{path}: held by another process") as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"socket": str(socket), "pid": os.getpid(), "node": node}).encode())
        _sweep(path.parent, path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _sweep(folder: Path, mine: Path) -> None:
    """Remove what killed agents left behind."""
    for path in folder.glob("*.json"):
        if path != mine and not is_held(path):
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether the process that wrote a beacon is alive."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
