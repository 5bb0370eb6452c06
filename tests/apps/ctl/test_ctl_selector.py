"""`tortie selector test`."""

import io
import json
from pathlib import Path

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


DOCUMENTS = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web, labels: {role: web}}
spec: {node: node1, interfaceName: eth0, profiles: [base]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: office, labels: {role: people}}
spec: {nets: [10.0.0.0/8]}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: base}
spec: {labelsToApply: {zone: a}}
"""


@pytest.fixture(params=["files", "datastore"])
def given_documents(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """The arguments that name the documents: as files, or as a datastore that they were applied to."""
    path = tmp_path / "documents.yaml"
    path.write_text(DOCUMENTS)
    if request.param == "files":
        return ("-f", str(path))
    datastore = ("--datastore", str(tmp_path / "state.db"))
    assert run([*datastore, "apply", "-f", str(path)]) == 0
    return datastore


def test_without_labels_it_lists_what_matches_and_why_the_others_do_not(
    capsys: pytest.CaptureFixture[str], given_documents: tuple[str, ...]
) -> None:
    capsys.readouterr()
    assert run(["selector", "test", 'role == "web" && has(zone)', *given_documents]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        '(role == "web" && has(zone)) matches 1 of 2 endpoints and network sets',
        "",
        "MATCHES             LABELS",
        "HostEndpoint(web)   role=web,zone=a (profile base)",
        "",
        "DOES NOT MATCH             BECAUSE                                                      LABELS",
        'GlobalNetworkSet(office)   role == "web": role is "people", has(zone): zone is absent   role=people',
    ]


def test_where_nothing_matches_the_exit_code_is_1_and_a_near_label_is_named(
    capsys: pytest.CaptureFixture[str], given_documents: tuple[str, ...]
) -> None:
    capsys.readouterr()
    assert run(["selector", "test", "has(rolle)", *given_documents]) == 1
    out = capsys.readouterr().out
    assert "matches 0 of 2" in out
    assert "hint: nothing has a label 'rolle'; did you mean role?" in out


def test_json_has_every_label_with_its_source(
    capsys: pytest.CaptureFixture[str], given_documents: tuple[str, ...]
) -> None:
    capsys.readouterr()
    assert run(["selector", "test", "has(zone)", "-o", "json", *given_documents]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["selector"] == "has(zone)"
    (one,) = answer["matches"]
    assert (one["kind"], one["labels"]["zone"]) == ("HostEndpoint", {"value": "a", "profile": "base"})
    assert answer["others"][0]["why_not"] == ["has(zone): zone is absent"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("all()", "--labels", "a=b", "-f", "x"),
        ("all()", "--labels", "a=b", "-o", "json"),
        ("--batch", "-o", "json"),
        ("--batch", "-f", "x"),
        ("a ==",),
    ],
)
def test_what_does_not_go_together_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert run(["--datastore", str(tmp_path / "none"), "selector", "test", *arguments]) in (2, 7)
    assert capsys.readouterr().out == ""


def test_empty_labels_are_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["selector", "test", "!has(a)", "--labels", ""]) == 0
    assert capsys.readouterr().out == "true\n"
