"""The embedded datastore: one SQLite file that the agent and any number of commands read and write at once.

An acknowledged commit survives a crash and a power loss (WAL, synchronous=FULL); half of one is never seen. The log of
revisions is the store: documents, watch, history and `at` are views of it. Calls do not suspend, they run where they
are called; a commit waits for the disk, and for another writer at most BUSY_TIMEOUT_S.
"""

import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import TYPE_CHECKING, Self

from tortie.store.protocol import Batch, Entry, Event, Gone, Key, NotFound, StoreError, Unavailable, Write
from tortie.store.schema import connect, damaged, failures_named, identity, replaced
from tortie.store.transaction import require_text, stage

if TYPE_CHECKING:
    from tortie.store.inotify import FileBell

POLL_S = 1.0
"""How late a watch notices a commit whose announcement was lost, or of a program that announces nothing (sqlite3)."""
_BATCHES_PER_READ = 256

_DOCUMENTS = """
SELECT kind, namespace, name, value, revision FROM document JOIN log USING (kind, namespace, name, seq)
WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR namespace = ?2) AND (?3 IS NULL OR instr(value, ?3))
ORDER BY kind, namespace, name
"""
_DOCUMENT = """
SELECT log.value, log.revision FROM document JOIN log USING (seq)
WHERE document.kind = ? AND document.namespace = ? AND document.name = ?
"""
_CHANGES = """
SELECT kind, namespace, name, value, revision, time_ns FROM log WHERE revision > ? AND revision <= ? ORDER BY seq
"""
# SQLite takes the other columns from the row of the maximum. Source: sqlite.org/lang_select.html, "bare columns".
_AS_OF = """
SELECT kind, namespace, name, value, max(revision) FROM log WHERE revision <= ?
GROUP BY kind, namespace, name HAVING value IS NOT NULL ORDER BY kind, namespace, name
"""
# What nobody can ask for any more: deletions, and versions that a newer one replaced by then.
_COMPACT = """
DELETE FROM log WHERE revision <= ?1 AND (value IS NULL OR EXISTS (
  SELECT 1 FROM log AS newer WHERE newer.kind = log.kind AND newer.namespace = log.namespace AND newer.name = log.name
  AND newer.revision > log.revision AND newer.revision <= ?1))
"""


