"""What the kinds of the network say beside their fields: names, lone objects, tables, other projects' documents."""

import json

import pytest
from resource_text import codes, document, lowered, read, refuse

from tortie.model.endpoint import WorkloadEndpoint
from tortie.resources.kind import GeneralCell, Resource
from tortie.resources.kinds import KINDS, kind_of

POD = {"orchestrator": "k8s", "node": "node-1", "pod": "pod-name", "endpoint": "eth0", "interfaceName": "cali1"}


def found(kind: str, spec: object, name: str = "thing", **metadata: object) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in refuse(document(kind, spec, name, **metadata))]


# ---- names


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (POD, "node--1-k8s-pod--name-eth0"),
        ({**POD, "orchestrator": "cni", "containerID": "c-1"}, "node--1-cni-c--1-eth0"),
        ({**POD, "orchestrator": "libnetwork"}, "node--1-libnetwork-libnetwork-eth0"),
        ({**POD, "orchestrator": "open-stack", "workload": "w"}, "node--1-open--stack-w-eth0"),
    ],
)
def test_a_workload_endpoint_gets_the_name_of_its_identifiers(spec: dict[str, object], name: str) -> None:
    without = {"apiVersion": "projectcalico.org/v3", "kind": "WorkloadEndpoint", "spec": spec}
    for text in (
        document("WorkloadEndpoint", spec, name, namespace="ns"),
        document("WorkloadEndpoint", spec, ""),
        json.dumps({**without, "metadata": {"namespace": "ns"}}),
        json.dumps(without),
    ):
        resource = read(text)
        assert resource.name == name
        assert read(json.dumps(resource.body)).body == resource.body


def test_another_name_for_a_workload_endpoint_is_refused_with_the_right_one() -> None:
    (problem,) = refuse(document("WorkloadEndpoint", POD, "mine"))
    assert (problem.code, problem.path) == ("TT1330", "metadata.name")
    assert problem.expected == "node--1-k8s-pod--name-eth0"


def test_a_workload_endpoint_whose_name_would_be_none_is_refused() -> None:
    upper = {**POD, "orchestrator": "cni", "containerID": "Ab01-C"}
    assert found("WorkloadEndpoint", upper, "") == [("TT1112", "metadata.name")]
    assert found("WorkloadEndpoint", {**POD, "node": "a" * 253}, "") == [("TT1112", "metadata.name")]


def test_a_workload_endpoint_without_identifiers_is_told_each_of_them() -> None:
    missing = ("spec.orchestrator", "spec.node", "spec.endpoint")
    assert found("WorkloadEndpoint", {"interfaceName": "a"}, "") == [("TT1102", path) for path in missing]
    for orchestrator, key in (("k8s", "pod"), ("cni", "containerID"), ("workload", "workload")):
        spec = {"orchestrator": orchestrator, "node": "n", "endpoint": "e", "interfaceName": "a"}
        assert found("WorkloadEndpoint", spec, "") == [("TT1102", f"spec.{key}")]


def test_an_identifier_that_is_refused_makes_no_second_problem() -> None:
    assert found("WorkloadEndpoint", {**POD, "pod": "A"}, "x") == [("TT1112", "spec.pod")]


def test_a_workload_endpoint_carries_its_namespace_and_orchestrator_as_labels() -> None:
    forged = {"projectcalico.org/namespace": "other", "projectcalico.org/orchestrator": "other", "a": "b"}
    labels = {"projectcalico.org/namespace": "ns", "projectcalico.org/orchestrator": "k8s", "a": "b"}
    text = document("WorkloadEndpoint", POD, "", namespace="ns", labels=forged)
    assert read(text).labels == labels
    endpoint = lowered(text)
    assert isinstance(endpoint, WorkloadEndpoint)
    assert endpoint.labels == labels


@pytest.mark.parametrize("kind", ["IPAMConfiguration", "ClusterInformation", "KubeControllersConfiguration"])
def test_there_is_one_object_of_some_kinds_and_it_is_called_default(kind: str) -> None:
    read(document(kind, {}, "default"))
    assert found(kind, {}, "other") == [("TT1112", "metadata.name")]


