"""What objects of Kubernetes mean: pods are endpoints, namespaces and accounts profiles, slices parts of services."""

import json

import pytest
from resource_text import read

from tortie.model.address import parse_net
from tortie.model.endpoint import NamedPort, ServiceSlice, WorkloadEndpoint
from tortie.model.packet import SCTP, TCP, UDP
from tortie.model.policy import Profile
from tortie.model.rule import Action, Rule
from tortie.resources.codec import decode_stored, encode, lower
from tortie.resources.kind import Lowered

RUNNING = {"phase": "Running", "podIP": "10.65.0.2", "podIPs": [{"ip": "10.65.0.2"}, {"ip": "fd00::2"}]}
SPEC = {"nodeName": "node-1", "serviceAccountName": "robot"}
WEB = {"kubernetes.io/service-name": "web"}


def meaning(
    kind: str, labels: dict[str, str] | None = None, *, version: str = "v1", **body: object
) -> "Lowered | None":
    """The model's value of the object, by way of the store's bytes."""
    metadata = {"name": "web", "namespace": "shop", "labels": labels or {}}
    if kind == "Namespace":
        metadata = {"name": "shop", "labels": labels or {}}
    text = json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, **body})
    return lower(decode_stored(encode(read(text))))


def sliced(labels: dict[str, str] = WEB, **body: object) -> ServiceSlice | None:
    found = meaning("EndpointSlice", labels, version="discovery.k8s.io/v1", **{"addressType": "IPv4", **body})
    assert found is None or isinstance(found, ServiceSlice)
    return found


def nets(*texts: str) -> tuple[object, ...]:
    return tuple(parse_net(f"{text}/{128 if ':' in text else 32}", strict=True) for text in texts)


def test_a_running_pod_is_a_workload_endpoint() -> None:
    containers = [
        {"name": "a", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81, "hostPort": 81}]},
        {"name": "b", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
    ]
    first = [{"ports": [{"name": "boot", "containerPort": 1, "protocol": "SCTP"}]}]
    spec = {**SPEC, "initContainers": first, "containers": containers}
    labels = {"app": "web", "pcns.team": "forged", "projectcalico.org/namespace": "forged"}
    assert meaning("Pod", labels, spec=spec, status=RUNNING) == WorkloadEndpoint(
        name="node--1-k8s-web-eth0",
        namespace="shop",
        node="node-1",
        interface_name="551b05c3e54",
        nets=nets("10.65.0.2", "fd00::2"),  # type: ignore[arg-type]
        labels={
            "app": "web",
            "projectcalico.org/namespace": "shop",
            "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": "robot",
        },
        profiles=("kns.shop", "ksa.shop.robot"),
        ports=(NamedPort("http", TCP, 80), NamedPort("dns", UDP, 53), NamedPort("boot", SCTP, 1)),
    )


def test_a_pod_without_an_account_lists_its_namespace_alone() -> None:
    found = meaning("Pod", spec={"nodeName": "n"}, status={"podIP": "10.65.0.2"})
    assert isinstance(found, WorkloadEndpoint)
    assert (found.profiles, found.nets) == (("kns.shop",), nets("10.65.0.2"))
    assert "projectcalico.org/serviceaccount" not in found.labels


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({**SPEC, "hostNetwork": True}, RUNNING),
        ({}, RUNNING),
        (SPEC, {}),
        (SPEC, {"phase": "Pending", "podIP": ""}),
        (SPEC, {**RUNNING, "phase": "Succeeded"}),
        (SPEC, {**RUNNING, "phase": "Failed"}),
    ],
    ids=["in the node's network", "on no node", "no status", "no address", "done", "failed"],
)
def test_a_pod_that_has_no_network_of_its_own_is_no_endpoint(spec: object, status: object) -> None:
    assert meaning("Pod", spec=spec, status=status) is None


def test_a_namespace_is_a_profile_that_allows_and_gives_its_labels() -> None:
    everything = (Rule(Action.ALLOW),)
    given = {"pcns.team": "a", "pcns.projectcalico.org/name": "shop"}
    assert meaning("Namespace", {"team": "a"}) == Profile("kns.shop", given, everything, everything)


def test_a_service_account_is_a_profile_without_rules_that_gives_its_labels() -> None:
    given = {"pcsa.team": "a", "pcsa.projectcalico.org/name": "web"}
    assert meaning("ServiceAccount", {"team": "a"}) == Profile("ksa.shop.web", given)


def test_a_slice_has_every_address_of_what_is_ready_and_every_port() -> None:
    endpoints = [
        {"addresses": ["10.65.0.2", "10.65.0.3"]},
        {"addresses": ["10.65.0.4"], "conditions": {"ready": True}},
        {"addresses": ["10.65.0.5"], "conditions": {"serving": True, "terminating": False}},
        {"addresses": ["10.65.0.6"], "conditions": {"ready": False, "serving": True, "terminating": True}},
    ]
    ports = [{"port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    assert sliced(endpoints=endpoints, ports=ports) == ServiceSlice(
        namespace="shop",
        service="web",
        nets=frozenset(nets("10.65.0.2", "10.65.0.3", "10.65.0.4", "10.65.0.5")),  # type: ignore[arg-type]
        ports=frozenset({(TCP, 80), (UDP, 53)}),
    )


def test_a_port_without_a_number_gives_no_member() -> None:
    found = sliced(endpoints=[{"addresses": ["10.65.0.2"]}], ports=[{"name": "any"}, {"port": 0}, {"port": 80}])
    assert found is not None
    assert found.ports == {(TCP, 80)}


def test_what_is_no_address_of_the_slices_version_counts_for_nothing() -> None:
    endpoints = [{"addresses": ["10.65.0.2", "fd00::2", "db.example.org"]}]
    four, six = sliced(endpoints=endpoints), sliced(addressType="IPv6", endpoints=endpoints)
    assert four is not None
    assert six is not None
    assert (four.nets, six.nets) == ({*nets("10.65.0.2")}, {*nets("fd00::2")})


def test_a_slice_of_names_and_one_of_no_service_mean_nothing() -> None:
    assert sliced(addressType="FQDN", endpoints=[{"addresses": ["db.example.org"]}]) is None
    assert sliced({}, endpoints=[{"addresses": ["10.65.0.2"]}]) is None


def test_a_slice_whose_lists_are_null_has_no_members() -> None:
    raw = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "a", "namespace": "shop", "labels": WEB, "uid": "1"},
        "addressType": "IPv4",
        "endpoints": None,
        "ports": None,
        "unknown": {"to": "us"},
    }
    found = lower(decode_stored(json.dumps(raw).encode()))
    assert found == ServiceSlice(namespace="shop", service="web", nets=frozenset(), ports=frozenset())
