"""Documents as they were: which revision a number or a time means, and what is still kept of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tortie.apps.failure import Code, Failure
from tortie.store.protocol import Batch, Entry, Key, Store

_EVERY = 1 << 62


class Wanted(NamedTuple):
    """Which state of the datastore: that of a revision, or of a time as text; neither: the newest."""

    revision: int | None = None
    time: str | None = None

    @property
    def is_newest(self) -> bool:
        """Whether nothing else is asked for."""
        return self.revision is None and self.time is None


class Stored(NamedTuple):
    """Every document of a revision, and a sentence about which one that is, where it is not the newest."""

    entries: Sequence[Entry]
    revision: int
    notes: tuple[str, ...] = ()


async def stored(store: Store, asked: Wanted) -> Stored:
    """The documents that are asked for.

    Raises: Failure USAGE for what is no time; NOT_FOUND for what is not kept, with the oldest that is; StoreError.
    """
    if asked.is_newest:
        return Stored(*await store.list())
    if asked.revision is not None and asked.time is not None:
        raise Failure(Code.USAGE, "--revision and --at say the same thing twice; give one of them")
    moment = _moment(asked.time) if asked.time is not None else None
    batches = await store.history(_EVERY)
    newest = batches[0].revision if batches else (await store.list(""))[1]
    oldest = batches[-1].revision - 1 if batches else newest
    wanted = asked.revision if moment is None else _at(batches, moment, oldest)
    if wanted is None or not oldest <= wanted <= newest:
        raise Failure(Code.NOT_FOUND, _not_kept(asked, batches, oldest, newest))
    note = f"as of revision {wanted}{_when(batches, wanted)}; the newest is {newest}"
    return Stored(await store.at(wanted), wanted, (note,))


async def stored_revisions(store: Store, kinds: Iterable[str]) -> dict[Key, int]:
    """The revision that wrote each document of these kinds. Raises: StoreError."""
    return {entry.key: entry.revision for kind in kinds for entry in (await store.list(kind))[0]}


def _at(batches: Sequence[Batch], moment: datetime, oldest: int) -> int | None:
    """The revision that was the newest then; None: from before what is kept."""
    limit_ns = int(moment.timestamp() * 1e9)
    found = next((batch.revision for batch in batches if batch.time_ns <= limit_ns), None)
    return 0 if found is None and oldest == 0 else found  # before the first revision there was nothing


def _not_kept(asked: Wanted, batches: Sequence[Batch], oldest: int, newest: int) -> str:
    if asked.revision is not None and asked.revision > newest:
        return f"revision {asked.revision} does not exist yet: the newest is {newest}"
    what = f"revision {asked.revision}" if asked.revision is not None else f"the revision of {asked.time}"
    since = batches[-1].revision if asked.revision is None and batches else oldest
    return f"{what} is no longer kept: the oldest that is kept is {since}{_when(batches, since)}, the newest {newest}"


def _when(batches: Sequence[Batch], revision: int) -> str:
    """When the revision was written, in brackets, where that is known."""
    time_ns = next((batch.time_ns for batch in batches if batch.revision == revision), 0)
    return f" ({shown_time(time_ns)})" if time_ns else ""


def shown_time(time_ns: int) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _moment(text: str) -> datetime:
    """The moment; what says no time zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(
            Code.USAGE, f"{text[:60]!r} is no time; write 2026-01-31T15:04:05Z (UTC), or +02:00 for Z"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
