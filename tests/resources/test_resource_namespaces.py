"""What has a namespace never reaches beyond it unasked: selectors.md section 10, resources.md sections 8.2 and 8.6."""

import json

import pytest
from resource_text import codes, document, lowered, read

from tortie.calc import Engine
from tortie.model.endpoint import HostEndpoint, NetworkSet
from tortie.model.ipset import NamedPortSet, SelectorSet, ServiceSet
from tortie.model.matches import Match, PortMatch, PortRange, SetMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey
from tortie.model.selector import ALL, parse_selector
from tortie.resources.codec import decode_stored, encode, lower
from tortie.resources.problems import InvalidDocument

NS = "projectcalico.org/namespace"
IN_NS = f"{NS} == 'ns'"
SA = "projectcalico.org/serviceaccount"


def policy(spec: object, **metadata: object) -> Policy:
    """The NetworkPolicy of that specification."""
    value = lowered(document("NetworkPolicy", spec, **{"namespace": "ns", **metadata}))
    assert isinstance(value, Policy)
    return value


def matches(rule: dict[str, object], direction: str = "ingress") -> tuple[Match, ...]:
    """The matches of a rule of a NetworkPolicy."""
    value = policy({direction: [{"action": "Allow", **rule}]})
    return (value.ingress or value.egress)[0].matches


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, IN_NS),
        ({"selector": "has(a)"}, f"(has(a)) && {IN_NS}"),
        ({"selector": "all()"}, f"(all()) && {IN_NS}"),
        ({"selector": "has(a) || has(b)"}, f"(has(a) || has(b)) && {IN_NS}"),
        ({"serviceAccountSelector": "role == 'x'"}, f"({IN_NS}) && pcsa.role == 'x'"),
        (
            {"selector": "has(a)", "serviceAccountSelector": "has(b) || has(c)"},
            f"((has(a)) && {IN_NS}) && (has(pcsa.b) || has(pcsa.c))",
        ),
    ],
)
def test_a_network_policy_applies_to_its_own_namespace(spec: dict[str, object], expected: str) -> None:
    value = policy(spec)
    assert value.selector == parse_selector(expected)
    assert value.key == PolicyKey("NetworkPolicy", "ns", "thing")


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ({"selector": "has(a)"}, f"({IN_NS}) && (has(a))"),
        ({"selector": "has(a) || has(b)"}, f"({IN_NS}) && (has(a) || has(b))"),
        ({"selector": "all()"}, f"({IN_NS}) && (all())"),
        ({"notSelector": "has(a)"}, f"({IN_NS}) && !(has(a))"),
        ({"selector": "has(a)", "notSelector": "has(b)"}, f"(({IN_NS}) && (has(a))) && !(has(b))"),
        ({"namespaceSelector": "x == 'y'"}, "pcns.x == 'y'"),
        ({"namespaceSelector": "x == 'y'", "selector": "has(a)"}, "(pcns.x == 'y') && (has(a))"),
        ({"namespaceSelector": "all()"}, f"has({NS})"),
        ({"namespaceSelector": "all()", "selector": "has(a)"}, f"(has({NS})) && (has(a))"),
        ({"namespaceSelector": "global()"}, f"!has({NS})"),
        ({"namespaceSelector": "x == 'y'", "notSelector": "has(a)"}, "(pcns.x == 'y') && !(has(a))"),
        ({"serviceAccounts": {"names": ["a"]}}, f"({IN_NS}) && ({SA} in {{'a'}})"),
        ({"serviceAccounts": {"selector": "has(t)"}}, f"({IN_NS}) && (has(pcsa.t))"),
        (
            {"serviceAccounts": {"names": ["a"]}, "selector": "has(s)"},
            f"({IN_NS}) && (({SA} in {{'a'}}) && (has(s)))",
        ),
    ],
)
def test_a_rule_of_a_network_policy_looks_for_peers_in_its_namespace(entity: dict[str, object], expected: str) -> None:
    for side, key in ((Side.SOURCE, "source"), (Side.DESTINATION, "destination")):
        assert matches({key: entity}) == (SetMatch(side, SelectorSet(parse_selector(expected))),)


@pytest.mark.parametrize("entity", [{}, {"nets": []}, {"serviceAccounts": {}}])
def test_a_rule_without_any_selector_matches_peers_everywhere(entity: dict[str, object]) -> None:
    assert matches({"source": entity}) == ()


def test_the_selector_of_the_reference_has_its_id() -> None:
    # Source: selectors.md section 14.
    (match,) = [
        each for each in policy_in_default({"source": {"selector": "app == 'web'"}}) if isinstance(each, SetMatch)
    ]
    assert match.source.set_id == "s:cttW8MqAIeVWez-m8dwR9b3uQqpCzqFehCdHqQ"


