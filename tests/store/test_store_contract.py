"""What every datastore promises, run on each of them. A new one joins by a line in `STORES`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tortie.store.memory import MemoryStore
from tortie.store.protocol import (
    Batch,
    Conflict,
    Delete,
    Entry,
    Event,
    Gone,
    Key,
    NotFound,
    Put,
    Store,
    StoreError,
    Unavailable,
)
from tortie.store.sqlite import SqliteStore

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(keep_revisions=20),
    "sqlite": lambda folder: SqliteStore.open(folder / "state.db", keep_revisions=20),
}
Body = Callable[[Store], Awaitable[None]]
Run = Callable[[Body], None]
A, B, C = Key("HostEndpoint", "", "a"), Key("GlobalNetworkPolicy", "", "b"), Key("NetworkSet", "space", "c")
WAIT_S = 5.0


@pytest.fixture(params=STORES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def runner(body: Body) -> None:
        async def whole() -> None:
            store = STORES[request.param](tmp_path)
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return runner


def untimed(batches: Iterable[Batch]) -> Sequence[Batch]:
    return [batch._replace(time_ns=0) for batch in batches]


async def take(batches: AsyncIterator[Batch], count: int) -> Sequence[Batch]:
    return untimed([await asyncio.wait_for(anext(batches), WAIT_S) for _ in range(count)])


def test_an_empty_store_is_at_revision_0(run: Run) -> None:
    async def body(store: Store) -> None:
        assert await store.list() == ((), 0)
        assert await store.history() == ()
        assert await store.at(0) == ()

    run(body)


def test_a_document_comes_back_with_the_revision_that_wrote_it(run: Run) -> None:
    async def body(store: Store) -> None:
        assert await store.commit([Put(A, b"1")]) == 1
        assert await store.commit([Put(B, b"\x00\xff")]) == 2
        assert Entry(A, b"1", 1) == await store.get(A)
        assert Entry(B, b"\x00\xff", 2) == await store.get(B)

    run(body)


def test_getting_what_is_not_there_raises_not_found(run: Run) -> None:
    async def body(store: Store) -> None:
        for key in (A, A._replace(name="\udcff")):
            with pytest.raises(NotFound, match="does not exist"):
                await store.get(key)

    run(body)


def test_creating_twice_is_a_conflict_even_with_equal_bytes(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1", expected=0)])
        with pytest.raises(Conflict, match=r"HostEndpoint\(a\) exists already \(revision 1\)"):
            await store.commit([Put(A, b"1", expected=0)])

    run(body)


def test_an_update_needs_the_newest_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        await store.commit([Put(A, b"2", expected=1)])
        with pytest.raises(Conflict, match="is at revision 2, not 1"):
            await store.commit([Put(A, b"3", expected=1)])
        with pytest.raises(Conflict, match="was deleted since revision 7"):
            await store.commit([Put(B, b"3", expected=7)])
        assert Entry(A, b"2", 2) == await store.get(A)

    run(body)


def test_a_delete_checks_existence_and_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        with pytest.raises(Conflict, match="is at revision 1, not 9"):
            await store.commit([Delete(A, expected=9)])
        assert await store.commit([Delete(A, expected=1)]) == 2
        with pytest.raises(NotFound):
            await store.get(A)
        with pytest.raises(NotFound):
            await store.commit([Delete(A)])

    run(body)


def test_a_transaction_with_one_bad_write_changes_nothing(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        with pytest.raises(NotFound):
            await store.commit([Put(A, b"2"), Put(B, b"1"), Delete(C)])
        with pytest.raises(StoreError, match="not valid text"):
            await store.commit([Put(A, b"2"), Put(A._replace(name="\udcff"), b"1")])
        assert ((Entry(A, b"1", 1),), 1) == await store.list()
        assert len(await store.history()) == 1

    run(body)


def test_writing_equal_bytes_makes_no_event_and_keeps_the_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1"), Put(B, b"1")])
        assert await store.commit([Put(A, b"1"), Put(B, b"1")]) == 1
        assert await store.commit([Put(A, b"1"), Put(B, b"2")]) == 2
        assert Entry(A, b"1", 1) == await store.get(A)
        assert [Batch(2, (Event(B, b"2", 2),))] == untimed(await store.history(1))
        assert await store.commit([]) == 2

    run(body)


def test_writes_to_one_key_count_one_after_the_other_and_their_sum_is_kept(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        assert await store.commit([Delete(A), Put(A, b"1", expected=0)]) == 1
        assert await store.commit([Delete(A), Put(A, b"2", expected=0), Put(B, b"1"), Delete(B)]) == 2
        assert [Batch(2, (Event(A, b"2", 2),))] == untimed(await store.history(1))

    run(body)


def test_a_list_is_sorted_by_key_and_filtered_by_kind_and_namespace(run: Run) -> None:
    async def body(store: Store) -> None:
        names = ["b", "a-b", "a", "é", "Z", "a.b", "\U0001f408", "\uffff"]
        await store.commit([Put(Key("K", "", name), b"") for name in names] + [Put(C, b""), Put(A, b"")])
        entries, revision = await store.list()
        assert sorted(e.key for e in entries) == [e.key for e in entries]
        assert (len(entries), revision) == (10, 1)
        assert sorted(names) == [e.key.name for e in (await store.list("K"))[0]]
        assert [e.key for e in (await store.list(namespace="space"))[0]] == [C]
        assert await store.list("NetworkSet", "") == ((), 1)
        assert await store.list("\udcff") == ((), 1)

    run(body)


def test_a_watch_gives_every_later_transaction_whole_and_in_order(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        await store.commit([Put(A, b"2"), Put(B, b"1"), Put(C, b"1")])
        await store.commit([Delete(B), Put(C, b"2")])
        expected = [
            Batch(2, (Event(A, b"2", 2), Event(B, b"1", 2), Event(C, b"1", 2))),
            Batch(3, (Event(B, None, 3), Event(C, b"2", 3))),
        ]
        assert expected == await take(store.watch(1), 2)
        assert expected[1:] == await take(store.watch(2), 1)

    run(body)


def test_every_waiting_watch_is_woken_by_a_commit(run: Run) -> None:
    async def body(store: Store) -> None:
        watches = [store.watch(0) for _ in range(3)]
        waiting = [asyncio.create_task(take(watch, 1)) for watch in watches]
        await asyncio.sleep(0.01)
        await store.commit([Put(A, b"1")])
        assert [[Batch(1, (Event(A, b"1", 1),))]] * 3 == await asyncio.gather(*waiting)

    run(body)


def test_a_commit_without_effect_wakes_no_watch(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        watch = store.watch(1)
        waiting = asyncio.create_task(take(watch, 1))
        await asyncio.sleep(0.01)
        await store.commit([Put(A, b"1")])
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await store.commit([Put(A, b"2")])
        assert [Batch(2, (Event(A, b"2", 2),))] == await waiting

    run(body)


def test_compaction_keeps_the_newest_transactions_and_every_document(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"kept"), Put(B, b"x")])
        await store.commit([Delete(B)])
        for number in range(60):
            await store.commit([Put(C, str(number).encode())])
        for ask in (lambda: anext(store.watch(1)), lambda: store.at(1)):
            with pytest.raises(Gone, match=r"revision 1 is not kept .* list again"):
                await ask()
        history = await store.history(1000)
        assert 20 <= len(history) <= 22
        assert [62 - n for n in range(len(history))] == [batch.revision for batch in history]
        oldest = history[-1].revision - 1
        assert [Entry(A, b"kept", 1), Entry(C, str(oldest - 3).encode(), oldest)] == list(await store.at(oldest))
        assert untimed(history)[::-1] == await take(store.watch(oldest), len(history))
        assert Entry(A, b"kept", 1) == await store.get(A)
        assert (await store.list())[1] == 62

    run(body)


@pytest.mark.parametrize("revision", [-1, 2, 10**30])
def test_a_revision_that_the_store_never_reached_is_gone(run: Run, revision: int) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1")])
        with pytest.raises(Gone):
            await anext(store.watch(revision))
        with pytest.raises(Gone):
            await store.at(revision)

    run(body)


def test_history_is_newest_first_limited_and_says_when(run: Run) -> None:
    async def body(store: Store) -> None:
        for number in range(5):
            await store.commit([Put(A, str(number).encode())])
        assert [batch.revision for batch in await store.history(2)] == [5, 4]
        assert [batch.revision for batch in await store.history(10**30)] == [5, 4, 3, 2, 1]
        assert () == await store.history(0) == await store.history(-1)
        times = [batch.time_ns for batch in await store.history()]
        assert times == sorted(times, reverse=True)
        assert times[-1] > 1_700_000_000 * 10**9

    run(body)


def test_at_gives_the_documents_of_any_kept_revision(run: Run) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(A, b"1"), Put(B, b"1")])
        await store.commit([Delete(A), Put(B, b"2")])
        await store.commit([Put(A, b"3")])
        assert list(await store.at(0)) == []
        assert [Entry(B, b"1", 1), Entry(A, b"1", 1)] == list(await store.at(1))
        assert [Entry(B, b"2", 2)] == list(await store.at(2))
        assert [Entry(B, b"2", 2), Entry(A, b"3", 3)] == list(await store.at(3))

    run(body)


def test_closing_ends_a_waiting_watch_and_refuses_every_call(run: Run) -> None:
    async def body(store: Store) -> None:
        waiting = asyncio.create_task(take(store.watch(0), 1))
        await asyncio.sleep(0.01)
        await store.close()
        with pytest.raises(Unavailable, match="open it again"):
            await waiting
        for call in (store.get(A), store.list(), store.commit([Put(A, b"1")]), store.history(), store.at(0)):
            with pytest.raises(Unavailable, match="open it again"):
                await call

    run(body)


def test_embedded_stores_never_suspend() -> None:
    """The command line drives them without an event loop."""
    with pytest.raises(StopIteration) as done:
        MemoryStore().commit([Put(A, b"1")]).send(None)
    assert done.value.value == 1
