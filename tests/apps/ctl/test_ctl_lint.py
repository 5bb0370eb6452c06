"""`tortie lint`: what it prints in each form, its exit codes, and what it does to files."""

import io
import json
from pathlib import Path

import pytest

from apps.documents import PAIR, POLICY
from apps.shell import Shell
from tortie.apps.ctl.main import run

ONE_SIDED = POLICY[: POLICY.index("  egress:")]
NARROW = (
    ONE_SIDED.replace("name: redis", "name: b")
    .replace("order: 9", "order: 8")
    .replace("destination", "source: {nets: [10.0.0.0/8]}, destination")
)
"""Of the same endpoints, and asked before: the way back is the other one's."""
WRONG = ONE_SIDED.replace("order: 9", "order: first")


class Linter:
    """Runs the command on files in a folder."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, text: str, *options: str, name: str = "doc.yaml") -> tuple[int, str, str]:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return self.run(str(path), *options)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = run(["lint", *arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return code, out, err

    @property
    def text(self) -> str:
        return (self.folder / "doc.yaml").read_text(encoding="utf-8")


@pytest.fixture
def lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Linter:
    return Linter(tmp_path, capsys)


def test_where_there_is_nothing_to_say_the_exit_code_is_0(lint: Linter) -> None:
    assert lint(PAIR) == (0, "Nothing to say about 2 resources\n", "")


def test_a_finding_has_its_place_and_its_remedy_and_the_exit_code_is_1(lint: Linter) -> None:
    code, out, err = lint(ONE_SIDED)
    assert (code, err) == (1, "")
    assert out.startswith(f"{lint.folder}/doc.yaml:10:5: spec.ingress[0]: TT2004 GlobalNetworkPolicy(redis): ")
    assert "(--fix adds it)" in out
    assert out.endswith("\n1 finding in 1 resource\n")


def test_an_invalid_document_is_told_of_and_the_others_are_linted(lint: Linter) -> None:
    code, out, err = lint(f"{WRONG}---\n{ONE_SIDED.replace('name: redis', 'name: b')}")
    assert code == 3
    assert err.count("TT1103") == 1
    assert out.count("TT2004") == 1
    assert out.endswith("1 problem and 1 finding in 1 resource\n")


def test_a_file_that_is_not_there_is_a_usage_error(lint: Linter) -> None:
    code, _, err = lint.run(str(lint.folder / "none.yaml"))
    assert code == 2
    assert "No such file" in err


@pytest.mark.parametrize("arguments", [(), ("-", "--fix"), ("x.yaml", "--fix", "--diff")])
def test_what_contradicts_itself_is_a_usage_error(lint: Linter, arguments: tuple[str, ...]) -> None:
    assert lint.run(*arguments)[0] == 2


def test_json_has_stable_fields(lint: Linter) -> None:
    code, out, _ = lint(f"{ONE_SIDED}---\n{WRONG.replace('name: redis', 'name: b')}", "-o", "json")
    answer = json.loads(out)
    assert code == 3
    assert list(answer) == ["findings", "errors"]
    (finding,) = answer["findings"]
    assert list(finding) == [
        *("code", "source", "line", "column", "path", "resource", "message", "why", "remedy", "fixable")
    ]
    assert (finding["code"], finding["line"], finding["column"], finding["fixable"]) == ("TT2004", 10, 5, True)
    assert [(each["code"], each["path"]) for each in answer["errors"]] == [("TT1103", "spec.order")]


def test_json_of_a_fix_says_what_was_done_and_what_is_left(lint: Linter) -> None:
    code, out, _ = lint(ONE_SIDED, "--fix", "-o", "json")
    answer = json.loads(out)
    assert (code, answer["findings"], answer["refused"]) == (0, [], [])
    assert [(each["code"], each["change"]) for each in answer["fixed"]] == [("TT2004", "adds it")]


def test_sarif_and_annotations_are_warnings_beside_errors(lint: Linter) -> None:
    text = f"{ONE_SIDED}---\n{WRONG.replace('name: redis', 'name: b')}"
    (ran,) = json.loads(lint(text, "-o", "sarif")[1])["runs"]
    assert [(one["ruleId"], one["level"]) for one in ran["results"]] == [("TT1103", "error"), ("TT2004", "warning")]
    assert [rule["id"] for rule in ran["tool"]["driver"]["rules"]] == ["TT1103", "TT2004"]
    lines = lint(text, "-o", "github")[1].splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning"]
    assert "line=10,col=5,title=TT2004::spec.ingress[0]: GlobalNetworkPolicy(redis)" in lines[1]


def test_fix_changes_the_file_and_says_so(lint: Linter) -> None:
    code, out, err = lint(f"# mine\n{ONE_SIDED}", "--fix")
    assert (code, err) == (0, "")
    assert "spec.ingress[0]: TT2004 fixed" in out
    assert (
        lint.text == f"# mine\n{ONE_SIDED}  egress:\n  - {{action: Allow, protocol: TCP, source: {{ports: [6379]}}}}\n"
    )


def test_diff_shows_it_and_changes_nothing(lint: Linter) -> None:
    code, out, _ = lint(ONE_SIDED, "--diff")
    assert code == 1
    assert "\n+  egress:\n" in out
    assert lint.text == ONE_SIDED


def test_what_cannot_be_fixed_is_said(lint: Linter) -> None:
    text = ONE_SIDED.replace("spec:", "spec: &all")
    code, _, err = lint(text, "--fix")
    assert code == 1
    assert "TT2004 not fixed: it has an anchor" in err
    assert lint.text == text


def test_a_fixed_file_keeps_its_mode_and_the_link_that_leads_to_it(lint: Linter) -> None:
    lint(ONE_SIDED)
    real, link = lint.folder / "doc.yaml", lint.folder / "link.yaml"
    real.chmod(0o640)
    link.symlink_to(real)
    assert lint.run(str(link), "--fix")[0] == 0
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "egress" in lint.text
    assert sorted(path.name for path in lint.folder.iterdir()) == ["doc.yaml", "link.yaml"]


def test_standard_input_and_folders_are_read(lint: Linter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ONE_SIDED.encode())))
    code, out, _ = lint.run("-")
    assert code == 1
    assert out.startswith("stdin:10:5: ")
    (lint.folder / "deep").mkdir()
    for name, text in (("a.yaml", PAIR), ("deep/b.yml", NARROW)):
        (lint.folder / name).write_text(text)
    assert lint.run(str(lint.folder))[0] == 0
    assert lint.run(str(lint.folder), "-R")[0] == 0  # the policy of the other file lets the answers out
    (lint.folder / "a.yaml").unlink()
    assert lint.run(str(lint.folder), "-R")[0] == 1


def test_a_file_that_is_named_twice_is_read_once(lint: Linter) -> None:
    lint(PAIR)
    path = str(lint.folder / "doc.yaml")
    assert lint.run(path, path)[0] == 0


def test_what_is_stored_is_company_on_request(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR), "--no-wait")
    other = either.file(NARROW, "second.yaml")
    assert either("lint", other)[0] == 1
    assert either("lint", other, "--live")[0] == 0
    typo = either.file(POLICY.replace("name: redis", "name: third").replace("hep ==", "hepp =="), "third.yaml")
    assert either("lint", typo)[0] == 0
    code, out, _ = either("lint", typo, "--live")
    assert code == 1
    assert "TT2003" in out
    assert "did you mean hep?" in out