# ---- what only one object may say

DEFAULT_ONLY: dict[str, object] = {
    "nodeToNodeMeshEnabled": True,
    "asNumber": 64512,
    "serviceClusterIPs": [{"cidr": "10.0.0.0/8"}],
    "serviceExternalIPs": [{"cidr": "10.0.0.0/8"}],
    "serviceLoadBalancerIPs": [{"cidr": "10.0.0.0/8"}],
    "nodeMeshPassword": {"secretKeyRef": {"key": "k"}},
    "nodeMeshMaxRestartTime": "1s",
}


@pytest.mark.parametrize("key", DEFAULT_ONLY)
def test_what_holds_for_all_nodes_is_said_in_the_default_bgp_configuration(key: str) -> None:
    spec = {key: DEFAULT_ONLY[key]}
    read(document("BGPConfiguration", spec, "default"))
    for name in ("node.a", "other"):
        assert found("BGPConfiguration", spec, name) == [("TT1335", f"spec.{key}")]


def test_one_node_may_have_its_own_bgp_settings() -> None:
    read(document("BGPConfiguration", {"listenPort": 1790, "logSeverityScreen": "debug"}, "node.a"))


# ---- annotations


@pytest.mark.parametrize("value", ["0", "63", "EF", "af11", "cs6"])
def test_a_host_endpoint_may_say_a_dscp(value: str) -> None:
    annotations = {"qos.projectcalico.org/dscp": value}
    read(document("HostEndpoint", {"node": "n", "interfaceName": "eth0"}, annotations=annotations))


@pytest.mark.parametrize("value", ["64", "-1", "CS7", "", "x"])
def test_a_host_endpoint_with_another_dscp_is_refused(value: str) -> None:
    annotations = {"qos.projectcalico.org/dscp": value}
    at = 'metadata.annotations["qos.projectcalico.org/dscp"]'
    spec = {"node": "n", "interfaceName": "eth0"}
    assert found("HostEndpoint", spec, annotations=annotations) == [("TT1114", at)]


XDP, AT_XDP = "tortie.io/xdp", 'metadata.annotations["tortie.io/xdp"]'
ONE_INTERFACE = {"node": "n", "interfaceName": "eth0"}


@pytest.mark.parametrize(("kind", "spec"), [("HostEndpoint", ONE_INTERFACE), ("FelixConfiguration", {})])
def test_an_endpoint_and_settings_may_say_where_packets_are_judged(kind: str, spec: dict[str, object]) -> None:
    for use in ("auto", "untracked", "always", "never"):
        read(document(kind, spec, "default", annotations={XDP: use}))
    for value in ("", "Always", "on"):
        assert found(kind, spec, "default", annotations={XDP: value}) == [("TT1104", AT_XDP)]


def test_an_annotation_of_ours_that_is_not_known_there_is_refused() -> None:
    (problem,) = refuse(document("HostEndpoint", ONE_INTERFACE, annotations={"tortie.io/xpd": "auto"}))
    assert (problem.code, problem.path) == ("TT1114", 'metadata.annotations["tortie.io/xpd"]')
    assert problem.remedy == "did you mean tortie.io/xdp?"
    (problem,) = refuse(document("GlobalNetworkSet", {"nets": []}, annotations={XDP: "auto"}))
    assert (problem.path, problem.expected) == (AT_XDP, "none: a GlobalNetworkSet has no annotations of tortie's")
    read(document("HostEndpoint", ONE_INTERFACE, annotations={"example.io/xdp": "x", "tortie": "y"}))


# ---- an AS number that YAML reads as a fraction


def test_an_unquoted_dotted_as_number_is_refused_with_the_remedy() -> None:
    text = document("BGPPeer", {"peerIP": "10.0.0.1"}).replace('"peerIP"', '"asNumber": 1.10, "peerIP"')
    (problem,) = refuse(text)
    assert (problem.code, problem.remedy) == ("TT1103", 'quote it: "1.10"')


# ---- a pool that is only an address


