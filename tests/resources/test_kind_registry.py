"""The registry of kinds: its index is the folder's, and a word loads one kind."""

import subprocess
import sys

import pytest

from resources.kind_index import INDEX as INDEX_FILE
from resources.kind_index import index_text
from tortie.resources.index import INDEX
from tortie.resources.kinds import KINDS, WORDS, kind_of


def test_the_index_is_what_the_folder_says() -> None:
    remedy = "run .venv/bin/python tests/resources/kind_index.py, then make build"
    assert INDEX_FILE.read_text(encoding="utf-8") == index_text(), remedy


def test_every_kind_answers_to_the_names_of_the_index() -> None:
    for name, names in INDEX.items():
        kind = KINDS[name]
        assert (name, *names) == (kind.name, kind.plural, kind.aliases, kind.api_version, kind.word)
        assert WORDS[names.api_version, names.word] is kind
        assert all(kind_of(alias) is kind for alias in (name, names.plural, *names.aliases))
    assert len(WORDS) == len(KINDS) == len(INDEX)


def test_what_is_no_kind_is_no_key() -> None:
    assert "Teir" not in KINDS
    assert WORDS.get(("v1", "Tier")) is None
    with pytest.raises(KeyError):
        KINDS["tier"]


@pytest.mark.parametrize("word", ["gnp", "GlobalNetworkPolicies"])
def test_a_word_loads_one_kind_and_nothing_of_the_model(word: str) -> None:
    program = f"""
import sys
from tortie.resources.kinds import kind_of
kind_of({word!r})
print(*sorted(name for name in sys.modules if name.startswith("tortie.") or name == "msgspec"))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("tortie.resources.kinds.")] == [
        "tortie.resources.kinds.globalnetworkpolicy"
    ]
    assert {"msgspec", "tortie.model.selector", "tortie.model.policy", "tortie.resources.meanings"} & {*loaded} == set()
