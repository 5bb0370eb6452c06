"""How commands find the agents that serve a datastore file: by the beacons that these keep beside it.

A beacon is a file on which its agent holds a lock, and means nothing without; `agent/claims.py` makes it. Here and
elsewhere on the way to a datastore file paths are text. Because: `pathlib` takes 3 ms to load, with all about URLs.
"""

import fcntl
import json
import os
from typing import NamedTuple


class Serving(NamedTuple):
    """An agent that watches the file."""

    node: str
    socket: str


def beacons_of(datastore: str | os.PathLike[str]) -> str:
    """The folder beside a datastore file in which the agents that serve it say where they answer."""
    # The store resolves links, and so does everybody here: one file, one folder of beacons.
    return f"{os.path.realpath(datastore)}.agents"


def serving(datastore: str) -> list[Serving]:
    """The agents that serve the file now, by node."""
    found = []
    for path in _beacons(beacons_of(datastore)):
        if is_held(path):
            try:
                with open(path, "rb") as beacon:
                    one = json.load(beacon)
                found.append(Serving(str(one["node"]), str(one["socket"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # an agent that is just starting, or ending
    return sorted(found)


def _beacons(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return []  # nobody ever served the file, or it is not for this user to see


def is_held(path: str | os.PathLike[str]) -> bool:
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
