"""A store in memory: the whole protocol without a file. For dry runs, offline evaluation and tests."""

import os
import time
from collections.abc import AsyncGenerator, Sequence

from tortie.store.protocol import Batch, Entry, Gone, Key, NotFound, Unavailable, Write
from tortie.store.transaction import stage
from tortie.store.watch import Bell, follow


class MemoryStore:
    """A datastore for one process and one event loop. Remembers at least the newest `keep_revisions` transactions."""

    def __init__(self, *, keep_revisions: int = 10_000) -> None:
        self.uid = os.urandom(16).hex()
        self._keep = keep_revisions
        self._documents: dict[Key, Entry] = {}
        self._log: list[Batch] = []
        # The documents as of the compacted revision, which is where the log starts.
        self._base: dict[Key, Entry] = {}
        self._compacted = 0
        self._is_open = True
        self._bell = Bell()

    async def get(self, key: Key) -> Entry:
        """The newest version. Raises: NotFound."""
        self._require_open()
        try:
            return self._documents[key]
        except KeyError:
            raise NotFound(f"{key} does not exist") from None

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        """All documents (of a kind, in a namespace, with these bytes), sorted by key, and the revision they are of."""
        self._require_open()
        chosen = (
            entry
            for key, entry in self._documents.items()
            if (kind is None or key.kind == kind)
            and (namespace is None or key.namespace == namespace)
            and (holding is None or holding in entry.value)
        )
        return tuple(sorted(chosen, key=lambda entry: entry.key)), self._revision

    async def commit(self, writes: Sequence[Write]) -> int:
        """The new revision; every write or none. Raises: Conflict, NotFound."""
        self._require_open()
        revision = self._revision + 1
        events = stage(writes, revision, self._documents.get)
        if not events:
            return self._revision
        batch = Batch(revision, events, time.time_ns())
        self._log.append(batch)
        _replay(self._documents, batch)
        if len(self._log) > self._keep + self._keep // 10:
            self._compact()
        self._bell.ring()
        return revision

    def watch(self, revision: int) -> AsyncGenerator[Batch, None]:
        """Every later transaction in order. Raises: Gone."""
        return follow(self._bell, self._after, revision)

    async def history(self, limit: int = 20) -> Sequence[Batch]:
        """The newest transactions, newest first."""
        self._require_open()
        return tuple(self._log[::-1][: max(limit, 0)])

    async def at(self, revision: int) -> Sequence[Entry]:
        """Every document as it was at that revision. Raises: Gone."""
        documents = dict(self._base)
        self._require_revision(revision)
        for batch in self._log[: revision - self._compacted]:
            _replay(documents, batch)
        return tuple(documents[key] for key in sorted(documents))

    async def close(self) -> None:
        """Ends every watch."""
        self._is_open = False
        self._bell.ring()

    @property
    def _revision(self) -> int:
        return self._compacted + len(self._log)

    def _after(self, revision: int) -> Sequence[Batch]:
        self._require_revision(revision)
        return tuple(self._log[revision - self._compacted :])

    def _require_revision(self, revision: int) -> None:
        self._require_open()
        if not self._compacted <= revision <= self._revision:
            raise Gone(f"revision {revision} is not kept ({self._compacted} to {self._revision} are): list again")

    def _require_open(self) -> None:
        if not self._is_open:
            raise Unavailable("the datastore is closed: open it again")

    def _compact(self) -> None:
        surplus = len(self._log) - self._keep
        for batch in self._log[:surplus]:
            _replay(self._base, batch)
        del self._log[:surplus]
        self._compacted += surplus


def _replay(documents: dict[Key, Entry], batch: Batch) -> None:
    for event in batch.events:
        if event.value is None:
            del documents[event.key]
        else:
            documents[event.key] = Entry(event.key, event.value, event.revision)
