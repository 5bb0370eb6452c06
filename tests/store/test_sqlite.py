"""What the SQLite store promises beyond the contract: many processes, crashes, bad files, messages for people."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tortie.store import schema, sqlite
from tortie.store.protocol import Conflict, Key, NotFound, Put, Unavailable
from tortie.store.schema import failures_named, is_unmade
from tortie.store.sqlite import SqliteStore
from tortie.store.unmade import UnmadeStore

WRITER = Path(__file__).with_name("writer.py")
A = Key("K", "", "a")
Process = subprocess.Popen[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "state.db"


def run_on(path: Path, body: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = SqliteStore.open(path)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(whole())


@contextmanager
def writer(path: Path, who: str, count: int, keep: int = 10_000) -> Iterator[Process]:
    """A writer that is ready and waits for a line."""
    command = [sys.executable, str(WRITER), str(path), who, str(count), str(keep)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            yield process
        finally:
            process.kill()


def start(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def acknowledged(process: Process) -> list[list[int]]:
    """Number, revision and time of every commit that the process knew to be done."""
    assert process.stdout is not None
    lines = process.stdout.read().splitlines(keepends=True)
    return [[int(word) for word in line.split()] for line in lines if line.endswith("\n")]


def require_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lost = "SELECT count(*) FROM document LEFT JOIN log USING (seq) WHERE log.value IS NULL"
        assert connection.execute(lost).fetchone() == (0,)


@pytest.mark.parametrize("name", ["a%41b", "a?mode=ro", "a#b", "a b", "é", "\udcff"])
def test_the_file_has_exactly_the_name_that_was_given(tmp_path: Path, name: str) -> None:
    asyncio.run(SqliteStore.open(tmp_path / name).close())
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_the_file_is_private_in_a_private_folder(path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.commit([Put(A, b"1")])
        assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
        assert {"0o600"} == {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}

    run_on(path, body)


def test_documents_revision_and_uid_survive_a_restart(path: Path) -> None:
    uids = []

    async def first(store: SqliteStore) -> None:
        await store.commit([Put(A, b"1")])
        uids.append(store.uid)

    async def second(store: SqliteStore) -> None:
        uids.append(store.uid)
        assert (await store.list())[1] == 1
        assert await store.commit([Put(A, b"2", expected=1)]) == 2
        assert [(await anext(store.watch(revision))).revision for revision in (0, 1)] == [1, 2]

    run_on(path, first)
    run_on(path, second)
    assert len(uids[0]) == 32
    assert uids[0] == uids[1]


def test_commits_are_synced_to_the_disk(path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    run_on(path, body)


def test_processes_that_create_the_store_at_once_share_it(path: Path) -> None:
    command = [sys.executable, str(WRITER), str(path), "who", "0", "9"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(answers) == 1


def test_two_processes_write_at_once_and_every_commit_counts(path: Path) -> None:
    count = 200
    with writer(path, "one", count) as one, writer(path, "two", count) as two:
        start(one)
        start(two)
        lines = acknowledged(one) + acknowledged(two)
    assert list(range(1, 2 * count + 1)) == sorted(revision for _, revision, _ in lines)

    async def body(store: SqliteStore) -> None:
        history = await store.history(2 * count)
        assert 2 * count == len(history)
        assert all(len(batch.events) == 3 and len({e.value for e in batch.events}) == 1 for batch in history)

    run_on(path, body)
    require_sound(path)


def test_killing_a_writer_loses_no_acknowledged_commit_and_shows_no_half_one(path: Path) -> None:
    """T-REL-9, its part that a process can play: SIGKILL at a random moment, also inside compaction and checkpoints."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    newest = 0
    for turn in range(20):
        with writer(path, f"turn{turn}", 1_000_000, keep=50) as process:
            start(process)
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(process.pid, signal.SIGKILL)
            lines = acknowledged(process)
        require_sound(path)

        async def body(store: SqliteStore, turn: int = turn, lines: list[list[int]] = lines) -> None:
            nonlocal newest
            entries, revision = await store.list("K", f"turn{turn}")
            assert len(entries) in ((3,) if lines else (0, 3))
            assert len({entry.value for entry in entries}) <= 1
            last = int(entries[0].value.split()[1]) if entries else -1
            # The commit in flight may have been done without having been acknowledged.
            assert last in (len(lines) - 1, len(lines))
            assert revision == newest + last + 1
            assert all(len(batch.events) == 3 for batch in await store.history(1000))
            newest = revision

        try:
            run_on(path, body)
        except AssertionError as error:
            error.add_note(f"seed {seed}, turn {turn}, acknowledged {len(lines)}")
            raise
    assert newest > 0


