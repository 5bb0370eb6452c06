"""`tortie validate`: an item for each document, and the forms that other programs read."""

import io
import json
import os
from pathlib import Path

import pytest

from apps.documents import PAIR, POLICY, network_set
from tortie.apps.ctl.commands.validate import FORMS
from tortie.apps.ctl.main import run
from tortie.resources.problems import CODES

ROOT = Path(__file__).parents[3]
GOOD = network_set("a") + "\n"
BAD = GOOD.replace("GlobalNetworkSet", "GlobalNetworkSett")
STREAM = f"""{GOOD}---
{BAD}---
kind: [
---
{GOOD}--- # an empty one
---
just text
"""


class Validator:
    """Runs the command on a text."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, text: str | bytes, form: str = "json", name: str = "doc.yaml") -> tuple[int, str, str]:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.run("-f", str(path), "-o", form)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = run(["validate", *arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def items(self, text: str | bytes) -> list[dict[str, object]]:
        code, out, err = self(text)
        items = json.loads(out)
        assert err == ""
        assert code == (0 if all(item["valid"] for item in items) else 3)
        return items


@pytest.fixture
def validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Validator:
    return Validator(tmp_path, capsys)


def shape(items: list[dict[str, object]]) -> list[tuple[object, ...]]:
    keys = ("line", "kind", "name", "valid")
    return [(*(item[key] for key in keys), [error["code"] for error in item["errors"]]) for item in items]


def test_valid_documents_are_counted_and_nothing_else_is_said(validate: Validator) -> None:
    assert validate(PAIR, "text") == (0, "Successfully validated 2 resource(s)\n", "")
    assert validate(POLICY, "text")[1] == "Successfully validated 1 'GlobalNetworkPolicy' resource(s)\n"


def test_the_text_form_has_every_problem_on_stderr(validate: Validator) -> None:
    code, out, err = validate(PAIR.replace("10.0.0.5", "<NODE_IP>").replace("Allow", "Alow"), "text")
    assert (code, out) == (3, "")
    assert err.count("TT1109") == 1
    assert err.count("TT1104") == 2
    assert err.endswith("tortie: 3 problems found\n")


def test_each_document_is_an_item_in_the_order_of_the_input(validate: Validator) -> None:
    assert shape(validate.items(STREAM)) == [
        (1, "GlobalNetworkSet", "a", True, []),
        (3, "GlobalNetworkSett", "a", False, ["TT1013"]),
        (5, None, None, False, ["TT1001"]),
        (7, "GlobalNetworkSet", "a", False, ["TT1902"]),
        (8, None, None, False, ["TT1011"]),
        (10, None, None, False, ["TT1011"]),
    ]


def test_an_item_has_its_source_and_errors_their_place_and_message(validate: Validator) -> None:
    (item,) = validate.items("kind: Tier\napiVersion: projectcalico.org/v3\nmetadata: {name: a}\nspec: {order: x}\n")
    assert item == {
        "source": str(validate.folder / "doc.yaml"),
        "line": 1,
        "kind": "Tier",
        "name": "a",
        "valid": False,
        "errors": [
            {
                "code": "TT1103",
                "path": "spec.order",
                "line": 4,
                "column": 15,
                "message": 'wrong type; found "x", expected a number',
            }
        ],
    }


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("", (1, None, None, False, ["TT1901"])),
        (b"kind: \xff", (1, None, None, False, ["TT1002"])),
        ("kind: 4", (1, None, None, False, ["TT1012", "TT1013"])),
        ("{}", (1, None, None, False, ["TT1012", "TT1013"])),
        ("# first\n\n" + GOOD, (3, "GlobalNetworkSet", "a", True, [])),
        (json.dumps([json.loads('{"kind": "Tier"}')]), (1, None, None, False, ["TT1012", "TT1102"])),
    ],
)
def test_a_document_that_cannot_be_read_counts_too(validate: Validator, text: str, item: tuple[object, ...]) -> None:
    assert shape(validate.items(text)) == [item]


def test_a_list_is_one_document_and_its_errors_say_which_item_they_are_in(validate: Validator) -> None:
    items = [
        {"metadata": {"name": "a"}, "spec": {"order": "x"}},
        {"metadata": {"name": "b"}, "spec": {}},
        {"metadata": {"name": "c"}, "spec": {"order": "x"}},
        3,
    ]
    body = {"apiVersion": "projectcalico.org/v3", "kind": "TierList", "items": items}
    (item,) = validate.items(json.dumps(body))
    assert (item["kind"], item["name"], item["valid"]) == ("TierList", None, False)
    assert [error["path"] for error in item["errors"]] == ["items[0].spec.order", "items[2].spec.order", "items[3]"]
    (item,) = validate.items(json.dumps([body, {**body, "kind": "Tier"}]))
    assert [error["path"] for error in item["errors"]][:2] == ["[0].items[0].spec.order", "[0].items[2].spec.order"]
    assert item["kind"] is None


def test_an_error_of_one_item_of_a_list_hides_none_of_another(validate: Validator) -> None:
    endpoints = [
        {"metadata": {"name": name}, "spec": {"interfaceName": "eth0", **spec}}
        for name, spec in (("a", {"node": "A_B"}), ("b", {}))
    ]
    body = {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpointList", "items": endpoints}
    (item,) = validate.items(json.dumps(body))
    assert [(error["path"], error["code"]) for error in item["errors"]] == [
        ("items[0].spec.node", "TT1112"),
        ("items[1].spec.node", "TT1102"),
    ]


def test_namespace_and_empty_files_are_as_for_the_other_verbs(validate: Validator) -> None:
    path = validate.folder / "doc.yaml"
    path.write_text(GOOD.replace("GlobalNetworkSet", "NetworkSet").replace('"name"', '"namespace": "shop", "name"'))
    assert validate.run("-f", str(path), "-n", "shop")[0] == 0
    code, _, err = validate.run("-f", str(path), "-n", "other")
    assert (code, "TT1904" in err) == (3, True)
    path.write_text(GOOD)
    assert "TT1905" in validate.run("-f", str(path), "-n", "shop")[2]
    assert validate.run("-f", str(path), "-n", "No!")[0] == 2
    path.write_text("")
    assert validate.run("-f", str(path))[0] == 3
    assert validate.run("-f", str(path), "--skip-empty") == (0, "No resources specified\n", "")
    assert validate.run("-f", str(path), "--skip-empty", "-o", "json") == (0, "[]\n", "")
    (validate.folder / "none").mkdir()
    assert validate.run("-f", str(validate.folder / "none"), "--skip-empty")[0] == 0


def test_folders_and_standard_input_are_read(validate: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    (validate.folder / "deep").mkdir()
    for name, text in (("b.yaml", GOOD), ("a.json", network_set("z")), ("deep/c.yml", BAD), ("d.txt", BAD)):
        (validate.folder / name).write_text(text)
    code, out, _ = validate.run("-f", str(validate.folder), "-o", "json")
    assert code == 0
    assert [(Path(item["source"]).name, item["name"]) for item in json.loads(out)] == [("a.json", "z"), ("b.yaml", "a")]
    code, out, _ = validate.run("-f", str(validate.folder), "-R", "-o", "json")
    assert code == 3
    assert len(json.loads(out)) == 3
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    code, out, _ = validate.run("-f", "-", "-o", "json")
    assert (code, json.loads(out)[0]["source"]) == (0, "stdin")


@pytest.mark.parametrize("form", FORMS)
def test_the_exit_code_is_that_of_the_documents_in_every_form(validate: Validator, form: str) -> None:
    assert validate(GOOD, form)[0] == 0
    assert validate(BAD, form)[0] == 3


@pytest.mark.parametrize("form", FORMS)
def test_a_file_name_that_is_no_text_breaks_no_form(validate: Validator, form: str) -> None:
    name = os.fsdecode(b"\xff.yaml")
    try:
        code, out, err = validate(BAD, form, name)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    assert code == 3
    assert {"text": "\\udcff.yaml", "json": "\\udcff.yaml", "sarif": "%FF.yaml", "github": "udcff.yaml"}[
        form
    ] in out + err


def test_without_a_file_it_is_a_usage_error(validate: Validator) -> None:
    code, _, err = validate.run()
    assert code == 2
    assert "give documents with -f" in err


def test_sarif_has_a_result_for_each_problem_and_a_rule_for_each_code(validate: Validator) -> None:
    _, out, _ = validate(STREAM, "sarif", "a b.yaml")
    report = json.loads(out)
    (run_,) = report["runs"]
    rules, results = run_["tool"]["driver"]["rules"], run_["results"]
    assert report["version"] == "2.1.0"
    assert [result["ruleId"] for result in results] == ["TT1013", "TT1001", "TT1902", "TT1011", "TT1011"]
    assert [rules[result["ruleIndex"]]["id"] for result in results] == [result["ruleId"] for result in results]
    assert {rule["id"] for rule in rules} == {"TT1001", "TT1011", "TT1013", "TT1902"}
    assert [rule["shortDescription"]["text"] for rule in rules] == [CODES[rule["id"]] for rule in rules]
    assert [rule["helpUri"] for rule in rules if not (ROOT / rule["helpUri"]).is_file()] == []
    place = results[0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("/a%20b.yaml")
    assert place["physicalLocation"]["region"] == {"startLine": 3, "startColumn": GOOD.index('"GlobalNetworkSet"') + 1}
    assert place["logicalLocations"] == [{"fullyQualifiedName": "kind"}]


def test_sarif_of_valid_documents_has_no_results(validate: Validator) -> None:
    (run_,) = json.loads(validate(GOOD, "sarif")[1])["runs"]
    assert (run_["results"], run_["tool"]["driver"]["rules"]) == ([], [])


def test_annotations_are_one_line_each_and_escape_what_would_end_them(validate: Validator) -> None:
    text = 'apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: a}\nspec: {"50%": 1, "a\\nb": 1, order: x}\n'
    _, out, err = validate(text, "github", "a,b:c.yaml")
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("::error file=") and "a%2Cb%3Ac.yaml,line=4,col=" in line for line in lines)
    assert ',title=TT1101::spec["50%25"]: unknown field' in lines[0]
    assert lines[2].endswith('title=TT1103::spec.order: wrong type; found "x", expected a number')


class TestQuestions:
    """PolicyTest and PolicyAssertion documents beside the policy that they ask about."""

    HOST = "apiVersion: tortie.io/v1\nkind: PolicyTest\nhost: {interfaces: [{name: eth0, addresses: [192.0.2.1/24]}]}\n"
    TEST = HOST + (
        "files: [doc.yaml]\npackets:\n"
        "- {direction: ingress, proto: tcp, src: 192.0.2.9, dst: 192.0.2.1, dport: 80, expect: deny}\n"
    )
    ASSERTION = TEST[: TEST.index("packets")].replace("PolicyTest", "PolicyAssertion") + (
        "assertions:\n- {name: all, direction: ingress, expect: deny}\n"
    )

    def test_what_can_be_answered_is_valid(self, validate: Validator) -> None:
        (validate.folder / "test.yaml").write_text(self.TEST)
        (validate.folder / "assertion.yaml").write_text(self.ASSERTION)
        (validate.folder / "doc.yaml").write_text(GOOD)
        code, out, _ = validate.run("-f", str(validate.folder))
        assert (code, out) == (
            0,
            "Successfully validated 1 'GlobalNetworkSet' resource(s), 1 PolicyAssertion(s), 1 PolicyTest(s)\n",
        )

    def test_they_have_the_problems_that_their_own_command_has_with_them(self, validate: Validator) -> None:
        (validate.folder / "doc.yaml").write_text(GOOD)
        wrong = self.TEST.replace("proto: tcp", "in: eth7, proto: tcp")
        code, out, _ = validate(wrong, name="test.yaml")
        (item,) = json.loads(out)
        assert (code, item["kind"], [error["code"] for error in item["errors"]]) == (3, "PolicyTest", ["TT1972"])
        _, out, _ = validate(self.ASSERTION.replace("ingress", "across"), name="assertion.yaml")
        assert [error["path"] for item in json.loads(out) for error in item["errors"]] == ["assertions[0].direction"]
        _, out, _ = validate(f"{self.TEST}---\n{GOOD}", name="two.yaml")
        assert [[error["code"] for error in item["errors"]] for item in json.loads(out)] == [["TT1970"], []]

    def test_a_problem_of_a_file_that_they_name_is_told_once(self, validate: Validator) -> None:
        (validate.folder / "test.yaml").write_text(self.TEST)
        (validate.folder / "doc.yaml").write_text(BAD)
        code, out, _ = validate.run("-f", str(validate.folder), "-o", "json")
        assert code == 3
        assert [[error["code"] for error in item["errors"]] for item in json.loads(out)] == [["TT1013"], []]
        (item,) = json.loads(validate.run("-f", str(validate.folder / "test.yaml"), "-o", "json")[1])
        assert [error["code"] for error in item["errors"]] == ["TT1013"]

    @pytest.mark.parametrize("command", ["apply", "diff"])
    def test_whoever_writes_refuses_them_with_one_line(
        self, command: str, validate: Validator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = validate.folder / "test.yaml"
        path.write_text(self.TEST)
        code = run([command, "-f", str(path), "--datastore", str(validate.folder / "store")])
        err = capsys.readouterr().err
        assert code == 3
        said = "kind: TT1013 a PolicyTest is no resource, and is not stored; answer it with tortie test"
        assert [line for line in err.splitlines() if "TT" in line] == [f"{path}:2:7: {said}"]

    def test_lint_leaves_them_to_their_commands(self, validate: Validator, capsys: pytest.CaptureFixture[str]) -> None:
        (validate.folder / "test.yaml").write_text(self.TEST)
        (validate.folder / "doc.yaml").write_text(GOOD)
        code = run(["lint", str(validate.folder)])
        out, err = capsys.readouterr()
        said = "Nothing to say about 1 resource; 1 PolicyTest(s) left to tortie test and tortie assert\n"
        assert (code, out, err) == (0, said, "")
