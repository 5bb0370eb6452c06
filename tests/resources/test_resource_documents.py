"""Text to positioned documents: YAML's traps, positions, streams, and all problems at once."""

import re
from pathlib import Path

import pytest
from resource_text import codes, policy, read, refuse

import tortie
from tortie.resources.codec import decode_text
from tortie.resources.problems import CODES, MAX_PROBLEMS
from tortie.resources.scalars import NotFinite, resolve

HEAD = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: thing}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("20:21", "20:21"), ("80:59", "80:59"), ("1:30:00", "1:30:00"), ("2026-01-01", "2026-01-01")),
        *(("0x10", 16), ("0b11", 3), ("0o17", 15), ("010", 8), ("08", 8), ("019", 19), ("1_000", 1000), ("-5", -5)),
        *(("+7", 7), ("1_", "1_"), ("_1", "_1"), ("1__0", "1__0"), ("0x", "0x"), ("1e3", 1000.0), (".5", 0.5)),
        *(("1.", 1.0), ("1.5E-1", 0.15), (".", "."), ("-", "-"), ("1.2.3", "1.2.3"), ("10.0.0.1", "10.0.0.1")),
        *(("yes", True), ("On", True), ("Y", True), ("true", True), ("NO", False), ("off", False), ("n", False)),
        *(("yEs", "yEs"), ("tRUE", "tRUE"), ("", None), ("~", None), ("Null", None), ("nULL", "nULL"), ("NaN", "NaN")),
        ("9" * 65, "9" * 65),
    ],
)
def test_unquoted_scalars_are_read_by_the_reference_rules(text: str, value: object) -> None:
    found = resolve(text)
    assert (value, type(value)) == (found, type(found))


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "1e999", "-1e999"])
def test_numbers_that_are_not_finite_are_refused(text: str) -> None:
    with pytest.raises(NotFinite):
        resolve(text)


def test_a_range_that_no_yaml_reads_as_a_number_needs_no_quotes() -> None:
    resource = read(ported("'20:21', 0x50, 80:80, '443', 2000:3000"))
    assert resource.spec["ingress"] == [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["20:21", 80, 80, 443, "2000:3000"]}}
    ]


@pytest.mark.parametrize(("ports", "number"), [("20:21", 1221), ("80:59", 4859), ("1:9", 69)])
def test_a_range_that_yaml_1_1_reads_as_a_number_is_refused_unless_quoted(ports: str, number: int) -> None:
    (problem,) = refuse(ported(ports))
    assert (problem.code, problem.path) == ("TT1107", "spec.ingress[0].destination.ports[0]")
    assert str(number) in str(problem)
    assert f'quote it: "{ports}"' in str(problem)


def ported(ports: str) -> str:
    """A policy with those ports."""
    head = HEAD.replace("GlobalNetworkSet", "GlobalNetworkPolicy")
    return f"{head}spec: {{ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{ports}]}}}}]}}\n"


ARTICLE = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: node2-ens4
  labels: {hep: redis-host}
spec:
  interfaceName: ens4
  node: node2
  expectedIPs: [<NODE_IP>]
---
piVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: redis-accelerator-policy}
spec:
  selector: has(hep) && hep = "redis-host"
  order: 9
  applyOnForward: true
  doNotTrack: true
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [6379, 70000, 20:10]}}
  egress:
  - {action: Allow, protocol: tcp, source: {ports: [6379], nets: [10.0.0.1/8]}}