def test_a_watch_sees_each_commit_of_another_process_within_200_ms(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delays_ms = []

    async def body(store: SqliteStore) -> None:
        watch = store.watch(0)
        with writer(store.path, "who", 1) as process:
            next_batch = asyncio.create_task(anext(watch))
            await asyncio.sleep(0.05)
            start(process)
            await asyncio.wait_for(next_batch, 5)
            seen_ns = time.monotonic_ns()
            ((_, _, done_ns),) = acknowledged(process)
        delays_ms.append((seen_ns - done_ns) / 1e6)
        await watch.aclose()

    for turn in range(5):
        run_on(path.with_name(f"state{turn}.db"), body)
    with capsys.disabled():
        print(f" wake across processes: median {statistics.median(delays_ms):.2f} max {max(delays_ms):.2f} ms ", end="")
    assert max(delays_ms) < 200


def test_a_watch_finds_commits_that_nobody_announced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "POLL_S", 0.05)
    monkeypatch.setattr(os, "utime", lambda path: None)

    async def body(store: SqliteStore) -> None:
        other = SqliteStore.open(path)
        waiting = asyncio.create_task(anext(store.watch(0)))
        await asyncio.sleep(0.02)
        await other.commit([Put(A, b"1")])
        assert (await asyncio.wait_for(waiting, 2)).revision == 1
        await other.close()

    run_on(path, body)


