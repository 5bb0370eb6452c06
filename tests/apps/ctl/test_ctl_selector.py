"""`tortie selector test`."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.apps.ctl.commands.selector import MOST_BYTES, answer_lines
from tortie.apps.ctl.main import run


@pytest.mark.parametrize(
    ("expression", "labels", "word", "code"),
    [('role == "web"', "role=web,zone=a", "true", 0), ("has(x)", "role=web", "false", 1), ("all()", "", "true", 0)],
)
def test_the_answer_is_a_word_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], expression: str, labels: str, word: str, code: int
) -> None:
    assert code == run(["selector", "test", expression, "--labels", labels])
    assert f"{word}\n" == capsys.readouterr().out


def batch(source: bytes) -> list[dict[str, object]]:
    sink = io.StringIO()
    answer_lines(io.BytesIO(source), sink)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_batch_answers_each_line_with_one_line() -> None:
    cases = [
        b'{"selector": "a == \\"b\\"", "labels": {"a": "b"}}',
        b'{"selector": "a ==", "labels": {}}',
        b"",
        b"not json",
        b'{"selector": 4}',
        b'{"selector": "all()", "labels": {"a": 1}}',
        b'{"selector": "all()", "labels": []}',
        b'{"selector": "all()", "extra": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"selector": "all()"}',
        b'{"selector": "\\ud800", "labels": {}}',
    ]
    answers = batch(b"\n".join(cases) + b"\n")
    assert len(cases) == len(answers)
    assert answers[0] == {"match": True, "canonical": 'a == "b"'}
    assert answers[10] == {"match": True, "canonical": "all()"}
    for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11):
        assert {"error", "column"} == answers[number].keys()


def test_a_line_that_is_too_long_gets_one_answer_and_the_next_its_own() -> None:
    answers = batch(b"x" * (3 * MOST_BYTES) + b'\n{"selector": "all()", "labels": {}}')
    assert [next(iter(answer)) for answer in answers] == ["error", "match"]


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=5))
def test_any_line_gets_exactly_one_answer(lines: list[bytes]) -> None:
    assert len(lines) == len(batch(b"".join(line + b"\n" for line in lines)))
