"""What lint says: golden cases, and that no check speaks where it cannot know."""

from pathlib import Path

import pytest

from apps.lintcases import CASES, fixed, read, said, source_of
from apps.seeds import seeds
from tortie.apps.answers import SourceText
from tortie.apps.decoding import decode_files
from tortie.apps.linting.checks import every_check
from tortie.apps.linting.fixing import fix
from tortie.apps.linting.running import Company, lint

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_golden_documents_are_found_what_is_written_beside_them(case: Path) -> None:
    assert said(read(source_of(case))) == (case / "findings.txt").read_text()


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_golden_documents_are_fixed_as_is_written_beside_them(case: Path) -> None:
    source = source_of(case)
    wanted = case / f"fixed{source.suffix}"
    assert fixed(read(source)) == read(wanted if wanted.exists() else source)["text"]


def test_every_check_has_a_golden_case_or_is_told_by_apply_alone() -> None:
    text = "".join(path.read_text() for path in CASES.glob("*/findings.txt"))
    assert [check.code for check in every_check() if not check.is_notice and check.code not in text] == []


def test_codes_are_told_apart() -> None:
    codes = [check.code for check in every_check()]
    assert codes == [f"TT20{number:02}" for number in range(1, len(codes) + 1)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_nothing_is_said_of_the_examples(path: Path) -> None:
    assert said({"source": path.name, "text": path.read_text()}) == "nothing\n"


def codes(*texts: str, company: Company | None = None) -> list[str]:
    files = [SourceText(source=f"{number}.yaml", text=text) for number, text in enumerate(texts)]
    return [one.code for one in lint(files, company).findings]


def stored(text: str) -> Company:
    return Company(tuple(decode_files([{"source": "stored", "text": text}])), is_live=True)


HEAD = "apiVersion: projectcalico.org/v3\n"
SPEC = "{selector: a == 'x', ingress: [{action: Allow}]}"
POLICY = f"{HEAD}kind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec: {SPEC}\n"
ENDPOINT = (
    f"{HEAD}kind: HostEndpoint\nmetadata: {{name: h, labels: {{a: z}}}}\nspec: {{node: web1, interfaceName: eth0}}\n"
)
MATCHED = ENDPOINT.replace("a: z", "a: x")


def test_a_selector_is_judged_where_endpoints_are_known_and_not_where_they_are_not() -> None:
    assert codes(POLICY) == []
    assert codes(POLICY, ENDPOINT) == ["TT2003"]
    assert codes(POLICY, ENDPOINT, MATCHED.replace("name: h", "name: i")) == []
    assert codes(POLICY, company=stored(ENDPOINT)) == ["TT2003"]
    assert codes(POLICY, company=stored(MATCHED)) == []


def test_the_files_take_the_place_of_what_is_stored() -> None:
    assert codes(POLICY, MATCHED, company=stored(ENDPOINT)) == []
    assert codes(ENDPOINT, company=stored(POLICY)) == []  # company is not judged


def test_labels_that_could_come_from_an_unknown_profile_are_not_known() -> None:
    listing = ENDPOINT.replace("a: z", "b: z").replace("node: web1", "node: web1, profiles: [base]")
    assert codes(POLICY, listing) == []
    profile = f"{HEAD}kind: Profile\nmetadata: {{name: base}}\nspec: {{labelsToApply: {{a: x}}}}\n"
    assert codes(POLICY, listing, profile) == []
    assert codes(POLICY, listing, profile.replace("a: x", "c: x")) == ["TT2003"]


def test_a_tier_is_missed_where_tiers_are_known() -> None:
    policy = POLICY.replace("selector", "tier: t, selector").replace("name: p", "name: t.p")
    tier = f"{HEAD}kind: Tier\nmetadata: {{name: u}}\nspec: {{order: 1}}\n"
    assert codes(policy) == []
    assert codes(policy, tier) == ["TT2008"]
    assert codes(policy, tier.replace("name: u", "name: t")) == []
    assert codes(policy, company=stored(tier)) == ["TT2008", "TT2003"]


def test_every_finding_has_a_place_in_the_text_and_a_remedy() -> None:
    for case in CASES.iterdir():
        file = read(source_of(case))
        lines = file["text"].splitlines()
        for one in lint([file]).findings:
            assert 1 <= one.line <= len(lines)
            assert 1 <= one.column <= len(lines[one.line - 1])
            assert one.suspicion.found
            assert one.suspicion.why
            assert one.suspicion.remedy


def test_rules_are_not_hidden_by_a_policy_that_is_not_enforced() -> None:
    """Http matches make a policy one that is refused, so that it hides nothing."""
    first = POLICY.replace("ingress: [{", "order: 1, ingress: [{http: {methods: [GET]}, ")
    second = POLICY.replace("name: p", "name: q").replace("ingress: [{action: Allow", "ingress: [{action: Deny")
    assert codes(first, second) == []
    assert codes(POLICY, second.replace("ingress", "order: 2000, ingress")) != []


def test_documents_of_every_kind_can_be_linted() -> None:
    files = [SourceText(source=f"{kind}.json", text=text) for kind, text in seeds().items()]
    report = lint(files)
    assert len(report.pages) == len(files)
    assert fix(files, report, Company()).refused == ()


def test_a_namespace_gives_labels_to_what_is_in_it() -> None:
    pod = """\
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: node1}
status: {phase: Running, podIP: 10.1.0.5}
"""
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n"
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: shop}\n"
    policy = POLICY.replace("selector: a == 'x'", "namespaceSelector: team == 'b'")
    assert codes(policy, pod, namespace, account) == ["TT2003"]
    assert codes(policy.replace("'b'", "'a'"), pod, namespace, account) == []
    assert codes(policy, pod, account) == []
    assert codes(policy, namespace) == []
