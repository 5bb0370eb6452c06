"""Why a selector matches or not: the terms that are blamed are enough, and none of them is beside the point."""

import time

import pytest
from hypothesis import given

from model.test_selector_grammar import label_maps, spelled
from tortie.model.blame import blame
from tortie.model.expression import Node
from tortie.model.selector import MAX_LENGTH, parse_selector

LABELS = {"role": "db", "zone": "a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('role == "web"', ['role == "web": role is "db"']),
        ('role == "web" && zone == "a"', ['role == "web": role is "db"']),
        ('role == "web" && zone == "b"', ['role == "web": role is "db"', 'zone == "b": zone is "a"']),
        ('role == "web" || has(x)', ['role == "web": role is "db"', "has(x): x is absent"]),
        ("!has(zone)", ['!has(zone): zone is "a"']),
        ('!(role == "db" && zone == "a")', ['!role == "db": role is "db"', '!zone == "a": zone is "a"']),
        ('!(role == "db" || has(x))', ['!role == "db": role is "db"']),
        ('role not in {"db", "web"}', ['role not in {"db", "web"}: role is "db"']),
        ("!all()", ["all() holds for everything"]),
        ("has(x) && has(x)", ["has(x): x is absent"]),
        ("has(x) && (has(y) || zone == 'a')", ["has(x): x is absent"]),
        ('role contains "x"', ['role contains "x": role is "db"']),
    ],
)
def test_the_terms_that_fail_are_told_with_what_they_found(text: str, expected: list[str]) -> None:
    selector = parse_selector(text)
    assert not selector.matches(LABELS)
    assert expected == [str(each) for each in blame(selector, LABELS)]


@given(spelled(), label_maps, label_maps)
def test_what_is_not_blamed_cannot_change_the_answer(
    case: tuple[Node, str], labels: dict[str, str], others: dict[str, str]
) -> None:
    selector = parse_selector(case[1])
    terms = blame(selector, labels)
    assert terms
    blamed = {each.label for each in terms}
    mixed = {key: value for key, value in others.items() if key not in blamed}
    mixed.update({key: value for key, value in labels.items() if key in blamed})
    assert selector.matches(labels) is selector.matches(mixed)


def test_blame_takes_linear_time() -> None:
    text = "!(" * 90 + "||".join(["a==''"] * ((MAX_LENGTH - 400) // 7)) + ")" * 90
    begin = time.process_time()
    assert len(blame(parse_selector(text), {})) == 1
    assert time.process_time() - begin < 1.0