@pytest.mark.parametrize(
    ("address", "pool"), [("1.2.3.4", "1.2.3.0/26"), ("fd00::1234", "fd00::1200/122"), ("10.0.0.0", "10.0.0.0/26")]
)
def test_the_network_that_is_proposed_for_an_address_is_one_that_a_pool_can_have(address: str, pool: str) -> None:
    (problem,) = refuse(document("IPPool", {"cidr": address}))
    assert (problem.code, problem.remedy) == ("TT1106", f"write {pool}")
    read(document("IPPool", {"cidr": pool}))


# ---- vectors of resources.md section 13 that no field's case has


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        *(("HostEndpoint", {"node": "n", **each}) for each in ({"interfaceName": "*"}, {"expectedIPs": ["10.0.0.1"]})),
        (
            "HostEndpoint",
            {"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"], "profiles": ["kns.x", "x"]},
        ),
        ("WorkloadEndpoint", {**POD, "containerID": "Ab01-C"}),
        (
            "WorkloadEndpoint",
            {
                **POD,
                "ipNetworks": ["10.0.0.1/32", "10.0.0.2/32"],
                "ipNATs": [{"internalIP": "10.0.0.2", "externalIP": "192.0.2.1"}],
            },
        ),
        ("IPPool", {"cidr": "10.0.0.0/27", "disabled": True}),
        ("IPPool", {"cidr": "10.0.0.0/24", "ipipMode": "Always"}),
        ("IPPool", {"cidr": "fd00::/64", "vxlanMode": "Always"}),
        ("IPPool", {"cidr": "10.0.0.0/24", "allowedUses": ["LoadBalancer"], "nodeSelector": "all()"}),
        ("IPPool", {"cidr": "10.0.0.0/24", "allowedUses": ["Workload"], "namespaceSelector": "a == 'b'"}),
    ],
)
def test_what_the_reference_accepts_is_accepted(kind: str, spec: dict[str, object]) -> None:
    read(document(kind, spec, "" if kind == "WorkloadEndpoint" else "thing"))


# ---- tables


def cells(kind: str, resource: Resource) -> dict[str, str]:
    columns = (*KINDS[kind].columns, *KINDS[kind].wide, *KINDS[kind].extra)
    return {
        column.heading: column.cell.cell(resource, None)
        if isinstance(column.cell, GeneralCell)
        else column.cell(resource)
        for column in columns
    }


@pytest.mark.parametrize(
    ("kind", "default", "wide"),
    [
        ("BGPConfiguration", "NAME LOGSEVERITY MESHENABLED ASNUMBER", ""),
        ("BGPFilter", "NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6", ""),
        ("BGPPeer", "NAME PEERIP NODE ASN", ""),
        ("CalicoNodeStatus", "NAME NODE", "NAME NODE CLASSES"),
        ("ClusterInformation", "NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY", ""),
        ("HostEndpoint", "NAME NODE", "NAME NODE INTERFACE IPS PROFILES"),
        (
            "IPAMConfiguration",
            "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS",
            "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST",
        ),
        (
            "IPPool",
            "NAME CIDR SELECTOR",
            "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE",
        ),
        ("IPReservation", "NAME", "NAME CIDRS"),
        ("KubeControllersConfiguration", "NAME", ""),
        ("Node", "NAME", "NAME ASN IPV4 IPV6"),
        (
            "WorkloadEndpoint",
            "WORKLOAD NODE NETWORKS INTERFACE",
            "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS",
        ),
    ],
)
def test_tables_have_the_columns_of_the_reference(kind: str, default: str, wide: str) -> None:
    assert " ".join(column.heading for column in KINDS[kind].columns) == default
    assert " ".join(column.heading for column in KINDS[kind].wide) == (wide or default)


def test_workload_endpoints_can_be_told_by_namespace_and_orchestrator_too() -> None:
    assert [column.heading for column in KINDS["WorkloadEndpoint"].extra] == ["NAMESPACE", "ORCHESTRATOR"]


