"""Patches: cases of RFC 7396 and RFC 6902, and what Kubernetes adds; what does not fit is refused whole."""

import copy
import json
from typing import Any

import pytest

from tortie.apps.failure import Code, Failure
from tortie.apps.verbs.patching import patched

DOCUMENT: dict[str, Any] = {
    "metadata": {"labels": {"a": "1", "b/c": "2", "m~n": "3"}},
    "spec": {"order": 10, "nets": ["x", "y"], "flag": True},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The document with another value at that path."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split(".")
    at = document
    for name in parents:
        at = at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize("form", ["merge", "strategic"])
@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, DOCUMENT),
        ({"spec": {"order": 20}}, changed("spec.order", 20)),
        ({"spec": {"order": None}}, changed("spec.order", None)),
        ({"spec": {"absent": None}}, DOCUMENT),
        ({"spec": {"nets": ["z"]}}, changed("spec.nets", ["z"])),
        ({"spec": {"new": {"a": 1, "b": None}}}, changed("spec.new", {"a": 1})),
        ({"spec": {"order": {"a": 1}}}, changed("spec.order", {"a": 1})),
        ({"metadata": {"labels": {"a": "9"}}}, changed("metadata.labels", {"a": "9", "b/c": "2", "m~n": "3"})),
        ({"metadata": {"labels": None}}, changed("metadata.labels", None)),
    ],
)
def test_a_merge_patch_lays_a_document_over_it(form: str, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert patched(DOCUMENT, patch, form) == expected
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"spec": {"$patch": "replace", "order": 1}}, changed("spec", {"order": 1})),
        ({"spec": {"$patch": "delete"}}, changed("spec", None)),
        ({"spec": {"$patch": "merge", "order": 1}}, changed("spec.order", 1)),
    ],
)
def test_a_strategic_patch_knows_directives(patch: Any, expected: Any) -> None:
    assert patched(DOCUMENT, patch, "strategic") == expected


LABELS = "/metadata/labels"


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], DOCUMENT),
        ([{"op": "add", "path": "/spec/new", "value": 1}], changed("spec.new", 1)),
        ([{"op": "add", "path": "/spec/order", "value": 1}], changed("spec.order", 1)),
        ([{"op": "add", "path": "/spec/nets/0", "value": "w"}], changed("spec.nets", ["w", "x", "y"])),
        ([{"op": "add", "path": "/spec/nets/2", "value": "z"}], changed("spec.nets", ["x", "y", "z"])),
        ([{"op": "add", "path": "/spec/nets/-", "value": "z"}], changed("spec.nets", ["x", "y", "z"])),
        ([{"op": "replace", "path": "/spec/nets/1", "value": "z"}], changed("spec.nets", ["x", "z"])),
        ([{"op": "remove", "path": "/spec/nets/0"}], changed("spec.nets", ["y"])),
        ([{"op": "remove", "path": "/spec/order"}], changed("spec.order", None)),
        ([{"op": "remove", "path": f"{LABELS}/b~1c"}], changed("metadata.labels", {"a": "1", "m~n": "3"})),
        ([{"op": "remove", "path": f"{LABELS}/m~0n"}], changed("metadata.labels", {"a": "1", "b/c": "2"})),
        ([{"op": "move", "from": "/spec/nets/0", "path": "/spec/nets/1"}], changed("spec.nets", ["y", "x"])),
        ([{"op": "copy", "from": "/spec/order", "path": "/spec/other"}], changed("spec.other", 10)),
        ([{"op": "test", "path": "/spec/flag", "value": True}], DOCUMENT),
        ([{"op": "test", "path": "/spec/nets", "value": ["x", "y"]}], DOCUMENT),
        ([{"op": "test", "path": "/spec/order", "value": 10.0}], DOCUMENT),
        ([{"op": "replace", "path": "", "value": {"a": 1}}], {"a": 1}),
    ],
)
def test_a_json_patch_does_what_its_operations_say(operations: Any, expected: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert patched(DOCUMENT, operations, "json") == expected
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("form", "patch", "hint"),
    [
        ("merge", [], "leaves no document"),
        ("merge", None, "leaves no document"),
        ("strategic", {"spec": {"$retainKeys": ["a"]}}, "/spec: $retainKeys is not supported"),
        ("strategic", {"spec": {"$patch": "burn"}}, "unknown $patch 'burn'; use merge"),
        ("json", {}, "a json patch is a list"),
        ("json", [1], "operation 0: expected a mapping"),
        ("json", [{"op": "burn", "path": ""}], "unknown op 'burn'; use add"),
        ("json", [{"op": "add", "path": "/spec/new"}], "add needs a value"),
        ("json", [{"op": "add", "path": "spec", "value": 1}], "expected a pointer such as /spec/order, got 'spec'"),
        ("json", [{"op": "add", "value": 1}], "path: expected a pointer"),
        ("json", [{"op": "add", "path": "/no/where", "value": 1}], "/no does not exist"),
        ("json", [{"op": "add", "path": "/spec/no/-", "value": 1}], "/spec/no does not exist"),
        ("json", [{"op": "copy", "from": "/spec/nets", "path": "/spec/no/x"}], "/spec/no does not exist"),
        ("json", [{"op": "add", "path": "/spec/nets/3", "value": 1}], "'3' is no index"),
        ("json", [{"op": "add", "path": "/spec/nets/01", "value": 1}], "'01' is no index"),
        ("json", [{"op": "add", "path": "/spec/order/x", "value": 1}], "'x' has no place"),
        ("json", [{"op": "replace", "path": "/spec/new", "value": 1}], "/spec/new does not exist"),
        ("json", [{"op": "replace", "path": "/spec/nets/-", "value": 1}], "'-' is no index"),
        ("json", [{"op": "remove", "path": "/spec/new"}], "/spec/new does not exist"),
        ("json", [{"op": "remove", "path": ""}], "use tortie delete"),
        ("json", [{"op": "move", "from": "/spec", "path": "/spec/x"}], "moved into itself"),
        ("json", [{"op": "test", "path": "/spec/flag", "value": 1}], "has another value"),
        ("json", [{"op": "test", "path": "/spec/flag", "value": True}, {"op": "x", "path": ""}], "operation 1:"),
        ("json", [{"op": "replace", "path": "", "value": []}], "leaves no document"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(form: str, patch: Any, hint: str) -> None:
    with pytest.raises(Failure) as caught:
        patched(DOCUMENT, patch, form)
    assert caught.value.code is Code.INVALID
    assert hint in caught.value.message
    assert "TT1908" in caught.value.message


def test_copies_that_double_end() -> None:
    bomb = [{"op": "copy", "from": "/spec", "path": "/spec/nets/-"}] * 100
    with pytest.raises(Failure, match="the copies hold more than 16 MiB"):
        patched(json.loads(json.dumps(DOCUMENT)), bomb, "json")


def test_a_document_that_becomes_too_deep_is_refused() -> None:
    chain = [{"op": "copy", "from": "/spec", "path": "/spec/again"}] * 3000
    with pytest.raises(Failure, match="nests the document too deeply"):
        patched({"spec": {}}, chain, "json")
