"""Where the index files a selector: under labels that all that it matches has, so that nothing is overlooked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.calc.labels import filings_of
from tortie.model.selector import parse_selector

LEAVES = (
    "a == '1'",
    "a != '1'",
    "has(b)",
    "!has(b)",
    "c in {'1', '2'}",
    "c not in {'1'}",
    "a starts with '1'",
    "all()",
)
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"))


def selectors() -> st.SearchStrategy[str]:
    joined = st.tuples(st.sampled_from(LEAVES), st.sampled_from(("&&", "||")), st.sampled_from(LEAVES))
    pairs = joined.map(lambda parts: f"({' '.join(parts)})")
    return st.lists(st.one_of(pairs, st.sampled_from(LEAVES)), min_size=1, max_size=3).flatmap(
        lambda parts: st.sampled_from((" && ".join(parts), " || ".join(parts)))
    )


@given(selectors(), LABELS)
def test_what_a_selector_matches_has_one_of_the_labels_that_it_is_filed_under(
    text: str, labels: dict[str, str]
) -> None:
    selector = parse_selector(text)
    has = {None, *labels.items(), *((label, None) for label in labels)}
    assert not selector.matches(labels) or has & set(filings_of(selector))


@pytest.mark.parametrize(
    ("text", "filings"),
    [
        ("a == '1' && has(b)", (("a", "1"),)),
        ("has(b)", (("b", None),)),
        ("a == '1' || has(b)", (("a", "1"), ("b", None))),
        ("a == '1' || b != '2'", (None,)),
        ("has(a) && !has(a)", ()),
        ("(has(a) && !has(a)) || b == '2'", (("b", "2"),)),
        ("all()", (None,)),
    ],
)
def test_a_selector_is_filed_under_as_few_labels_as_it_asks_for(text: str, filings: tuple[object, ...]) -> None:
    assert filings_of(parse_selector(text)) == filings
