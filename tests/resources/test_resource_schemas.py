"""What other programs are told of the kinds: that it is no narrower than the decoder, fit for them, and checked in."""

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import yaml
from arbitrary import VALUES, arbitrary_document
from field_cases import KindCases, Reads, all_cases, document_of
from jsonschema import Draft202012Validator
from resource_text import document
from structural import faults

from tortie.resources.codec import decode_text
from tortie.resources.crd import definition, has_definition
from tortie.resources.fields import BAD, Missing
from tortie.resources.jsonschema import json_schema, translate
from tortie.resources.kind import Kind
from tortie.resources.kinds import KINDS
from tortie.resources.problems import Problems

ROOT = Path(__file__).parents[2]
EVERY = [pytest.param(kind, id=kind.name) for kind in KINDS.values()]
OURS = [pytest.param(kind, id=kind.name) for kind in KINDS.values() if has_definition(kind)]
SCHEMA = Draft202012Validator(json_schema(KINDS.values()))


def first_fault(instance: object, schema: Draft202012Validator = SCHEMA) -> str:
    """Where the instance breaks the schema; empty where it does not."""
    found = next(schema.iter_errors(instance), None)
    return f"{found.json_path}: {found.message}" if found else ""


@pytest.mark.parametrize("kind", EVERY)
def test_a_document_that_the_decoder_accepts_is_valid_under_the_schema(kind: Kind) -> None:
    rng, cases = Random(kind.name), all_cases().get(kind.name)
    schema = Draft202012Validator(json_schema([kind]))
    seen = Counter[bool]()
    for _ in range(800):
        instance = arbitrary_document(rng, kind, cases.base if cases else {})
        _, problems = decode_text(json.dumps(instance), "f.json")
        seen[not problems] += 1
        if not problems:
            assert first_fault(instance, schema) == "", instance
    assert seen[True] > 20  # else this test says little


@pytest.mark.parametrize("kind", EVERY)
def test_a_value_that_a_field_accepts_is_valid_under_the_fields_schema(kind: Kind) -> None:
    for part, fields in (("spec", kind.fields), ("status", kind.status or {})):
        for name, field in fields.items():
            validator = Draft202012Validator(translate(field.decode.schema))
            for value in VALUES:
                if value is None:
                    continue
                read, problems = _decode(field.decode, value)
                if read is not BAD and not problems:
                    assert validator.is_valid(value), (part, name, value)


def _decode(decode: object, value: object) -> tuple[object, Problems]:
    from tortie.resources.document import read_documents

    (found,) = read_documents(json.dumps(value), "f.json")
    assert found.root is not None
    problems = Problems("f.json")
    read: object | Missing = decode(found.root, "x", problems)  # type: ignore[operator]
    return read, problems


@pytest.mark.parametrize("cases", all_cases().values(), ids=lambda cases: cases.kind)
def test_what_the_cases_of_a_field_accept_is_valid_under_the_schema(cases: KindCases) -> None:
    for case in cases.fields:
        for value in case.accepted:
            given = value.given if isinstance(value, Reads) else value
            assert first_fault(json.loads(document_of(cases, case, given))) == "", (case.path, given)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid_under_the_schema(path: Path) -> None:
    for instance in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
        assert first_fault(instance) == ""


@pytest.mark.parametrize(
    "text",
    [
        document("GlobalNetworkPolicy", {"selectr": "all()"}),
        document("GlobalNetworkPolicy", {"ingress": [{"action": "allow"}]}),
        document("GlobalNetworkPolicy", {"ingress": [{}]}),
        document("GlobalNetworkPolicy", {"ingress": [{"action": "Allow", "protocol": "tcp"}]}),
        document("GlobalNetworkPolicy", {"ingress": [{"action": "Allow", "source": {"nets": ["10.0.0.1"]}}]}),
        document("GlobalNetworkPolicy", {"ingress": [{"action": "Allow", "source": {"ports": [70000]}}]}),
        document("GlobalNetworkPolicy", {"types": ["Ingress", "Ingress"]}),
        document("FelixConfiguration", {"chainInsertMode": "Inser"}),
        document("FelixConfiguration", {"routeRefreshInterval": 1}),
        document("FelixConfiguration", {"routeRefreshInterval": "-1s"}),
        document("Tier", {"order": "1"}),
        document("Tier", {}, name="Upper"),
        document("Tier", {}, namespace="x"),
        document("Tier", {}).replace("v3", "v1"),
        document("Teir", {}),
        '{"apiVersion": "projectcalico.org/v3", "kind": "TierList"}',
        '{"apiVersion": "projectcalico.org/v3", "kind": "Tier", "spec": {}}',
        "[1]",
        "null",
    ],
)
def test_mistakes_that_a_schema_can_see_are_seen_by_it_too(text: str) -> None:
    assert first_fault(json.loads(text))
    assert decode_text(text, "f.json")[1]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize("kind", OURS)
