"""The selector of -l, in both of its languages."""

import pytest

from tortie.apps.failure import Code, Failure
from tortie.apps.verbs.labels import parse_labels

LABELS = {"role": "web", "zone": "a", "example.org/tier": "1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("all()", True),
        ("role == 'web' && has(zone)", True),
        ("role != 'web'", False),
        ("role=web", True),
        ("role==web", True),
        ("role = web , zone = a", True),
        ("role=web,zone=b", False),
        ("role!=db", True),
        ("role!=web", False),
        ("absent!=x", True),
        ("zone", True),
        ("absent", False),
        ("!absent", True),
        ("! zone", False),
        ("role in (db, web)", True),
        ("role in (db)", False),
        ("role notin (db,mail),zone", True),
        ("role notin (web)", False),
        ("absent notin (web)", True),
        ("example.org/tier=1", True),
        ("absent=", False),
        ("role ==", False),
        ("role in (web),zone in (a,b),!absent", True),
    ],
)
def test_both_languages_say_what_they_say(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) == matches


@pytest.mark.parametrize(
    "text",
    ["role == &&", "role=web,", "role in web", "a=b=c", "role in (a", "a&b", "role=we'b", "x in ('a')", "=a", "a>1"],
)
def test_what_is_neither_is_refused_with_both_spellings(text: str) -> None:
    with pytest.raises(Failure, match=r"invalid selector: column \d+.*role=web,zone") as caught:
        parse_labels(text)
    assert caught.value.code is Code.USAGE


def test_a_long_selector_takes_no_long_time() -> None:
    assert parse_labels(",".join(f"!k{number}" for number in range(400))).matches(LABELS)
    with pytest.raises(Failure):
        parse_labels("(," * 100_000)
