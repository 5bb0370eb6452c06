r"""Characters that JSON writes as two escapes, as `json.dumps` does with an emoji: each pair is one character."""

import json
from random import Random

import pytest

from tortie.resources.document import read_documents
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import Problem

_CHARACTERS = "a\\\"/\n\t 'u{}[]:,#-\u00e9\ue000\ud7ff\U0001f600\U0010ffff\U00010000d8"


def one(text: str) -> tuple[Node | None, list[Problem]]:
    (document,) = read_documents(text, "t.json")
    return document.root, document.problems.listed()


def plain(node: Node | None) -> object:
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(each) for each in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}
        case None:
            return None


def test_what_json_writes_is_what_is_read() -> None:
    rng = Random(6)
    for _ in range(300):
        words = ["".join(rng.choices(_CHARACTERS, k=rng.randrange(12))) for _ in range(rng.randrange(1, 6))]
        value = {f"k{number}": [word, {"in": word}] for number, word in enumerate(words)}
        for indent in (None, 1):
            assert plain(one(json.dumps(value, indent=indent))[0]) == value


def test_places_are_those_of_the_text() -> None:
    text = r'{"a": "\ud83d\ude00\uD83D\uDE01", "b": 1, "c": "x"}'
    root, problems = one(text)
    assert isinstance(root, Mapping)
    assert not problems
    assert [key.column for key, _ in root.entries.values()] == [text.index(f'"{key}"') + 1 for key in "abc"]
    assert plain(root) == {"a": "\U0001f600\U0001f601", "b": 1, "c": "x"}


def test_without_double_quotes_a_pair_is_what_is_written() -> None:
    pair, smile = r"\ud83d\ude00", "\U0001f600"
    root, _ = one(f'a: "{pair}"\nb: x{pair}\nc: \'{pair}\' # {pair}\nd: |-\n  {pair}\ne: "y{pair}"\n')
    assert plain(root) == {"a": smile, "b": f"x{pair}", "c": pair, "d": pair, "e": f"y{smile}"}


def test_a_backslash_that_is_escaped_begins_no_pair() -> None:
    text = r'{"a": "\\ud83d and \\\ud83d\ude00"}'
    assert plain(one(text)[0]) == json.loads(text)


@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\ud83d x\ude00"])
def test_half_a_character_is_refused_where_it_is(half: str) -> None:
    root, problems = one(f'{{"whole": "\\ud83d\\ude00",\n "half": "{half}"}}')
    assert root is None
    assert [(each.code, each.line) for each in problems] == [("TT1001", 2)]


def test_no_character_of_the_text_is_taken_for_a_stand_in() -> None:
    used = "".join(map(chr, range(0xE000, 0xF800)))
    value = {"a": used + "\U0001f600", "b": "\uf800" * 12}
    assert plain(one(json.dumps(value))[0]) == value