class SqliteStore:
    """A datastore in a file; open it with `SqliteStore.open`. For one thread; any number may be open on a file.

    `uid` names the datastore for as long as it lives, whatever its path.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, keep_revisions: int) -> None:
        self.path = path
        self._connection = connection
        self._keep = keep_revisions
        self._bell: FileBell | None = None
        with failures_named(path):
            row: tuple[str] | None = connection.execute("SELECT uid FROM datastore").fetchone()
        if row is None:
            raise damaged(path, "no uid")
        (self.uid,) = row
        # Read after the first query, which makes the log file if there is none.
        self._identity = identity(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, create: bool = True, keep_revisions: int = 10_000) -> Self:
        """The datastore in that file; `create`: made where there is none, in a folder of mode 0700.

        At least the newest `keep_revisions` transactions are kept for watch, history and `at`. Raises: Unavailable.
        """
        if "\0" in str(path):
            raise Unavailable(f"{str(path)!r} is no file name: name the file of a datastore")
        real = os.path.realpath(path)
        connection = connect(real, create=create)
        try:
            return cls(real, connection, keep_revisions)
        except BaseException:
            connection.close()
            raise

    async def get(self, key: Key) -> Entry:
        """The newest version. Raises: NotFound, Unavailable."""
        with self._transaction("DEFERRED"):
            entry = self._document(key) if _is_text(*key) else None
        if entry is None:
            raise NotFound(f"{key} does not exist")
        return entry

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        """All documents (of a kind, in a namespace, with these bytes), sorted by key, and their revision.

        Raises: Unavailable.
        """
        with self._transaction("DEFERRED"):
            _, revision = self._span()
            if not _is_text(kind or "", namespace or ""):
                return (), revision
            return _entries(self._connection.execute(_DOCUMENTS, (kind, namespace, holding))), revision

    async def commit(self, writes: Sequence[Write]) -> int:
        """The new revision, safe on disk; every write or none. Raises: Conflict, NotFound, Unavailable."""
        with self._transaction("IMMEDIATE"):
            compacted, newest = self._span()
            revision = newest + 1
            events = stage(writes, revision, self._document)
            if not events:
                return newest
            self._write(events, time.time_ns())
            if revision - compacted > self._keep + self._keep // 10:
                compacted = revision - self._keep
                self._connection.execute(_COMPACT, (compacted,))
            self._connection.execute("UPDATE datastore SET revision = ?, compacted = ?", (revision, compacted))
        self._announce()
        return revision

    def watch(self, revision: int) -> AsyncGenerator[Batch, None]:
        """Every later transaction in order. Raises: Gone, Unavailable (also when the file is deleted or replaced)."""
        # Imported here because asyncio takes longer to load than a command that never watches takes to run.
        from tortie.store.inotify import FileBell
        from tortie.store.watch import follow

        self._bell = self._bell or FileBell(self.path)
        return follow(self._bell, self._after, revision, POLL_S)

    async def history(self, limit: int = 20) -> Sequence[Batch]:
        """The newest transactions, newest first. Raises: Unavailable."""
        with self._transaction("DEFERRED"):
            compacted, newest = self._span()
            return self._batches(max(compacted, newest - max(limit, 0)), newest)[::-1]

    async def at(self, revision: int) -> Sequence[Entry]:
        """Every document as it was at that revision. Raises: Gone, Unavailable."""
        with self._transaction("DEFERRED"):
            self._require_revision(revision)
            return _entries(self._connection.execute(_AS_OF, (revision,)))

    async def close(self) -> None:
        """Release the file; ends every watch."""
        self._connection.close()
        if self._bell:
            self._bell.ring()

    @contextmanager
    def _transaction(self, mode: str) -> Iterator[None]:
        """One view of the store, and for IMMEDIATE one change of it: committed at the end, undone by any exception."""
        connection = self._connection
        with failures_named(self.path, is_writing=mode == "IMMEDIATE"):
            connection.execute(f"BEGIN {mode}")
            try:
                if identity(self.path) != self._identity:
                    raise replaced(self.path)
                yield
                connection.execute("COMMIT")
            finally:
                # SQLite itself has rolled back after some errors (disk full, I/O).
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")

    def _span(self) -> tuple[int, int]:
        """The compacted revision, and the newest."""
        row = self._connection.execute("SELECT compacted, revision FROM datastore").fetchone()
        if row is None:
            raise damaged(self.path, "no revision")
        compacted, newest = row
        return compacted, newest

    def _require_revision(self, revision: int) -> int:
        compacted, newest = self._span()
        if not compacted <= revision <= newest:
            raise Gone(f"{self.path}: revision {revision} is not kept ({compacted} to {newest} are): list again")
        return newest

    def _document(self, key: Key) -> Entry | None:
        row = self._connection.execute(_DOCUMENT, key).fetchone()
        return Entry(key, *row) if row else None

    def _after(self, revision: int) -> Sequence[Batch]:
        with self._transaction("DEFERRED"):
            newest = self._require_revision(revision)
            return self._batches(revision, min(newest, revision + _BATCHES_PER_READ)) if newest > revision else ()

    def _batches(self, after: int, last: int) -> Sequence[Batch]:
        rows = self._connection.execute(_CHANGES, (after, last))
        return tuple(_batch(revision, group) for revision, group in groupby(rows, key=lambda row: int(row[4])))

    def _write(self, events: Iterable[Event], time_ns: int) -> None:
        for event in events:
            seq = self._connection.execute(
                "INSERT INTO log (revision, kind, namespace, name, value, time_ns) VALUES (?, ?, ?, ?, ?, ?)",
                (event.revision, *event.key, event.value, time_ns),
            ).lastrowid
            if event.value is None:
                self._connection.execute(
                    "DELETE FROM document WHERE kind = ? AND namespace = ? AND name = ?", event.key
                )
            else:
                self._connection.execute("REPLACE INTO document VALUES (?, ?, ?, ?)", (*event.key, seq))

    def _announce(self) -> None:
        """Tell the watchers of all processes (see inotify.py). They would notice by themselves, only later."""
        with suppress(OSError):
            os.utime(self.path)
        if self._bell:
            self._bell.ring()


def _is_text(*words: str) -> bool:
    try:
        require_text(Key("", "", "".join(words)))
    except StoreError:
        return False
    return True


def _entries(rows: Iterable[tuple[str, str, str, bytes, int]]) -> Sequence[Entry]:
    return tuple(Entry(Key(kind, namespace, name), value, revision) for kind, namespace, name, value, revision in rows)


def _batch(revision: int, rows: Iterable[tuple[str, str, str, bytes | None, int, int]]) -> Batch:
    whole = tuple(rows)
    events = tuple(Event(Key(kind, namespace, name), value, revision) for kind, namespace, name, value, *_ in whole)
    return Batch(revision, events, time_ns=whole[0][-1])
