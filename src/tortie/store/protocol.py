"""The one protocol of datastores: memory, embedded SQLite; etcd and Kubernetes later.

A store keeps documents as JSON bytes under (kind, namespace, name) with a revision that only grows; it knows nothing of
what is in them. One `commit` is one transaction: all writes or none. A watch from revision R yields every later change
in order, once. Methods are coroutines because remote stores wait; the embedded ones never suspend.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """Something the caller has to decide about. The message ends with the remedy where one is known."""


class Conflict(StoreError):
    """The document has another revision than the caller expected, or exists already."""


class NotFound(StoreError):
    """No such document."""


class Gone(StoreError):
    """The revision asked for was compacted, or is newer than the store (an older copy was restored): list again."""


class Unavailable(StoreError):
    """The datastore does not answer, is locked, or is no datastore of ours."""


class Key(NamedTuple):
    """Identity of a document; namespace is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}({self.namespace}/{self.name})" if self.namespace else f"{self.kind}({self.name})"


class Entry(NamedTuple):
    """A stored document: canonical JSON of the resource (without resourceVersion) and the revision that wrote it."""

    key: Key
    value: bytes
    revision: int


class Put(NamedTuple):
    """Write a document. `expected`: None any, 0 must not exist, N must be at revision N."""

    key: Key
    value: bytes
    expected: int | None = None


class Delete(NamedTuple):
    """Remove a document. `expected`: None any existing one, N must be at revision N."""

    key: Key
    expected: int | None = None


Write = Put | Delete


class Event(NamedTuple):
    """A change seen by a watch; `value` None: deleted."""

    key: Key
    value: bytes | None
    revision: int


class Batch(NamedTuple):
    """All events of one transaction, so that a reader never acts on half of one. `time_ns`: the writer's clock, UTC."""

    revision: int
    events: tuple[Event, ...]
    time_ns: int = 0


class Store(Protocol):
    """A datastore."""

    async def get(self, key: Key) -> Entry:
        """The newest version. Raises: NotFound, Unavailable."""

    async def list(
        self, kind: str | None = None, namespace: str | None = None, *, holding: bytes | None = None
    ) -> tuple[Sequence[Entry], int]:
        """All documents (of a kind, in a namespace), sorted by key, and the store's revision they are of.

        `holding`: only those whose bytes have these among them, for who wants few of many.
        """

    async def commit(self, writes: Sequence[Write]) -> int:
        """The new revision; every write or none. A write that changes nothing makes no event and keeps its revision.

        Raises: Conflict, NotFound (delete), Unavailable.
        """

    def watch(self, revision: int) -> AsyncGenerator[Batch, None]:
        """Every later transaction in order. Raises: Gone, Unavailable."""

    async def history(self, limit: int = 20) -> Sequence[Batch]:
        """The newest transactions, newest first."""

    async def at(self, revision: int) -> Sequence[Entry]:
        """Every document as it was at that revision: what a rollback writes back. Raises: Gone."""

    async def close(self) -> None:
        """Release what the store holds."""