def test_schemas_of_definitions_are_structural(kind: Kind) -> None:
    (version,) = definition(kind)["spec"]["versions"]
    whole = version["schema"]["openAPIV3Schema"]
    assert [*faults(whole)] == []
    assert whole["properties"]["metadata"] == {"type": "object"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": False},
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "string", "pattern": "^(?:(?=a).*)$"},
        {"type": "string", "pattern": "^(?:a{0,1001})$"},
        {"type": "string", "pattern": "a"},
        {"type": "string", "anyOf": [{"pattern": "^(?:(?i:a))$"}]},
        {"type": "string", "anyOf": [{"type": "string"}]},
        {"type": "integer", "default": "1"},
        {"type": "object", "anyOf": [{"properties": {"a": {}}}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}], "x-kubernetes-int-or-string": True},
        {"type": "object", "required": ["a"]},
        {"type": "object", "x-kubernetes-validations": [{"rule": "true"}]},
        {"type": ["string", "null"]},
    ],
    ids=str,
)
def test_the_check_of_structural_schemas_finds_what_is_none(schema: dict[str, object]) -> None:
    assert [*faults(schema)]


@pytest.mark.parametrize("kind", OURS)
def test_definitions_have_names_and_columns_that_an_api_server_takes(kind: Kind) -> None:
    found = definition(kind)
    spec, names = found["spec"], found["spec"]["names"]
    assert found["metadata"]["name"] == f"{names['plural']}.{spec['group']}"
    assert {each.lower() for each in names["shortNames"]} == set(names["shortNames"]) if kind.short_names else True
    assert re.fullmatch("[a-z]+", names["plural"])
    assert len({names["plural"], names["singular"], *names.get("shortNames", ())}) == len(kind.short_names) + 2
    (version,) = spec["versions"]
    columns = version["additionalPrinterColumns"]
    assert columns[-1]["type"] == "date"
    assert [column for column in columns if not column["jsonPath"].startswith((".spec.", ".metadata."))] == []
    assert ("subresources" in version) == (kind.status is not None)


def test_plurals_and_short_names_are_of_one_kind_each() -> None:
    kinds = [kind for kind in KINDS.values() if has_definition(kind)]
    words = [word for kind in kinds for word in {kind.plural, kind.word.lower(), *kind.short_names}]
    assert [word for word, count in Counter(words).items() if count > 1] == []


def test_columns_of_one_field_say_where_it_is_and_of_which_type() -> None:
    columns = definition(KINDS["GlobalNetworkPolicy"])["spec"]["versions"][0]["additionalPrinterColumns"]
    assert columns == [
        {"name": "TIER", "type": "string", "jsonPath": ".spec.tier"},
        {"name": "ORDER", "type": "number", "jsonPath": ".spec.order", "priority": 1},
        {"name": "SELECTOR", "type": "string", "jsonPath": ".spec.selector", "priority": 1},
        {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


WIRE = "WorkloadEndpoint"  # no API server stores it: there it is the Pod that it is made of (resources.md section 1)
WITHOUT_LAW = {
    "ReachableBy and PeerIP address family mismatched",  # no function of CEL that every server has reads an address
    "listed twice",  # comparing every template with every other one exceeds what an API server lets a rule cost
}
"""Messages of what holds between fields and is not told to API servers."""
ON_SERVERS = [pytest.param(kind, id=kind.name) for kind in KINDS.values() if has_definition(kind) and kind.name != WIRE]


@pytest.mark.parametrize("kind", ON_SERVERS)
def test_what_holds_between_fields_is_told_to_api_servers_too(kind: Kind) -> None:
    cases = all_cases().get(kind.name)
    if cases is None:
        return
    laws = re.findall(r'"message": "((?:[^"\\]|\\.)*)"', json.dumps(definition(kind)))
    schema = Draft202012Validator(json_schema([kind]))
    for each in cases.refused:
        body = {**json.loads(document_of(cases)), "spec": each.spec}
        if first_fault(body, schema):
            continue  # the schema alone says it
        for problem in decode_text(json.dumps(body), "f.json")[1]:
            told = json.dumps(problem.message)[1:-1]
            assert told in WITHOUT_LAW or any(law in told or told in law for law in laws), problem
