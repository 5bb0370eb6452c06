"""`tortie schema` and `tortie explain-schema`: what is printed is what is checked in, and fields are found."""

import json
from pathlib import Path

import pytest
import yaml

from tortie.apps.ctl.main import run
from tortie.resources.crd import has_definition
from tortie.resources.kinds import KINDS

SCHEMAS = Path(__file__).parents[3] / "schemas"


class Shell:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = run([*arguments])
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return code, out, err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_the_json_schema_that_is_checked_in_is_that_of_the_kinds(shell: Shell) -> None:
    assert (SCHEMAS / "json/all.json").read_text("utf-8") == shell("schema", "json")[1], "run make schemas"


def test_the_definitions_that_are_checked_in_are_those_of_the_kinds(shell: Shell, tmp_path: Path) -> None:
    assert shell("schema", "crd", "--folder", str(tmp_path)) == (0, "", "")
    made = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text("utf-8") for path in (SCHEMAS / "crd").iterdir()}, "run make schemas"
    assert len(made) == len([kind for kind in KINDS.values() if has_definition(kind)])


def test_definitions_are_documents_of_one_stream(shell: Shell) -> None:
    found = [*yaml.load_all(shell("schema", "crd")[1], yaml.CSafeLoader)]
    assert {each["kind"] for each in found} == {"CustomResourceDefinition"}
    assert [each["spec"]["names"]["kind"] for each in found] == [k.word for k in KINDS.values() if has_definition(k)]


def test_one_kind_is_printed_by_any_of_its_names(shell: Shell) -> None:
    (found,) = yaml.load_all(shell("schema", "crd", "gnp")[1], yaml.CSafeLoader)
    assert found["metadata"]["name"] == "globalnetworkpolicies.projectcalico.org"
    schema = json.loads(shell("schema", "json", "HEPs")[1])
    assert [*schema["$defs"]] == ["resource", "HostEndpoint", "HostEndpointList"]


@pytest.mark.parametrize("form", ["json", "crd"])
def test_an_unknown_kind_is_a_usage_error_with_the_nearest_one(shell: Shell, form: str) -> None:
    code, out, err = shell("schema", form, "teir")
    assert (code, out) == (2, "")
    assert "did you mean tier" in err


def test_a_folder_that_cannot_be_written_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = shell("schema", "crd", "--folder", str(tmp_path / "file"))
    assert code == 2
    assert str(tmp_path / "file") in err


def test_a_kind_is_explained_by_its_fields(shell: Shell) -> None:
    code, out, _ = shell("explain-schema", "tier.spec")
    assert code == 0
    lines = out.splitlines()
    assert lines[:3] == ["KIND:     Tier", "VERSION:  projectcalico.org/v3", "FIELD:    spec <object>"]
    assert "  order <number>" in lines[lines.index("FIELDS:") :]
    assert "    one of: Deny, Pass" in lines


@pytest.mark.parametrize(
    ("field", "lines"),
    [
        (
            "gnp.spec.ingress",
            ["FIELD:    spec.ingress <[]object>", "  items at most: 1024", "  action <string> required"],
        ),
        (
            "gnp.spec.ingress.action",
            ["FIELD:    spec.ingress.action <string> required", "  one of: Allow, Deny, Log, Pass"],
        ),
        ("gnp.spec.ingress.protocol", ["FIELD:    spec.ingress.protocol <integer or string>"]),
        ("gnp.spec.types", ["FIELD:    spec.types <[]string>", "  one of: Ingress, Egress", "  each item once"]),
        ("felixconfig.spec.chainInsertMode", ["  one of: Insert, Append"]),
        ("felixconfig.spec.goMaxProcs", ["  at least: -1"]),
        ("profile.spec.labelsToApply", ["FIELD:    spec.labelsToApply <map of string>"]),
        ("hep.metadata.labels", ["  What selectors look at."]),
    ],
)
def test_a_field_is_explained_by_type_values_and_meaning(shell: Shell, field: str, lines: list[str]) -> None:
    code, out, _ = shell("explain-schema", field)
    assert code == 0
    assert [line for line in lines if line not in out.splitlines()] == []


def test_without_a_kind_every_kind_is_listed(shell: Shell) -> None:
    code, out, _ = shell("explain-schema")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert rows.keys() == KINDS.keys()
    assert "gnp" in rows["GlobalNetworkPolicy"]
    assert rows["NetworkPolicy"].split()[2:4] == ["projectcalico.org/v3", "yes"]


def test_the_path_of_a_message_can_be_explained(shell: Shell) -> None:
    assert shell("explain-schema", "gnp.spec.ingress[0].source.nets[12]") == shell(
        "explain-schema", "gnp.spec.ingress.source.nets"
    )
    assert "FIELD:    metadata.labels <map of string>" in shell("explain-schema", 'gnp.metadata.labels["a.b/c"]')[1]


def test_every_field_of_every_kind_is_explained_and_listed_recursively(shell: Shell) -> None:
    for kind in KINDS.values():
        code, out, _ = shell("explain-schema", kind.name, "--recursive")
        listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
        assert code == 0
        assert {*kind.fields, *(kind.status or {})} <= {*listed}


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("gnp.spec.selectr", "no field 'selectr' in spec; did you mean selector?"),
        ("gnp.selector", "did you mean spec.selector?"),
        ("gnp.spec.nets", "no field 'nets' in spec; its fields: "),
        ("gnp.spec.order.x", "no field 'x' in spec.order; it has no fields"),
        ("gnp.", "no field '' in GlobalNetworkPolicy"),
        ("gnpp", "did you mean gnp?"),
        ("", "resource type '' is not supported"),
    ],
)
def test_an_unknown_field_is_a_usage_error_that_says_what_was_meant(shell: Shell, field: str, hint: str) -> None:
    code, out, err = shell("explain-schema", field)
    assert (code, out) == (2, "")
    assert hint in err
