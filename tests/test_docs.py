"""The documents say what the code says, wherever that can be compared for little."""

import configparser
import re
import tomllib
from pathlib import Path

import pytest

from tortie.apps.agent.settings import NAMES
from tortie.apps.ctl.main import COMMANDS
from tortie.apps.failure import Code
from tortie.apps.linting.checks import every_check
from tortie.model.verdict import Reason
from tortie.resources.codec import decode_text
from tortie.resources.felix import PARAMETERS
from tortie.resources.kinds import KINDS
from tortie.resources.problems import CODES

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "bpf/*.md", "changes/*.md") for path in ROOT.glob(pattern)
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands between this heading and the next one of its level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$\n(.*?)(?=^\1 |\Z)", text, re.M | re.S)
    assert found, f"no section {heading!r}"
    return found[2]


def first_cells(text: str) -> list[list[str]]:
    """Rows of the tables in the text, without headings; code marks taken off."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return [[cell.strip("` ") for cell in row] for row in rows]


def anchor(heading: str) -> str:
    """The name that a heading can be linked by."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(("told", "package"), [("layers", "tortie."), ("rooms", "tortie.apps.")])
def test_the_layers_in_the_architecture_are_those_that_are_enforced(told: str, package: str) -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    enforced = rules[f"importlinter:contract:{told}"]["layers"].replace(package, "").split("\n")
    block = re.search(rf"```{told}\n(.*?)\n```", read("docs/architecture.md"), re.S)
    assert block
    assert block[1].split("\n") == [line.strip() for line in enforced if line.strip()]


def test_the_forbidden_imports_in_the_architecture_are_those_that_are_enforced() -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    enforced = rules["importlinter:contract:pure"]["forbidden_modules"].split()
    told = re.search(r"^- `model`, `resources`, `calc` import no (.*?):", read("docs/architecture.md"), re.M | re.S)
    assert told
    words = re.split(r",\s*(?:nor )?|\s+nor ", told[1])
    assert [word.strip("` ") for word in words] == [module.removeprefix("tortie.") for module in enforced]


def test_the_architecture_lists_every_package() -> None:
    told = {row[0] for row in first_cells(section(read("docs/architecture.md"), "Packages"))} - {"package"}
    assert told == {path.parent.name for path in (ROOT / "src/tortie").glob("*/__init__.py")}


def test_every_reason_is_explained() -> None:
    rows = first_cells(section(read("docs/operating.md"), "Reasons: packets that no rule decided"))
    assert {row[0] for row in rows} - {"reason"} == {reason.value for reason in Reason}


def test_every_error_code_is_listed_with_its_meaning() -> None:
    rows = first_cells(section(read("docs/operating.md"), "Error codes"))
    assert {row[0]: row[1] for row in rows if row[0] != "code"} == CODES


def test_every_finding_is_listed_with_its_meaning() -> None:
    rows = first_cells(section(read("docs/operating.md"), "Findings of lint"))
    assert {row[0]: row[1] for row in rows if row[0] != "code"} == {one.code: one.meaning for one in every_check()}


def test_every_exit_code_is_listed() -> None:
    rows = first_cells(section(read("docs/operating.md"), "Exit codes"))
    assert {row[0] for row in rows} - {"code"} == {"0", "130", *(str(code.exit_code) for code in Code)}


def test_every_command_is_described() -> None:
    rows = first_cells(section(read("docs/operating.md"), "Commands"))
    assert {row[0] for row in rows} - {"command"} == set(COMMANDS)


def test_every_kind_and_every_setting_is_named() -> None:
    text = read("docs/operating.md")
    assert [kind for kind in KINDS if kind not in text] == []
    assert [name for name in NAMES if f"`{name}`" not in section(text, "The agent")] == []


def test_every_parameter_that_is_acted_on_is_described_and_no_other() -> None:
    table = section(read("docs/operating.md"), "Settings").split("| acted on |")[1].split("```")[0]
    told = {name for row in first_cells(table) for name in re.findall(r"[A-Z]\w+", row[0])}
    assert told == {parameter.name for parameter in PARAMETERS if parameter.is_used}


def test_every_dependency_has_a_row_and_every_row_a_dependency() -> None:
    named = {row[0] for row in first_cells(read("DEPENDENCIES.md"))} - {"package"}
    lists = [
        read(f"requirements/{name}").splitlines()
        for name in ("runtime.in", "dev.in", "debian.txt", "debian-kernels.txt")
    ]
    wanted = {line.strip() for lines in lists for line in lines if line.strip() and line[0] not in "#-"}
    assert named == wanted


def test_the_runtime_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert {re.split(r"[<>=~!]", each)[0] for each in project["dependencies"]} == set(
        read("requirements/runtime.in").split()
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_something(path: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, place = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            dead.append(link)
        elif place:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            if place not in map(anchor, headings):
                dead.append(link)
    assert dead == []


def test_the_yaml_in_the_readme_is_the_example_and_decodes() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", read("README.md"), re.S)
    resources, _ = decode_text(text, "README.md")
    assert [(one.kind, one.name) for one in resources] == [
        ("HostEndpoint", "node2-ens4"),
        ("GlobalNetworkPolicy", "redis-accelerator-policy"),
    ]
    example, _ = decode_text(read("examples/redis.yaml"), "redis.yaml")
    assert [one.body for one in resources] == [one.body for one in example]


def test_decisions_are_numbered_without_gaps_and_have_every_part() -> None:
    paths = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in paths] == list(range(1, len(paths) + 1))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert [
            part for part in ("Context.", "Choice.", "Consequences.", "Look again") if f"**{part}" not in text
        ] == []


def test_every_make_target_that_the_documents_name_exists() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text("utf-8"), re.M)}
    assert named - set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M)) == set()
    assert named >= {"demo", "test", "setup", "bench"}
