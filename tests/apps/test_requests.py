"""What a request asks survives its way through the parameters of an address."""

import pytest

from tortie.apps.failure import Code, Failure
from tortie.apps.requests import GetQuery, Verb, WriteOptions, from_parameters, parameters

ASKED = [
    WriteOptions(),
    WriteOptions(namespace="a", dry_run=True, skip=True, skip_empty=True, documents=True, wait=False),
    WriteOptions(established="kill"),
    GetQuery(),
    GetQuery(name=("a", "b"), namespace="n", view="custom", column=("NAME", "TIER")),
    GetQuery(all_namespaces=True, selector="a == 'b'"),
]


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_arrives(asked: WriteOptions | GetQuery) -> None:
    sent: dict[str, list[str]] = {}
    for name, value in parameters(asked):
        sent.setdefault(name, []).append(value)
    assert from_parameters(type(asked), lambda name: sent.get(name, [])) == asked  # type: ignore[type-var]


def test_defaults_need_no_parameter() -> None:
    assert list(parameters(WriteOptions())) == list(parameters(GetQuery())) == []


@pytest.mark.parametrize("value", ["", "yes", "2", "true"])
def test_what_is_no_truth_is_refused(value: str) -> None:
    with pytest.raises(Failure, match="dry_run: expected 0 or 1") as caught:
        from_parameters(WriteOptions, lambda name: [value] if name == "dry_run" else [])
    assert caught.value.code is Code.USAGE


def test_verbs_have_their_past() -> None:
    assert [verb.done for verb in Verb] == ["applied", "created", "replaced", "deleted"]
