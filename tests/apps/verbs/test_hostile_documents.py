"""T-SEC-1: ten thousand damaged documents through the real service, and the worst of them as real processes."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from apps.mutations import GIANTS, giant, mutated
from apps.seeds import seeds
from tortie.apps.answers import SourceText
from tortie.apps.ctl.local import run_now
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import Verb
from tortie.apps.verbs import service
from tortie.resources.codec import decode_text, lower
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Conflict
from tortie.store.sqlite import SqliteStore

COUNT = 10_000
MOST_S = 1.0
"""Or half as much again as a harmless document of the largest size takes, where the machine is slow."""
MOST_KB = 200 * 1024
MOST_BYTES = 12 * 1024 * 1024
"""A little more than a document may have."""
TORTIE = Path(sys.executable).with_name("tortie")


def test_every_kind_that_people_write_has_a_seed_and_those_that_are_enforced_a_valid_one() -> None:
    found = seeds()
    assert set(found) == {name for name, kind in KINDS.items() if not kind.read_only}
    for name, text in found.items():
        resources, problems = decode_text(text, name)
        if KINDS[name].lower is not None:
            assert problems == []
            assert lower(resources[0]) is not None


@pytest.fixture
def small_heap() -> Iterator[None]:
    """The collector does not walk through what other tests left, which would be among the times."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def harmless_s() -> float:
    """CPU seconds of reading a document with as many values as one may have, and nothing odd about it."""
    text = "kind: GlobalNetworkSet\nspec:\n  nets:\n" + "  - {a: [255]}\n" * 300_000
    begin = time.process_time()
    decode_text(text, "harmless.yaml")
    return time.process_time() - begin


@pytest.mark.usefixtures("small_heap")
def test_ten_thousand_damaged_documents_change_nothing_or_are_valid_after_all(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore.open(path)
    for name, seed in seeds().items():
        try:
            run_now(service.write(store, Verb.APPLY, [{"source": name, "text": seed}]))
        except Failure as failure:
            assert failure.code is Code.INVALID
    refused = accepted = 0
    state = _state(path)
    for data in mutated(COUNT):
        files: list[SourceText] = [
            {"source": "hostile.yaml", "text": data[:MOST_BYTES].decode("utf-8", "surrogateescape")}
        ]
        begin = time.process_time()
        try:
            run_now(service.write(store, Verb.APPLY, files))
        except Failure as failure:
            refused += 1
            _check_problems(failure)
            assert _state(path) == state, data[:500]
        except Conflict:
            raise AssertionError(data[:500]) from None
        else:
            accepted += 1
            state = _state(path)
        elapsed = time.process_time() - begin
        if elapsed >= MOST_S:  # what else the machine does is not the document's: once more
            begin = time.process_time()
            with suppress(Failure):
                run_now(service.write(store, Verb.APPLY, files))
            elapsed = time.process_time() - begin
        assert elapsed < MOST_S or elapsed < 1.5 * harmless_s(), data[:500]
    before = _digest(path)
    for data in mutated(200, seed=12):
        with pytest.raises(Failure):
            text = "kind: [\n" + data.decode("utf-8", "surrogateescape")
            run_now(service.write(store, Verb.APPLY, [{"source": "hostile.yaml", "text": text}]))
    assert before == _digest(path)
    assert refused > COUNT // 2
    assert accepted > COUNT // 50
    run_now(store.close())


def _check_problems(failure: Failure) -> None:
    assert failure.code in (Code.INVALID, Code.CONFLICT)
    assert bool(failure.problems) is (failure.code is Code.INVALID)
    assert len(failure.problems) < 1_200
    for problem in failure.problems:
        assert problem["text"].isprintable()
        assert len(problem["text"]) < 2_000
        assert problem["code"].startswith("TT1")


def _state(path: Path) -> list[tuple[int, int]]:
    """What every write to the datastore changes: length and time of its file and of its log."""
    found = [each.stat() for each in (path, Path(f"{path}-wal"))]
    return [(each.st_size, each.st_mtime_ns) for each in found]


def _digest(path: Path) -> list[str]:
    return [sha256(each.read_bytes()).hexdigest() for each in (path, Path(f"{path}-wal"))]


@pytest.mark.parametrize("name", GIANTS)
def test_a_giant_takes_a_process_little_time_and_memory(name: str, tmp_path: Path) -> None:
    path, datastore = tmp_path / "giant.yaml", tmp_path / "state.db"
    path.write_bytes(giant(name))
    done, elapsed = _applied(path, datastore)
    assert done.returncode == 3, done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert "nothing was changed" in done.stderr
    assert f"{path}" in done.stderr
    # The goal is a second; machines differ, and this one may be doing something else.
    assert elapsed < 3 * MOST_S


def test_damaged_documents_as_processes_leave_the_datastore_as_it_is(tmp_path: Path) -> None:
    datastore = tmp_path / "state.db"
    path = tmp_path / "one.yaml"
    path.write_text(seeds()["Tier"].replace('"order": 1', '"order": 7'))
    assert _applied(path, datastore)[0].returncode == 0
    before = datastore.read_bytes()
    invalid = (data for data in mutated(400, seed=13) if decode_text(data, "one.yaml")[1])
    for _, data in zip(range(25), invalid, strict=False):
        path.write_bytes(data)
        done, elapsed = _applied(path, datastore)
        assert done.returncode == 3, (data[:500], done.stderr[-500:])
        assert "Traceback" not in done.stderr
        assert f"{path}:" in done.stderr
        assert elapsed < 3 * MOST_S
        assert datastore.read_bytes() == before


def _applied(path: Path, datastore: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """The finished command with the CPU seconds that it took. The kernel gives it no more than 200 MB of memory."""
    begin = os.times()
    line = f'ulimit -d {MOST_KB}; exec "$0" "$@"'
    words = ["sh", "-c", line, str(TORTIE), "--datastore", str(datastore), "apply", "-f", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    end = os.times()
    return done, end.children_user + end.children_system - begin.children_user - begin.children_system
