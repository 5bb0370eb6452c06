"""Every field of every kind: accepted, defaulted, refused with code and path. The cases stand in `kind_cases/`."""

import json
from dataclasses import replace

import pytest
from field_cases import (
    ABSENT,
    FieldCase,
    KindCases,
    Reads,
    Refused,
    Whole,
    all_cases,
    document_of,
    find,
    item_path,
    spec_of,
    uncovered,
)
from resource_text import read, refuse

from tortie.resources.codec import decode_stored, encode, lower
from tortie.resources.kinds import KINDS

CASES = all_cases()
WITHOUT_CASES = {"FelixConfiguration"}
"""Kinds whose fields have their tests elsewhere."""
FIELDS = [
    pytest.param(cases, case, id=f"{cases.kind}-{case.path}-{index}")
    for cases in CASES.values()
    for index, case in enumerate(cases.fields)
]
WHOLES = [
    pytest.param(cases, each, id=f"{cases.kind}-{index}")
    for cases in CASES.values()
    for index, each in enumerate(cases.refused)
]


def test_every_kind_has_its_cases() -> None:
    assert KINDS.keys() - CASES.keys() == WITHOUT_CASES


@pytest.mark.parametrize("cases", CASES.values(), ids=list(CASES))
def test_every_field_has_an_accepted_and_a_refused_case_and_says_what_it_means(cases: KindCases) -> None:
    assert uncovered(cases) == []


def test_a_field_without_cases_is_named_and_so_is_a_case_without_a_field() -> None:
    cases = CASES["Tier"]
    without = replace(cases, fields=[each for each in cases.fields if each.path != "spec.order"])
    assert uncovered(without) == ["spec.order has no accepted case", "spec.order has no refused case"]
    astray = FieldCase("spec.colour", ["red"], [Refused("green", "TT1104")])
    assert uncovered(replace(cases, fields=[*cases.fields, astray])) == ["spec.colour is no field"]


@pytest.mark.parametrize(("cases", "case"), FIELDS)
def test_what_a_field_accepts_is_kept_and_survives_the_store(cases: KindCases, case: FieldCase) -> None:
    for value in case.accepted:
        expected = value if isinstance(value, Reads) else Reads(value, value)
        resource = read(document_of(cases, case, expected.given))
        # A status of ours is checked and not kept.
        is_dropped = case.path.startswith("status.") and not KINDS[cases.kind].keeps_status
        kept = ABSENT if is_dropped else expected.kept
        assert find(resource.body, case.path) == kept, value
        stored = decode_stored(encode(resource))
        assert stored.body == resource.body, value
        lower(stored)


@pytest.mark.parametrize(("cases", "case"), FIELDS)
def test_what_a_field_refuses_has_its_code_and_its_place(cases: KindCases, case: FieldCase) -> None:
    for each in case.refused:
        found = {(problem.code, problem.path) for problem in refuse(document_of(cases, case, each.given))}
        path = each.at if each.at[:1].isalpha() else item_path(case.path) + each.at
        assert found == {(each.code, path)}, each


@pytest.mark.parametrize(("cases", "each"), WHOLES)
def test_what_holds_between_fields_is_checked(cases: KindCases, each: Whole) -> None:
    body = {**json.loads(document_of(cases)), "spec": each.spec}
    found = {(problem.code, problem.path) for problem in refuse(json.dumps(body))}
    assert found == {(each.code, each.path)}


@pytest.mark.parametrize("cases", CASES.values(), ids=list(CASES))
def test_the_least_document_gets_every_default(cases: KindCases) -> None:
    resource = read(document_of(cases))
    assert spec_of(resource) == cases.defaults
    again = read(encode(resource))
    assert again.body == resource.body
