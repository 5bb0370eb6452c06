"""The database file of the SQLite store: finding or making it, its tables, and what its failures mean to a person.

The application id says that a file is ours, user_version which schema it has. A file of another program or of a newer
tortie is refused and left as it is.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tortie.store.protocol import Unavailable

APPLICATION_ID = 0x746F7274  # "tort"
VERSION = 1
BUSY_TIMEOUT_S = 5.0
WAL_LIMIT_BYTES = 16 * 2**20

# One copy of each value: `document` points at the row of the log that wrote it, which compaction therefore keeps.
# `log_key` serves `at`, `log_revision` serves watch, history and compaction.
TABLES = """
CREATE TABLE datastore (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uid TEXT NOT NULL,
  revision INTEGER NOT NULL,
  compacted INTEGER NOT NULL
) STRICT;
CREATE TABLE log (
  seq INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  value BLOB,
  time_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX log_revision ON log (revision);
CREATE UNIQUE INDEX log_key ON log (kind, namespace, name, revision);
CREATE TABLE document (
  kind TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (kind, namespace, name)
) STRICT, WITHOUT ROWID;
"""


def connect(path: str, *, create: bool) -> sqlite3.Connection:
    """A connection to the datastore in that file, in autocommit mode; `create`: make it where there is none, or in an
    empty file.

    The path is absolute.

    Raises: Unavailable.
    """
    with failures_named(path):
        _require_file(path, create)
        connection = sqlite3.connect(_uri(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _prepare(connection, path, create)
        except BaseException:
            connection.close()
            raise
        return connection


def is_unmade(path: str) -> bool:
    """Whether nothing was ever stored in that file: there is none, or it is empty."""
    try:
        return os.stat(path).st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False  # who opens it is told why that is impossible


def _uri(path: str) -> str:
    """The file, which has to be there, to be read and written. Source: sqlite.org/uri.html section 3.1."""
    return f"file://{path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=rw"


@contextmanager
def failures_named(path: str, *, is_writing: bool = False) -> Iterator[None]:
    """Turn what SQLite and the file system raise into Unavailable, with the file and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error, is_writing=is_writing) from error
    except OSError as error:
        remedy = "run as root, or name another file with --datastore"
        raise Unavailable(f"{path}: {error.strerror or error}: {remedy}") from error


def identity(path: str) -> tuple[int, ...]:
    """What tells this file and its log from others put in their place. Raises: Unavailable if one is missing."""
    try:
        file, wal = os.stat(path), os.stat(f"{path}-wal")
    except OSError:
        raise replaced(path) from None
    return file.st_dev, file.st_ino, wal.st_ino


def replaced(path: str) -> Unavailable:
    """The answer to a file that was swapped under us: what is written to it now would be lost."""
    return Unavailable(f"{path}: was deleted or replaced while in use: open it again (restart the agent)")


def damaged(path: str, what: str) -> Unavailable:
    """The answer to a file that is ours but cannot be read."""
    return Unavailable(
        f"{path}: is damaged ({what}): put a backup in its place, or move it away and apply the documents again"
    )


def _require_file(path: str, create: bool) -> None:
    """See that there is a regular file; makes the folder (0700) and an empty file (0600)."""
    # Never open and close an existing database: closing any descriptor of it drops this process's locks on the file
    # (POSIX advisory locks), also those of another connection. O_EXCL touches only a file that nobody has open.
    if create:
        folder = os.path.dirname(path)
        _make_folder(folder)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _sync_folder(folder)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise Unavailable(f"{path}: there is no datastore: start the agent, or create one with tortie apply") from None
    if not stat.S_ISREG(mode):
        raise Unavailable(f"{path}: is not a regular file: name the file of a datastore")


def _make_folder(folder: str) -> None:
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_folder(parent)
    with suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
    _sync_folder(parent)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _prepare(connection: sqlite3.Connection, path: str, create: bool) -> None:
    is_fresh = _require_ours(connection, path)
    if is_fresh and not create:
        raise Unavailable(f"{path}: is empty, no datastore yet: start the agent, or make it one with tortie apply")
    if is_fresh:
        _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    if is_fresh:
        _create_tables(connection, path)
    if _pragma(connection, "journal_mode") != "wal":
        raise Unavailable(f"{path}: is not in WAL mode: run PRAGMA journal_mode = WAL on it with sqlite3")


def _require_ours(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file is still empty. Raises: Unavailable for a file of another program or a newer version."""
    connection.execute("BEGIN")
    try:
        application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        connection.execute("COMMIT")
    if application == 0 and version == 0 and tables == 0:
        return True
    if application != APPLICATION_ID:
        raise Unavailable(f"{path}: is the database of another program: name the file of a datastore")
    if version != VERSION:
        raise Unavailable(
            f"{path}: has schema version {version}, this tortie knows {VERSION}: install the version that wrote it"
        )
    return False


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # Two processes that meet here on a new file: SQLite answers "locked" at once, without its busy timeout.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _create_tables(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO datastore VALUES (1, ?, 0, 0)", (os.urandom(16).hex(),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    # Another process may have been first, and may have been another version.
    _require_ours(connection, path)


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def _explain(path: str, error: sqlite3.Error, *, is_writing: bool) -> Unavailable:
    if isinstance(error, sqlite3.ProgrammingError):
        return Unavailable(f"{path}: {str(error).rstrip('.').lower()}: open it again")
    # Primary result codes; the extended ones have details above the low byte. Source: sqlite.org/rescode.html.
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            text = f"another process kept it locked for {BUSY_TIMEOUT_S:g} s: find it with fuser, then try again"
        case sqlite3.SQLITE_READONLY:
            text = "is read-only: make the file and its folder writable, or run as root"
        case sqlite3.SQLITE_FULL:
            text = "no space left: free some on its file system, then try again; nothing was written"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            text = "cannot be opened: make the file and its folder readable and writable, copy it, or run as root"
        case sqlite3.SQLITE_NOTADB:
            text = "is no database: name the file of a datastore"
        case sqlite3.SQLITE_IOERR:
            text = f"{error}: check the disk and its file system"
        case sqlite3.SQLITE_TOOBIG if is_writing:  # else it is what a damaged page says of its content
            text = "a document is too big: make it smaller"
        case _:
            return damaged(path, str(error))
    return Unavailable(f"{path}: {text}")
