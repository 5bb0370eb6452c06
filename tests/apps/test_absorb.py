"""Stored documents in the calculation: what each kind does to it, and what counts as absent."""

import json

import pytest

from tortie.apps.absorb import absorb
from tortie.calc import Engine
from tortie.model.address import parse_net
from tortie.model.endpoint import Interface
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.packet import TCP
from tortie.model.selector import parse_selector
from tortie.resources.codec import decode_text, encode
from tortie.resources.kinds import KINDS
from tortie.store.protocol import Key

POD = {
    "orchestrator": "k8s",
    "node": "elsewhere",
    "pod": "web",
    "endpoint": "eth0",
    "interfaceName": "cali1",
    "serviceAccountName": "server",
    "ipNetworks": ["10.65.0.2/32", "fd00::2"],
    "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"protocol": "TCP", "port": 1, "hostPort": 1}],
}


def give(engine: Engine, kind: str, name: str, spec: object, **metadata: object) -> str | None:
    """What `absorb` says to the document as it is stored."""
    body = {
        "apiVersion": KINDS[kind].api_version,
        "kind": KINDS[kind].word,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    (resource,), problems = decode_text(json.dumps(body), "test.yaml")
    assert problems == []
    return absorb(engine, Key(kind, resource.namespace, resource.name), encode(resource))


def sets_of(rule: object, *documents: tuple[str, str, object, dict[str, object]]) -> dict[str, IPSet]:
    """The sets of a host whose policy has this rule, with these documents beside it."""
    engine = Engine("me")
    engine.set_interface("eth0", Interface(name="eth0", index=2))
    assert give(engine, "HostEndpoint", "h", {"node": "me", "interfaceName": "eth0"}) is None
    assert give(engine, "GlobalNetworkPolicy", "p", {"ingress": [rule]}) is None
    for kind, name, spec, metadata in documents:
        assert give(engine, kind, name, spec, **metadata) is None
    engine.in_sync()
    engine.flush()
    return dict(engine.desired().sets)


def pod(**labels: str) -> tuple[str, str, object, dict[str, object]]:
    return ("WorkloadEndpoint", "", POD, {"namespace": "shop", "labels": labels})


@pytest.mark.parametrize(
    ("selector", "is_member"),
    [
        ("role == 'web'", True),
        ("role == 'db'", False),
        ("projectcalico.org/namespace == 'shop'", True),
        ("projectcalico.org/orchestrator == 'k8s'", True),
        ("projectcalico.org/serviceaccount == 'server'", True),
        ("has(pcns.team)", False),  # only a profile can give it
        ("has(pcsa.team)", False),
    ],
)
def test_a_workload_endpoint_is_a_member_of_what_selects_it(selector: str, is_member: bool) -> None:
    rule = {"action": "Deny", "source": {"selector": selector}}
    found = sets_of(rule, pod(**{"role": "web", "pcns.team": "a", "pcsa.team": "a"}))
    nets = [parse_net(text, strict=True) for text in ("10.65.0.2/32", "fd00::2/128")]
    assert found == {SelectorSet(parse_selector(selector)).set_id: AddressSet(nets if is_member else ())}


def test_a_workload_endpoint_inherits_labels_from_its_profiles() -> None:
    rule = {"action": "Deny", "source": {"namespaceSelector": "team == 'a'"}}
    profile = ("Profile", "kns.shop", {"labelsToApply": {"pcns.team": "a"}}, {})
    endpoint = ("WorkloadEndpoint", "", {**POD, "profiles": ["kns.shop"]}, {"namespace": "shop"})
    assert [len(each.members) for each in sets_of(rule, profile, endpoint).values()] == [2]
    assert [len(each.members) for each in sets_of(rule, endpoint).values()] == [0]


def test_the_named_ports_of_a_workload_endpoint_count() -> None:
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"selector": "all()", "ports": ["http"]}}
    source = NamedPortSet(parse_selector("all()"), TCP, "http")
    four, six = parse_net("10.65.0.2", strict=True), parse_net("fd00::2", strict=True)
    members = [PortMember(net.version, net.address, TCP, 8080) for net in (four, six)]
    assert sets_of(rule, pod()) == {source.set_id: PortSet(members)}


def test_a_deleted_workload_endpoint_is_no_member_any_more() -> None:
    engine = Engine("me")
    engine.set_interface("eth0", Interface(name="eth0", index=2))
    give(engine, "HostEndpoint", "h", {"node": "me", "interfaceName": "eth0"})
    give(engine, "GlobalNetworkPolicy", "p", {"ingress": [{"action": "Deny", "source": {"selector": "all()"}}]})
    give(engine, "WorkloadEndpoint", "", POD, namespace="shop")
    engine.in_sync()
    engine.flush()
    assert absorb(engine, Key("WorkloadEndpoint", "shop", "elsewhere-k8s-web-eth0"), None) is None
    engine.flush()
    assert [each.members for each in engine.desired().sets.values()] == [frozenset()]