def policy_in_default(rule: dict[str, object]) -> tuple[Match, ...]:
    """The matches of a rule of a policy of the namespace `default`."""
    return policy({"ingress": [{"action": "Allow", **rule}]}, namespace="default").ingress[0].matches


def test_named_ports_are_those_of_the_peers_and_of_everybody_without_peers() -> None:
    rule = {"protocol": "TCP", "destination": {"ports": ["http"], "selector": "has(a)"}}
    inside = parse_selector(f"({IN_NS}) && (has(a))")
    assert matches(rule)[1:] == (PortMatch(Side.DESTINATION, (), (NamedPortSet(inside, TCP, "http"),), False),)
    rule = {"protocol": "TCP", "destination": {"ports": ["http", 80]}}
    named = (NamedPortSet(ALL, TCP, "http"),)
    assert matches(rule)[1:] == (PortMatch(Side.DESTINATION, (PortRange(80, 80),), named, False),)


def test_a_service_without_a_namespace_is_one_of_the_policys_namespace() -> None:
    assert matches({"source": {"services": {"name": "web"}}}) == (
        SetMatch(Side.SOURCE, ServiceSet("ns", "web", with_ports=False)),
    )
    named = {"name": "web", "namespace": "other"}
    assert matches({"destination": {"services": named}}, "egress") == (
        SetMatch(Side.DESTINATION, ServiceSet("other", "web", with_ports=True)),
    )


@pytest.mark.parametrize("namespace", ["", "a b", "a' || has(x) || 'b' == 'b", 'a"b', "A"])
@pytest.mark.parametrize("kind", ["NetworkPolicy", "NetworkSet"])
def test_a_stored_document_without_a_proper_namespace_counts_as_absent(kind: str, namespace: str) -> None:
    body = json.loads(encode(read(document(kind, {}, namespace="ns"))))
    body["metadata"]["namespace"] = namespace
    with pytest.raises(InvalidDocument, match="is no namespace"):
        lower(decode_stored(json.dumps(body).encode()))


@pytest.mark.parametrize("namespace", ["A", "a b", "-a", "a" * 254])
def test_the_name_of_a_namespace_is_checked(namespace: str) -> None:
    assert codes(document("NetworkPolicy", {}, namespace=namespace)) == ["TT1112"]


def test_no_namespaced_policy_selects_a_host_endpoint_whatever_its_labels_say() -> None:
    labels = {NS: "ns", "projectcalico.org/orchestrator": "k8s", "a": "b"}
    text = document("HostEndpoint", {"node": "n", "interfaceName": "eth0"}, labels=labels)
    endpoint = lowered(text)
    assert isinstance(endpoint, HostEndpoint)
    assert read(text).labels == labels  # as the author wrote it
    for spec in ({}, {"selector": "has(a)"}, {"selector": f"has({NS})"}, {"serviceAccountSelector": "all()"}):
        assert not policy(spec).selector.matches(endpoint.labels)
        assert policy(spec).selector.matches(labels)  # a workload with such labels is selected


def test_a_network_set_has_its_namespace() -> None:
    value = lowered(document("NetworkSet", {"nets": ["10.0.0.1/8"]}, namespace="ns", labels={"a": "b"}))
    assert isinstance(value, NetworkSet)
    assert (value.namespace, value.labels) == ("ns", {"a": "b"})
    spec = {"ingress": [{"action": "Allow", "source": {"selector": "a == 'b'"}}], "performanceHints": []}
    spec["performanceHints"] = ["AssumeNeededOnEveryNode"]
    for namespace, expected in (("ns", 1), ("other", 0)):
        engine = Engine("n")
        engine.in_sync()
        engine.set_network_set(("ns", "thing"), value)
        one = policy(spec, namespace=namespace)
        engine.set_policy(one.key, one)
        engine.flush()
        (members,) = engine.desired().sets.values()
        assert len(members.members) == expected, namespace


@pytest.mark.parametrize("kind", ["NetworkSet", "GlobalNetworkSet"])
def test_no_network_set_says_itself_in_which_namespace_it_is(kind: str) -> None:
    metadata: dict[str, object] = {"namespace": "ns"} if kind == "NetworkSet" else {}
    assert codes(document(kind, {}, labels={NS: "x"}, **metadata)) == ["TT1113"]
    body = json.loads(encode(read(document(kind, {}, **metadata))))
    body["metadata"]["labels"] = {NS: "x"}
    with pytest.raises(InvalidDocument, match=NS):
        lower(decode_stored(json.dumps(body).encode()))


def test_types_and_order_are_those_of_every_policy() -> None:
    value = policy({"order": 5, "types": ["Egress"], "tier": "t"})
    assert (value.order, value.governs, value.tier) == (5, {Direction.EGRESS}, "t")
    assert (value.do_not_track, value.pre_dnat, value.apply_on_forward) == (False, False, False)