def test_a_watch_goes_on_across_checkpoints_and_truncations_of_the_log(path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        other = SqliteStore.open(path)
        watch = store.watch(0)
        for number in range(1, 6):
            await other.commit([Put(A, str(number).encode())])
            assert number == (await asyncio.wait_for(anext(watch), 2)).revision
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        await watch.aclose()
        await other.close()

    run_on(path, body)


def test_a_long_backlog_arrives_whole(path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        for number in range(600):
            await store.commit([Put(A, str(number).encode())])
        watch = store.watch(0)
        assert list(range(1, 601)) == [(await anext(watch)).revision for _ in range(600)]
        await watch.aclose()

    run_on(path, body)


@pytest.mark.parametrize("replace", ["file", "log", "folder", "other file"])
def test_a_file_that_was_taken_away_ends_watches_and_refuses_writes(path: Path, replace: str) -> None:
    async def body(store: SqliteStore) -> None:
        await store.commit([Put(A, b"1")])
        waiting = asyncio.create_task(anext(store.watch(1)))
        await asyncio.sleep(0.02)
        match replace:
            case "file":
                path.unlink()
            case "log":
                Path(f"{path}-wal").unlink()
            case "folder":
                shutil.rmtree(path.parent)
            case "other file":
                copy = path.with_name("copy")
                shutil.copy(path, copy)
                copy.replace(path)
        with pytest.raises(Unavailable, match=r"state\.db: was deleted or replaced while in use: open it again"):
            await asyncio.wait_for(waiting, 0.5)
        for call in (store.get(A), store.list(), store.commit([Put(A, b"2")]), store.history(), store.at(1)):
            with pytest.raises(Unavailable, match="was deleted or replaced"):
                await call

    run_on(path, body)


def test_watches_share_one_descriptor_and_give_it_back(path: Path) -> None:
    def watching() -> int:
        return sum("inotify" in str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())

    async def body(store: SqliteStore) -> None:
        before = watching()
        watches = [store.watch(0) for _ in range(5)]
        tasks = [asyncio.create_task(anext(watch)) for watch in watches]
        await asyncio.sleep(0.02)
        assert before + 1 == watching()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert before == watching()

    run_on(path, body)


def _text(path: Path) -> None:
    path.write_text("no database at all, but long enough to be looked at" * 20)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE flows (x)")


def _newer(path: Path) -> None:
    asyncio.run(SqliteStore.open(path).close())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


def _without_tables(path: Path) -> None:
    asyncio.run(SqliteStore.open(path).close())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE datastore")


def _without_row(path: Path) -> None:
    asyncio.run(SqliteStore.open(path).close())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM datastore")


def _garbled(path: Path) -> None:
    asyncio.run(SqliteStore.open(path).close())
    content = path.read_bytes()
    path.write_bytes(content[:200] + os.urandom(len(content) - 200))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


BAD_FILES: dict[Callable[[Path], None], str] = {
    _text: "is no database: name the file of a datastore",
    _foreign: "is the database of another program: name the file",
    _newer: "has schema version 2, this tortie knows 1: install the version that wrote it",
    _without_tables: "is damaged .no such table: datastore.: put a backup in its place",
    _without_row: "is damaged .no uid.: put a backup in its place",
    _garbled: "is damaged .*: put a backup in its place",
    _fifo: "is not a regular file: name the file",
    Path.mkdir: "is not a regular file: name the file",
    lambda path: path.symlink_to(path): "Too many levels of symbolic links: run as root, or name another file",
}


@pytest.mark.parametrize(
    ("is_writing", "message"), [(True, "a document is too big: make it smaller"), (False, "is damaged .too big.")]
)
def test_what_is_too_big_is_a_document_or_a_damaged_file(is_writing: bool, message: str) -> None:
    """Pages of chance tell sizes of chance, but seldom these."""
    error = sqlite3.DataError("too big")
    error.sqlite_errorcode = sqlite3.SQLITE_TOOBIG
    with pytest.raises(Unavailable, match=message), failures_named("state.db", is_writing=is_writing):
        raise error


@pytest.mark.parametrize(("make", "message"), BAD_FILES.items())
def test_a_file_that_is_no_datastore_is_refused_and_not_changed(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "state.db"
    make(path)
    content = path.read_bytes() if path.is_file() else b""
    with pytest.raises(Unavailable, match=rf"state\.db: {message}"):
        SqliteStore.open(path)
    assert content == (path.read_bytes() if path.is_file() else b"")


@pytest.mark.parametrize("name", ["x\0y", "n" * 300, "/proc/nowhere/state.db", "/dev/null/state.db"])
def test_an_impossible_name_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unavailable, match=r"name another file with --datastore|name the file of a datastore"):
        SqliteStore.open(tmp_path / name)


def test_nothing_is_created_unless_asked_for(path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no datastore: start the agent"):
        SqliteStore.open(path, create=False)
    assert not path.parent.exists()


def test_a_file_is_made_by_the_first_commit_and_not_by_reading(path: Path) -> None:
    store = UnmadeStore(str(path))

    async def body() -> None:
        assert is_unmade(path)
        assert await store.list() == ((), 0)
        with pytest.raises(NotFound):
            await store.get(A)
        with pytest.raises(Unavailable, match="there is no datastore"):
            await store.history()
        assert not path.parent.exists()
        assert await store.commit([Put(A, b"1", 0)]) == 1
        assert not is_unmade(path)
        assert (await store.get(A)).value == b"1"
        assert [batch.revision for batch in await store.history()] == [1]
        await store.close()

    asyncio.run(body())


def test_who_makes_the_file_meanwhile_is_a_conflict(path: Path) -> None:
    async def body() -> None:
        store = UnmadeStore(str(path))
        assert await store.list() == ((), 0)
        other = SqliteStore.open(path)
        await other.commit([Put(A, b"1", 0)])
        with pytest.raises(Conflict):
            await store.commit([Put(A, b"2", 0)])
        assert (await store.get(A)).value == b"1"
        await store.close()
        await other.close()

    asyncio.run(body())


def test_a_page_that_is_damaged_later_is_named_and_no_traceback(path: Path) -> None:
    async def fill(store: SqliteStore) -> None:
        await store.commit([Put(A._replace(name=str(n)), bytes(3000)) for n in range(50)])

    async def read(store: SqliteStore) -> None:
        with pytest.raises(Unavailable, match=r"state\.db: is damaged .*apply the documents again"):
            await store.list()

    run_on(path, fill)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * (size // 2))
    run_on(path, read)


def test_a_lock_that_another_process_keeps_is_named_after_the_timeout(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.1)

    async def body(store: SqliteStore) -> None:
        await store.commit([Put(A, b"1")])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match=r"another process kept it locked for 0\.1 s: find it with fuser"):
                await store.commit([Put(A, b"2")])
            # Readers do not wait for writers.
            assert (await store.get(A)).value == b"1"
        assert await store.commit([Put(A, b"2")]) == 2

    run_on(path, body)


IN_SMALL_FILE_SYSTEM = """
import asyncio, subprocess, sys
from tortie.store.protocol import Conflict, Key, NotFound, Put, Unavailable
from tortie.store.schema import is_unmade
from tortie.store.sqlite import SqliteStore
from tortie.store.unmade import UnmadeStore

async def main(path):
    await SqliteStore.open(path + "clean").close()
    store = SqliteStore.open(path)
    await store.commit([Put(Key("K", "", "a"), b"old")])
    try:
        for number in range(100):
            await store.commit([Put(Key("K", "", "a"), b"x"), Put(Key("K", "", f"big{number}"), bytes(100_000))])
    except Unavailable as error:
        print(error)
    entries, revision = await store.list()
    assert len(entries) == revision > 1, (len(entries), revision)
    await store.close()
    subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
    for name in (path, path + "clean", path + "new"):
        try:
            store = SqliteStore.open(name)
            assert (entries, revision) == await store.list()
            await store.commit([Put(Key("K", "", "a"), b"new")])
        except Unavailable as error:
            print(error)

asyncio.run(main(sys.argv[1] + "/state.db"))
"""


@pytest.mark.root
def test_a_full_and_a_read_only_disk_are_named_and_old_documents_stay_readable(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    answer = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, IN_SMALL_FILE_SYSTEM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    expected = [
        "state.db: no space left: free some on its file system, then try again; nothing was written",
        "state.db: is read-only: make the file and its folder writable, or run as root",
        "state.dbclean: cannot be opened: make the file and its folder readable and writable, copy it, or run as root",
        "state.dbnew: Read-only file system: run as root, or name another file with --datastore",
    ]
    assert [f"{tmp_path}/{line}" for line in expected] == answer.stdout.splitlines()


def test_compaction_keeps_the_file_from_growing(path: Path) -> None:
    async def whole() -> None:
        store = SqliteStore.open(path, keep_revisions=50)
        sizes = []
        for _ in range(4):
            for number in range(200):
                await store.commit([Put(A, os.urandom(2000) + str(number).encode())])
            store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes.append(path.stat().st_size)
        assert sizes[1] == sizes[-1]
        await store.close()

    asyncio.run(whole())
    require_sound(path)
