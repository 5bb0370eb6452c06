"""Every code has a page, whose wrong example has exactly that problem or finding and whose right one has none."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tortie.apps.answers import Document, SourceText
from tortie.apps.decoding import read_sources
from tortie.apps.failure import Failure
from tortie.apps.linting.checks import every_check
from tortie.apps.linting.running import lint
from tortie.apps.policyassert.answering import answer
from tortie.apps.policyassert.document import read_assertions
from tortie.apps.policytest.document import Unloadable, read_test
from tortie.apps.policytest.running import run
from tortie.apps.requests import Verb
from tortie.apps.verbs.patching import patched
from tortie.apps.verbs.service import write
from tortie.resources.codec import decode_stored, lower
from tortie.resources.problems import CODES, InvalidDocument
from tortie.store.memory import MemoryStore

FOLDER = Path(__file__).parent.parent / "docs/errors"
PAGES = sorted(FOLDER.glob("TT*.md"))
STORED, WRITTEN = {"TT1401"}, {"TT1339": Verb.APPLY, "TT1903": Verb.APPLY, "TT1906": Verb.CREATE, "TT1907": Verb.APPLY}
"""Codes that come of a datastore: of reading its documents, and of writing to it."""
IN_SHOP, PATCHES = {"TT1904", "TT1905"}, {"TT1908"}
"""Codes that come of `--namespace shop`, and of a patch."""
PATCHED: Document = {"kind": "GlobalNetworkPolicy", "metadata": {"name": "web"}, "spec": {"order": 10}}
TRIED = {code for code in CODES if code.startswith("TT197")}
"""Codes of files that `tortie test` reads."""
ASSERTED = {code for code in CODES if code.startswith("TT198")}
"""Codes of files that `tortie assert` reads."""
FOUND = {check.code: check.meaning for check in every_check()}
NOTICED = {check.code for check in every_check() if check.is_notice}
"""Codes of findings: of lint, and of those that only `apply` tells."""
MEANINGS = {**CODES, **FOUND}
TOO_MANY = {"TT1010"}
"""Stands for problems beyond those that are listed, which are there beside it."""


def examples(page: Path) -> list[bytes]:
    """The examples in their order; those in `sh` are what the commands print."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [_printed(text) if form == "sh" else text.encode() for form, text in found]


def _printed(script: str) -> bytes:
    return subprocess.run(["sh", "-euc", script], check=True, capture_output=True).stdout


def codes(code: str, text: bytes) -> list[str]:
    """The codes of all problems, where problems of that code come from."""
    source = text.decode("utf-8", "surrogateescape")
    if code in STORED:
        try:
            lower(decode_stored(text))
        except InvalidDocument as error:
            return [problem.code for problem in error.problems]
        return []
    if code in NOTICED:
        told = asyncio.run(write(MemoryStore(), Verb.APPLY, [{"source": "f.yaml", "text": source}]))["warnings"]
        return [each for warning in told for each in re.findall(r"\((TT\d+)\)$", warning)]
    if code in FOUND:
        report = lint([{"source": "f.yaml", "text": source}])
        return [each.code for each in (*report.problems, *report.findings)]
    if code in WRITTEN:
        try:
            asyncio.run(write(MemoryStore(), WRITTEN[code], [{"source": "f.yaml", "text": source}]))
        except Failure as error:
            return [problem["code"] for problem in error.problems]
        return []
    if code in PATCHES:
        try:
            patched(PATCHED, yaml.safe_load(source), "json")
        except Failure as error:
            return re.findall(r"TT\d+", error.message)
        return []
    if code in TRIED | ASSERTED:
        file = SourceText(source="f.yaml", text=source)
        try:
            run(read_test(file)) if code in TRIED else answer(read_assertions(file))
        except Unloadable as error:
            return [problem.code for problem in error.problems]
        return []
    namespace = "shop" if code in IN_SHOP else ""
    readings = read_sources([{"source": "f.yaml", "text": source}], namespace=namespace)
    return [problem.code for one in readings for problem in one.problems]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert [page.stem for page in PAGES] == sorted(MEANINGS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_wrong_example_has_exactly_that_problem_and_the_right_one_none(page: Path) -> None:
    wrong, right = examples(page)
    found = codes(page.stem, wrong)
    assert found[-1:] == [page.stem] if page.stem in TOO_MANY else found == [page.stem]
    assert codes(page.stem, right) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_meaning_as_heading_and_every_part(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}: {MEANINGS[page.stem]}\n")
    assert re.findall("^## (.*)$", text, re.M) == ["Wrong", "What to write instead"]


def test_the_index_lists_every_page_with_its_meaning() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\) \| (.*) \|$", (FOLDER / "README.md").read_text("utf-8"), re.M)
    assert [(code, code, meaning) for code, meaning in MEANINGS.items()] == rows
