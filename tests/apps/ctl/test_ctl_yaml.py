"""Output that is read again means the same."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.apps.ctl.show import to_json
from tortie.apps.yamlout import to_yaml
from tortie.resources.codec import decode_text

TRAPS = ("y", "No", "on", "~", "null", "1e3", "0x1f", "0b1", "0o17", "012", "1_000", ".5", "-", "=", "<<", "20:21", "")
TEXT = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))


def document(value: str) -> dict[str, object]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkSet",
        "metadata": {"name": "s", "annotations": {"note": value}},
        "spec": {"nets": ["10.0.0.0/8", "::/0"]},
    }


@pytest.mark.parametrize("form", [to_yaml, to_json])
@given(value=TEXT)
def test_any_text_survives(form: Callable[[object], str], value: str) -> None:
    (resource,), problems = decode_text(form(document(value)), "again")
    assert problems == []
    assert document(value)["metadata"] == resource.body["metadata"]


def test_plain_words_stay_plain() -> None:
    assert to_yaml({"a": "web-1", "b": "10.0.0.0/8", "c": 3, "d": True}) == "a: web-1\nb: 10.0.0.0/8\nc: 3\nd: true\n"