"""


def test_every_problem_of_every_document_is_found_at_once_with_its_place() -> None:
    found = [(problem.line, problem.column, problem.path, problem.code) for problem in refuse(ARTICLE)]
    assert found == [
        (9, 17, "spec.expectedIPs[0]", "TT1109"),
        (11, 1, "piVersion", "TT1101"),
        (15, 29, "spec.selector", "TT1201"),
        (20, 64, "spec.ingress[0].destination.ports[1]", "TT1107"),
        (20, 71, "spec.ingress[0].destination.ports[2]", "TT1107"),
        (22, 31, "spec.egress[0].protocol", "TT1108"),
        (22, 67, "spec.egress[0].source.nets[0]", "TT1106"),
    ]


def test_problems_read_as_one_line_with_place_code_and_remedy() -> None:
    texts = [str(problem) for problem in refuse(ARTICLE)]
    assert texts[0] == (
        "test.yaml:9:17: spec.expectedIPs[0]: TT1109 <NODE_IP> is a placeholder; "
        "expected the address of the node's interface; replace it by the real value"
    )
    assert texts[1] == 'test.yaml:11:1: piVersion: TT1101 unknown field "piVersion"; did you mean apiVersion?'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spec: {nets: []}\nspec: {}\n", ("TT1007", 5, 1)),
        ("spec: {nets: [!foo 10.0.0.1]}\n", ("TT1006", 4, 15)),
        ("spec: {nets: ! [10.0.0.1]}\n", ("TT1006", 4, 14)),
        ("spec: {nets: [.inf]}\n", ("TT1008", 4, 15)),
        ("spec: {nets: [*a]}\n", ("TT1005", 4, 15)),
        ("spec: &a {nets: [*a]}\n", ("TT1005", 4, 18)),
        ("spec: {y: 1}\n", ("TT1009", 4, 8)),
        ("spec: {? [a] : 1}\n", ("TT1009", 4, 10)),
        ("spec: {nets: [}\n", ("TT1001", 4, 15)),
        ("spec:\n\tnets: []\n", ("TT1001", 5, 1)),
        ("spec: {nets: ['\x00']}\n", ("TT1002", 4, 16)),
        ("spec: {nets: " + "[" * 200 + "]" * 200 + "}\n", ("TT1004", 4, 112)),
    ],
)
def test_broken_text_is_refused_where_it_is_broken(text: str, expected: tuple[str, int, int]) -> None:
    problem = refuse(HEAD + text)[0]
    assert expected == (problem.code, problem.line, problem.column)


def test_a_negation_that_yaml_would_swallow_is_refused() -> None:
    text = HEAD.replace("GlobalNetworkSet", "GlobalNetworkPolicy")
    assert codes(text + "spec:\n  selector: ! has(a)\n") == ["TT1006"]
    assert codes(text + "spec:\n  selector: !has(a)\n") == ["TT1006"]
    assert read(text + "spec:\n  selector: '!has(a)'\n").spec["selector"] == "!has(a)"


def test_text_that_is_no_utf8_is_refused_at_the_byte() -> None:
    problem = refuse(HEAD.encode() + b"spec: {nets: [\xff]}\n")[0]
    assert (problem.code, problem.line, problem.column) == ("TT1002", 4, 15)


def test_a_broken_document_does_not_hide_the_others() -> None:
    good = HEAD + "spec: {nets: [10.0.0.0/8]}\n"
    resources, problems = decode_text(f"{good}---\nkind: [\n---\n{good}---\n{HEAD}spec: {{nets: [x]}}\n", "f.yaml")
    assert [resource.line for resource in resources] == [1, 8]
    assert [(problem.code, problem.line) for problem in problems] == [("TT1001", 7), ("TT1106", 16)]


def test_streams_lists_and_arrays_hold_resources() -> None:
    item = '{"metadata": {"name": "%s"}, "spec": {"nets": ["10.0.0.0/8"]}}'
    typed = item.replace("{", '{"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet", ', 1)
    many = (
        '{"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSetList", "metadata": {"resourceVersion": "7"}, '
    )
    text = f'{many}"items": [{item % "a"}, {item % "b"}]}}\n---\n[{typed % "c"}, {typed % "d"}]\n'
    resources, problems = decode_text(text, "f.json")
    assert problems == []
    assert [resource.name for resource in resources] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "\ufeff", "%YAML 1.2\n# nothing\n"])
def test_an_empty_file_holds_no_resources(text: str) -> None:
    assert decode_text(text, "f.yaml") == ([], [])


def test_comments_and_directives_before_the_first_document_belong_to_it() -> None:
    assert read(f"# licence\n---\n{HEAD}").line == 3
    assert read(f"%YAML 1.2\n---\n{HEAD}").line == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((f"{HEAD}---\n", "TT1011"), ("just text\n", "TT1011"), ("[1]\n", "TT1011"), ("kind: Tier\n", "TT1012")),
        *((HEAD.replace("v3", "v1"), "TT1012"), (HEAD.replace("NetworkSet", "NetworkSett"), "TT1013")),
        (HEAD.replace("kind: GlobalNetworkSet\n", ""), "TT1013"),
        ("apiVersion: projectcalico.org/v3\nkind: TierList\n", "TT1102"),
        ("apiVersion: projectcalico.org/v3\nkind: TierList\nitems: []\nspec: {}\n", "TT1101"),
        ("apiVersion: projectcalico.org/v3\nkind: TierList\nitems: [{kind: Profile, metadata: {name: a}}]\n", "TT1013"),
        ("apiVersion: projectcalico.org/v3\nkind: TierList\nitems: [1]\n", "TT1011"),
        (HEAD + "items: []\n", "TT1101"),
        (HEAD.replace("kind:", "kimd:"), "TT1101"),
        (HEAD.replace("{name: thing}", "{labels: {a: 1}}"), "TT1102"),
        (HEAD.replace("{name: thing}", "[]"), "TT1103"),
        (HEAD + "spec: []\n", "TT1103"),
    ],
)
def test_documents_that_are_no_resource_are_refused(text: str, code: str) -> None:
    assert code in [problem.code for problem in decode_text(text, "f.yaml")[1]]


def test_a_remark_behind_a_separator_is_passed_over() -> None:
    plain = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: a}\nspec: {nets: []}"
    found, problems = decode_text(f"--- the first one\n{plain}\n--- and: the second\n\n# so\n{plain}", "f.yaml")
    assert (len(found), problems) == (2, [])
    found, problems = decode_text(f"--- {{kind: Tier}}\n{plain}", "f.yaml")
    assert found == []
    assert problems  # a value on that line is none
    found, problems = decode_text("--- nothing follows\n", "f.yaml")
    assert [problem.message for problem in problems] == ["not a resource"]


@pytest.mark.parametrize(
    ("order", "remedy"), [("1:30", ""), ("2001-01-01", ""), ('"10"', "remove the quotes"), ('"ten"', "")]
)
def test_quotes_are_to_be_removed_where_a_number_is_in_them(order: str, remedy: str) -> None:
    text = f"{{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {{name: a}}, spec: {{order: {order}}}}}"
    (problem,) = decode_text(text, "f.yaml")[1]
    assert problem.remedy == remedy


def test_an_empty_item_of_an_array_is_told_apart_from_an_empty_document() -> None:
    (problem,) = decode_text("- -", "f.yaml")[1]
    assert problem.message == "an empty item"


def test_anchors_and_merge_keys_work() -> None:
    text = HEAD + "spec: {<<: {nets: &n [10.0.0.0/8]}}\n"
    assert read(text).spec == {"nets": ["10.0.0.0/8"]}
    assert codes(HEAD + "spec: {<<: {nets: []}, nets: []}\n") == ["TT1007"]


def test_windows_line_ends_byte_order_marks_and_tabs_in_json_are_fine() -> None:
    assert read("\ufeff" + (HEAD + "spec: {}\n").replace("\n", "\r\n")).name == "thing"
    assert read('{\n\t"apiVersion": "projectcalico.org/v3",\n\t"kind": "Tier", "metadata": {"name": "t"}}').name == "t"


def test_numbers_where_text_is_expected_are_refused_with_the_quotes_to_add() -> None:
    (problem,) = refuse(HEAD.replace("name: thing", "name: thing, labels: {version: 1.0}"))
    assert (problem.code, problem.remedy) == ("TT1103", 'quote it: "1.0"')


def test_unknown_fields_get_a_suggestion_from_their_own_place() -> None:
    found = [(each.path, each.remedy) for each in refuse(policy({"actoin": "Allow", "action": "Deny"}, ordr=1))]
    assert ("spec.ingress[0].actoin", "did you mean action?") in found
    assert ("spec.ordr", "did you mean order?") in found


def test_the_list_of_problems_is_capped_and_says_so() -> None:
    problems = refuse(HEAD + "spec: {nets: [" + "x," * 500 + "]}\n")
    assert len(problems) == MAX_PROBLEMS + 1
    assert (problems[-1].code, problems[-1].message) == ("TT1010", "400 more problems are not listed")


def test_a_list_nested_in_itself_by_aliases_costs_nothing() -> None:
    lines = ["a0: &a0 [" + "x," * 10 + "]"] + [f"a{i}: &a{i} [{f'*a{i - 1},' * 10}]" for i in range(1, 30)]
    assert refuse("\n".join(lines))[0].code == "TT1003"


def test_every_code_that_is_used_is_listed() -> None:
    sources = Path(tortie.__path__[0]).rglob("*.py")
    used = {
        code for path in sources if path.name != "problems.py" for code in re.findall(r"TT1\d{3}", path.read_text())
    }
    used |= {"TT1010"}
    assert used == set(CODES)