def kubernetes(kind: str, name: str, *, group: str = "v1", **body: object) -> tuple[Key, bytes]:
    """An object of Kubernetes as it is stored."""
    labels = {"team": "a", "kubernetes.io/service-name": "web"}
    metadata = {"name": name, "labels": labels} | ({} if kind == "Namespace" else {"namespace": "shop"})
    text = json.dumps({"apiVersion": group, "kind": kind, "metadata": metadata, **body})
    (resource,), problems = decode_text(text, "test.yaml")
    assert problems == []
    return Key(kind, resource.namespace, name), encode(resource)


POD_DOCUMENT = kubernetes(
    "Pod", "web", spec={"nodeName": "elsewhere", "serviceAccountName": "robot"}, status={"podIP": "10.65.0.2"}
)
SLICE = kubernetes(
    "EndpointSlice",
    "web-1",
    group="discovery.k8s.io/v1",
    addressType="IPv4",
    endpoints=[{"addresses": ["10.65.0.2"]}],
    ports=[{"port": 80}],
)
PORTED = {"destination": {"services": {"name": "web", "namespace": "shop"}}}


@pytest.mark.parametrize(
    ("direction", "peer", "documents", "member"),
    [
        ("ingress", {"source": {"selector": "team == 'a'"}}, [POD_DOCUMENT], "10.65.0.2/32"),
        (
            "ingress",
            {"source": {"namespaceSelector": "team == 'a'"}},
            [POD_DOCUMENT, kubernetes("Namespace", "shop")],
            "10.65.0.2/32",
        ),
        (
            "ingress",
            {"source": {"serviceAccounts": {"selector": "team == 'a'"}}},
            [POD_DOCUMENT, kubernetes("ServiceAccount", "robot")],
            "10.65.0.2/32",
        ),
        (
            "ingress",
            {"source": {"services": {"name": "web", "namespace": "shop"}}},
            [SLICE, kubernetes("Service", "web")],
            "10.65.0.2/32",
        ),
        ("egress", PORTED, [SLICE], PortMember(4, 0x0A410002, TCP, 80)),
    ],
    ids=["pod", "namespace", "service account", "service as a source", "service as a destination"],
)
def test_objects_of_kubernetes_fill_the_sets_of_rules_until_they_are_deleted(
    direction: str, peer: dict[str, object], documents: list[tuple[Key, bytes]], member: object
) -> None:
    engine = Engine("me")
    engine.set_interface("eth0", Interface(name="eth0", index=2))
    give(engine, "HostEndpoint", "h", {"node": "me", "interfaceName": "eth0"})
    give(engine, "GlobalNetworkPolicy", "p", {direction: [{"action": "Allow", **peer}]})
    engine.in_sync()
    wanted = parse_net(member, strict=True) if isinstance(member, str) else member
    for key, value in documents:
        assert absorb(engine, key, value) is None
    engine.flush()
    assert [each.members for each in engine.desired().sets.values()] == [{wanted}]
    key, _ = documents[0]
    assert absorb(engine, key, None) is None
    engine.flush()
    assert [each.members for each in engine.desired().sets.values()] == [frozenset()]


def test_a_damaged_workload_endpoint_counts_as_absent_and_says_so() -> None:
    body = {"apiVersion": "projectcalico.org/v3", "kind": "WorkloadEndpoint", "metadata": {"name": "a"}}
    spec = {**POD, "ipNetworks": ["10.0.0.0/8"]}
    problem = absorb(Engine("me"), Key("WorkloadEndpoint", "shop", "a"), json.dumps({**body, "spec": spec}).encode())
    assert problem is not None
    assert "IP network contains multiple addresses" in problem
    assert "counts as absent" in problem


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.lower is None])
def test_a_kind_of_which_nothing_is_enforced_is_no_problem(kind: str) -> None:
    body = {"apiVersion": KINDS[kind].api_version, "kind": KINDS[kind].word, "metadata": {"name": "a"}, "spec": {}}
    assert absorb(Engine("me"), Key(kind, "", "a"), json.dumps(body).encode()) is None
    assert absorb(Engine("me"), Key(kind, "", "a"), None) is None


def test_a_kind_of_a_newer_version_is_a_problem() -> None:
    problem = absorb(Engine("me"), Key("Novelty", "", "a"), None)
    assert problem is not None
    assert "upgrade the agent" in problem