@pytest.mark.parametrize(
    ("kind", "spec", "heading", "cell"),
    [
        ("BGPConfiguration", {}, "MESHENABLED", "-"),
        ("BGPConfiguration", {}, "ASNUMBER", "-"),
        ("BGPConfiguration", {"nodeToNodeMeshEnabled": False}, "MESHENABLED", "false"),
        ("BGPConfiguration", {}, "LOGSEVERITY", "Info"),
        ("BGPFilter", {"exportV4": [{"action": "Accept"}] * 2}, "NUMEXPORTV4", "2"),
        ("BGPFilter", {}, "NUMIMPORTV6", "0"),
        ("BGPPeer", {}, "NODE", "(global)"),
        ("BGPPeer", {"nodeSelector": "all()"}, "NODE", "all()"),
        ("BGPPeer", {"node": "a"}, "NODE", "a"),
        ("BGPPeer", {}, "ASN", "0"),
        ("BGPPeer", {"asNumber": "1.10"}, "ASN", "65546"),
        ("ClusterInformation", {}, "DATASTOREREADY", "<nil>"),
        ("ClusterInformation", {"datastoreReady": True}, "DATASTOREREADY", "true"),
        ("IPAMConfiguration", {}, "AUTOALLOCATEBLOCKS", "true"),
        ("IPAMConfiguration", {}, "MAXBLOCKSPERHOST", "0"),
        ("IPPool", {"cidr": "10.0.0.0/16"}, "NAT", "false"),
        ("IPPool", {"cidr": "10.0.0.0/16", "natOutgoing": True}, "NAT", "true"),
        ("IPPool", {"cidr": "10.0.0.0/16"}, "IPIPMODE", "Never"),
        ("IPPool", {"cidr": "10.0.0.0/16"}, "SELECTOR", "all()"),
        ("IPReservation", {"reservedCIDRs": ["10.0.0.0/8", "fd00::1"]}, "CIDRS", "10.0.0.0/8,fd00::1"),
        ("Node", {}, "ASN", ""),
        ("Node", {"bgp": {"asNumber": 5}}, "ASN", "5"),
        ("Node", {"bgp": {"ipv4Address": "10.0.0.1/24"}}, "ASN", "(unknown)"),
        ("Node", {"bgp": {"ipv4Address": "10.0.0.1/24"}}, "IPV4", "10.0.0.1/24"),
        ("WorkloadEndpoint", POD, "WORKLOAD", "pod-name"),
        ("WorkloadEndpoint", {**POD, "workload": "w"}, "WORKLOAD", "w"),
    ],
)
def test_cells_say_what_upstream_says(kind: str, spec: object, heading: str, cell: str) -> None:
    name = {"WorkloadEndpoint": "", "BGPPeer": "a", "Node": "a"}.get(kind, "default")
    assert cells(kind, read(document(kind, spec, name)))[heading] == cell


def test_the_addresses_that_lead_to_a_workload_are_a_cell() -> None:
    nats = [{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}]
    resource = read(document("WorkloadEndpoint", {**POD, "ipNetworks": ["10.0.0.1/32"], "ipNATs": nats}, ""))
    assert cells("WorkloadEndpoint", resource)["NATS"] == "10.0.0.1=192.0.2.1"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("BGPConfiguration", "bgpconfiguration bgpconfigurations bgpconfig bgpconfigs"),
        ("BGPFilter", "bgpfilter bgpfilters bgpf bgpfs bf bfs"),
        ("BGPPeer", "bgppeer bgppeers bgpp bgpps bp bps"),
        ("BlockAffinity", "blockaffinity blockaffinities affinity affinities"),
        ("CalicoNodeStatus", "caliconodestatus caliconodestatuses nodestatus nodestatuses"),
        ("ClusterInformation", "clusterinformation clusterinformations clusterinfo clusterinfos"),
        ("HostEndpoint", "hostendpoint hostendpoints hep heps"),
        ("IPAMConfiguration", "ipamconfiguration ipamconfigurations ipamconfig ipamconfigs"),
        ("IPPool", "ippool ippools ipp ipps pool pools"),
        ("IPReservation", "ipreservation ipreservations reservation reservations"),
        (
            "KubeControllersConfiguration",
            "kubecontrollersconfiguration kubecontrollersconfigurations kubecontrollersconfig kubecontrollersconfigs "
            "kcc kccs",
        ),
        ("Node", "node nodes no nos"),
        ("WorkloadEndpoint", "workloadendpoint workloadendpoints wep weps"),
        ("Namespace", "namespace namespaces ns"),
        ("Pod", "pod pods po"),
        ("Service", "service services svc"),
        ("ServiceAccount", "serviceaccount serviceaccounts sa"),
        ("EndpointSlice", "endpointslice endpointslices"),
        ("KubernetesNode", "kubernetesnode kubernetesnodes"),
    ],
)
def test_kinds_of_the_network_have_their_short_names(kind: str, words: str) -> None:
    assert {kind_of(word).name for word in words.split()} == {kind}


