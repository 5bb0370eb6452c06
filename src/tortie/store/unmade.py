"""A datastore file that is made by its first commit: until then it is empty, and nothing is on disk.

For who writes documents that may be refused: a refusal, or a dry run, leaves no file behind.
"""

from collections.abc import AsyncGenerator, Sequence

from tortie.store.protocol import Batch, Entry, Key, NotFound, Unavailable, Write
from tortie.store.sqlite import SqliteStore


class UnmadeStore:
    """A datastore in a file that is not there yet; once committed to, a `SqliteStore`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made: SqliteStore | None = None

    async def get(self, key: Key) -> Entry:
        """The newest version. Raises: NotFound, Unavailable."""
        if self._made is None:
            raise NotFound(f"{key} does not exist")
        return await self._made.get(key)

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        """All documents and their revision. Raises: Unavailable."""
        return ((), 0) if self._made is None else await self._made.list(kind, namespace, holding=holding)

    async def commit(self, writes: Sequence[Write]) -> int:
        """The new revision. Whoever made the file meanwhile has the first one: Raises: Conflict, Unavailable."""
        self._made = self._made or SqliteStore.open(self._path)
        return await self._made.commit(writes)

    def watch(self, revision: int) -> AsyncGenerator[Batch, None]:
        """Every later transaction in order. Raises: Gone, Unavailable."""
        return self._there().watch(revision)

    async def history(self, limit: int = 20) -> Sequence[Batch]:
        """The newest transactions. Raises: Unavailable."""
        return await self._there().history(limit)

    async def at(self, revision: int) -> Sequence[Entry]:
        """Every document as it was at that revision. Raises: Gone, Unavailable."""
        return await self._there().at(revision)

    async def close(self) -> None:
        """Release the file, if there is one."""
        if self._made is not None:
            await self._made.close()

    def _there(self) -> SqliteStore:
        if self._made is None:
            raise Unavailable(f"{self._path}: there is no datastore: start the agent, or create one with tortie apply")
        return self._made
