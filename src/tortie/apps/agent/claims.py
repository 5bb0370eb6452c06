"""What only one agent may have at a time, and how others find it.

A claim is a lock on a file. It dies with its holder: what a killed agent leaves is a file that means nothing without
the lock, and that the next holder takes over.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tortie.apps.beacons import beacons_of, is_held
from tortie.apps.defaults import RUN_FOLDER
from tortie.apps.failure import Code, Failure


@contextmanager
def claim(path: Path, taken: str) -> Iterator[int]:
    """The descriptor of the locked file, which is removed at the end.

    Raises: Failure with the text `taken` if another process has the lock.
    """
    private_folder(path.parent)
    descriptor = _locked(path, taken)
    try:
        yield descriptor
    finally:
        # While the lock is still held: whoever opened the file before now finds that it has lost its name.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, taken: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Failure(Code.FAILED, taken) from None
        # The holder before us removed the file between our opening and our locking it: that lock means nothing.
        os.close(descriptor)


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)


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
    path = Path(beacons_of(datastore)) / f"{os.getpid()}.json"
    with claim(path, f"{path}: held by another process") as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"socket": str(socket), "pid": os.getpid(), "node": node}).encode())
        _sweep(path.parent, path)
        yield


def _sweep(folder: Path, mine: Path) -> None:
    """Remove what killed agents left behind."""
    for path in folder.glob("*.json"):
        if path != mine and not is_held(path):
            path.unlink(missing_ok=True)