def test_what_others_manage_cannot_be_written() -> None:
    managed = {kind.name for kind in KINDS.values() if kind.read_only and "Policy" not in kind.name}
    kubernetes = {"Namespace", "ServiceAccount", "Pod", "Service", "EndpointSlice", "KubernetesNode"}
    assert managed == {"BlockAffinity", "ClusterInformation", *kubernetes}


# ---- documents of Kubernetes

POD_OF_KUBERNETES = """
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  labels: {app: web}
  generateName: web-
  creationTimestamp: null
spec:
  nodeName: n1
  containers:
  - name: web
    image: example.org/web:1
    ports: [{containerPort: 8080, name: http}]
    volumeMounts: [{mountPath: /data, name: data}]
  volumes: [{name: data, emptyDir: {}}]
  tolerations: [{operator: Exists}]
status:
  phase: Running
  hostIP: 192.0.2.1
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
  qosClass: BestEffort
"""


def test_of_a_pod_the_fields_that_policy_needs_are_kept() -> None:
    resource = read(POD_OF_KUBERNETES)
    assert (resource.kind, resource.namespace, resource.labels) == ("Pod", "shop", {"app": "web"})
    port = {"containerPort": 8080, "name": "http", "protocol": "TCP"}
    assert resource.spec == {"nodeName": "n1", "containers": [{"name": "web", "ports": [port]}]}
    status = {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}
    assert resource.body["status"] == status
    assert cells("Pod", resource) == {
        "NAME": "web-1",
        "STATUS": "Running",
        "IPS": "10.0.0.1,fd00::1",
        "NODE": "n1",
        "NAMESPACE": "shop",
    }


def test_a_wrong_field_of_a_pod_is_refused_all_the_same() -> None:
    assert codes(POD_OF_KUBERNETES.replace("8080", "0")) == ["TT1105"]
    assert codes(POD_OF_KUBERNETES.replace("phase: Running", "phase: 5")) == ["TT1103"]


def test_of_a_slice_the_endpoints_stand_beside_the_metadata() -> None:
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "zone": "a"}],
        "ports": [{"name": "", "port": 8080}],
    }
    resource = read(json.dumps(body))
    assert resource.body["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]
    assert resource.body["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert "spec" not in resource.body
    assert cells("EndpointSlice", resource)["SERVICE"] == "web"


def test_two_kinds_are_called_node_and_their_api_version_says_which() -> None:
    ours = document("Node", {})
    theirs = ours.replace("projectcalico.org/v3", "v1")
    assert (read(ours).kind, read(theirs).kind) == ("Node", "KubernetesNode")
    assert read(theirs).body["kind"] == "Node"
    assert codes(theirs.replace('"Node"', '"KubernetesNode"')) == ["TT1013"]
    assert codes(ours.replace("v3", "v9")) == ["TT1012"]


def test_the_state_of_a_node_is_a_part_of_it() -> None:
    text = document("Node", {}).replace('"spec"', '"status": {"podCIDRs": ["10.0.0.0/24"]}, "spec"')
    assert read(text).body["status"] == {"podCIDRs": ["10.0.0.0/24"]}
