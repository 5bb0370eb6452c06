"""What each kind accepts and refuses: the vectors of resources.md sections 5, 6, 8 and 13."""

import pytest
from resource_text import codes, document, policy, read, refuse

from tortie.resources.kinds import KINDS, UnknownKind, kind_of

ALLOW = {"action": "Allow"}
TCP = {"action": "Allow", "protocol": "TCP"}


def ports(*entries: object, side: str = "destination", key: str = "ports", **rule: object) -> dict[str, object]:
    return {**ALLOW, **rule, side: {key: [*entries]}}


def source(**entity: object) -> dict[str, object]:
    return {**ALLOW, "source": entity}


SERVICE = {"name": "web", "namespace": "default"}
BAD_PORTS = (0, "0:10", "200:100", 65536, "a b", "http_port", "1:2:3", -1, "*", "")
WITH_SERVICES: list[dict[str, object]] = [
    {"namespaceSelector": "all()"},
    {"selector": "all()"},
    {"notSelector": "all()"},
    {"nets": ["10.0.0.0/8"]},
    {"notNets": ["10.0.0.0/8"]},
    {"serviceAccounts": {"names": ["x"]}},
]
MIXED_GLOBALS = ('global() && x == "y"', 'x == "y" || global()', "(global())", "!global()")
GOOD_RULES = [
    *({"action": action} for action in ("Allow", "Deny", "Log", "Pass")),
    *(
        {**ALLOW, "protocol": each}
        for each in ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite", 1, 255, "1", "255", 4.0)
    ),
    *(ports(each, protocol="TCP") for each in (80, "80", "100:200", "http", 1, 65535)),
    ports("http"),
    *(ports(80, protocol=each) for each in (6, 17, 132, "TCP", "UDP", "SCTP")),
    *(
        {**ALLOW, "protocol": "ICMP", "icmp": each}
        for each in ({}, {"type": 0}, {"type": 254}, {"type": 128, "code": 255})
    ),
    {**ALLOW, "notICMP": {"type": 8}},
    *({**ALLOW, "ipVersion": each} for each in (4, 6)),
    *({**ALLOW, "ipVersion": 4, "protocol": "ICMP"}, {**ALLOW, "ipVersion": 6, "protocol": "ICMPv6"}),
    *(source(nets=["10.0.0.0/8"]), source(nets=["fd00::/8"]), {**source(nets=["fd00::/8"]), "ipVersion": 6}),
    *(source(namespaceSelector=each) for each in ("global()", "all()", 'projectcalico.org/name == "x"', " global( ) ")),
    *(source(notSelector="global()"), source(serviceAccounts={"selector": "global()", "names": ["x"]})),
    *(
        {**ALLOW, "http": each}
        for each in ({"methods": ["GET", "PUT"]}, {"paths": [{"exact": "/foo"}, {"prefix": "/bar"}]})
    ),
    {**TCP, "http": {"methods": ["GET"]}},
    source(services=SERVICE),
    {**TCP, "source": {"services": SERVICE, "ports": [80]}},
    {**ALLOW, "metadata": {"annotations": {"Why": "because"}}},
    {**ALLOW, "source": {"nets": [], "ports": [], "selector": ""}, "destination": {}},
]
BAD_RULES = [
    *(({"action": each}, "TT1104") for each in ("allow", "Accept", "")),
    ({}, "TT1102"),
    *(({**ALLOW, "protocol": each}, "TT1108") for each in ("tcp", 0, "0", 256, "256", "tcpfoo", -1)),
    *((ports(each, protocol="TCP"), "TT1107") for each in BAD_PORTS),
    *((ports(*each), "TT1311") for each in ((80,), ("1:2",), ("http", 80))),
    (ports(80, key="notPorts", side="source"), "TT1311"),
    (ports(80, notProtocol="UDP"), "TT1311"),
    *((ports("http", protocol=each), "TT1311") for each in (7, "ICMP", "UDPLite", 100)),
    *(({**ALLOW, "protocol": "ICMP", "icmp": each}, "TT1105") for each in ({"type": 255}, {"type": 1, "code": 256})),
    ({**ALLOW, "protocol": "ICMP", "icmp": {"code": 1}}, "TT1312"),
    ({**ALLOW, "notICMP": {"code": 1}}, "TT1312"),
    *(({**ALLOW, "icmp": {"type": 1}}, "TT1312"), ({**TCP, "icmp": {"type": 1}}, "TT1312")),
    *(({**ALLOW, "ipVersion": each}, "TT1104") for each in (0, 5)),
    *(({**ALLOW, "ipVersion": 6, key: "ICMP"}, "TT1313") for key in ("protocol", "notProtocol")),
    *(({**ALLOW, "ipVersion": 4, key: 58}, "TT1313") for key in ("protocol", "notProtocol")),
    ({**ALLOW, "ipVersion": 4, "protocol": "ICMPv6"}, "TT1313"),
    *((source(nets=[each]), "TT1106") for each in ("10.0.0.1/8", "10.0.0.1", "x", "10.0.0.300/32", "10.0.0.0/33")),
    ({**source(nets=["10.0.0.0/8"]), "destination": {"notNets": ["fd00::/8"]}}, "TT1313"),
    (source(nets=["10.0.0.0/8", "fd00::/8"]), "TT1313"),
    ({**source(nets=["10.0.0.0/8"]), "ipVersion": 6}, "TT1313"),
    *((source(notNets=[each]), "TT1320") for each in ("0.0.0.0/0", "::/0", "0::0/0")),
    (source(nets=["10.0.0.0/8", "10.0.0.0/8"]), "TT1111"),
    *((source(namespaceSelector=each), "TT1202") for each in MIXED_GLOBALS),
    (source(selector="a == 'global()'"), "TT1202"),
    (source(selector="a"), "TT1201"),
    (source(selector="has(" + "a" * 500 + ") || has(" + "b" * 512 + ")"), "TT1110"),
    *(
        ({**each, "http": {"methods": ["GET"]}}, "TT1314")
        for each in ({"action": "Deny"}, {**ALLOW, "protocol": "UDP"})
    ),
    ({**ALLOW, "http": {"methods": ["GET", "GET"]}}, "TT1111"),
    *(({**ALLOW, "http": {"paths": [{"exact": each}]}}, "TT1314") for each in ("foo", "/a?b", "/a#b", "/a b")),
    *(({**ALLOW, "http": {"paths": [each]}}, "TT1314") for each in ({"exact": "/a", "prefix": "/b"}, {})),
    *((source(services={**SERVICE, **each}), "TT1315") for each in ({"namespace": ""}, {"name": ""})),
    (source(services={"name": "A", "namespace": "b"}), "TT1112"),
    *((source(services=SERVICE, **each), "TT1315") for each in WITH_SERVICES),
    ({**ALLOW, "destination": {"services": SERVICE}}, "TT1315"),
    (source(ports=list(range(1, 52))), "TT1110"),
    (source(nets=[f"10.0.{number}.0/24" for number in range(257)]), "TT1110"),
    (source(domains=["example.org"]), "TT1101"),
    (source(nets="10.0.0.0/8"), "TT1103"),
]


@pytest.mark.parametrize("rule", GOOD_RULES)
def test_rules_of_the_reference_are_accepted(rule: object) -> None:
    assert read(policy(rule)).spec["types"] == ["Ingress"]


@pytest.mark.parametrize(("rule", "code"), BAD_RULES)
def test_rules_that_the_reference_refuses_are_refused_once(rule: object, code: str) -> None:
    assert set(codes(policy(rule))) == {code}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({**ALLOW, "http": {"methods": ["GET"]}}, "TT1314"),
        (source(services=SERVICE), "TT1315"),
        ({**TCP, "destination": {"services": SERVICE, "ports": [80]}}, "TT1315"),
    ],
)
def test_what_an_egress_rule_may_not_hold_is_refused(rule: object, code: str) -> None:
    assert codes(policy(rule, "egress")) == [code]


def test_services_are_accepted_as_an_egress_destination() -> None:
    read(policy({**ALLOW, "destination": {"services": SERVICE}}, "egress"))


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"types": []}, ["Ingress"]),
        ({"ingress": [ALLOW]}, ["Ingress"]),
        ({"egress": [ALLOW]}, ["Egress"]),
        ({"ingress": [ALLOW], "egress": [ALLOW]}, ["Ingress", "Egress"]),
        ({"egress": [ALLOW], "types": ["Ingress"]}, ["Ingress"]),
        ({"types": ["Egress", "Ingress"]}, ["Egress", "Ingress"]),
    ],
)
def test_types_default_to_the_directions_that_have_rules(spec: dict[str, object], types: list[str]) -> None:
    assert read(document("GlobalNetworkPolicy", spec)).spec["types"] == types


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"doNotTrack": True, "preDNAT": True, "applyOnForward": True}, "TT1316"),
        ({"doNotTrack": True}, "TT1316"),
        ({"preDNAT": True, "applyOnForward": False}, "TT1316"),
        ({"preDNAT": True, "applyOnForward": True, "egress": [ALLOW]}, "TT1316"),
        ({"preDNAT": True, "applyOnForward": True, "types": ["Egress"]}, "TT1316"),
        ({"types": ["Egress", "Egress"]}, "TT1111"),
        ({"types": ["unexpected"]}, "TT1104"),
        ({"selector": "global()"}, "TT1202"),
        ({"namespaceSelector": "global()"}, "TT1202"),
        ({"serviceAccountSelector": "global()"}, "TT1202"),
        ({"performanceHints": ["Other"]}, "TT1104"),
        ({"order": "9"}, "TT1103"),
        ({"order": True}, "TT1103"),
        ({"doNotTrack": "yes"}, "TT1103"),
        ({"tier": "A"}, "TT1112"),
        ({"ingress": [ALLOW] * 1025}, "TT1110"),
        ({"ingress": {}}, "TT1103"),
        ({"ingress": [None]}, "TT1103"),
    ],
)
def test_policies_that_the_reference_refuses_are_refused(spec: dict[str, object], code: str) -> None:
    assert set(codes(document("GlobalNetworkPolicy", spec))) == {code}


@pytest.mark.parametrize(
    "spec",
    [
        {"applyOnForward": True},
        {"doNotTrack": True, "applyOnForward": True},
        {"preDNAT": True, "applyOnForward": True, "ingress": [ALLOW]},
        {"order": -1.5},
        {"performanceHints": ["AssumeNeededOnEveryNode"], "ingress": [ALLOW] * 1024},
    ],
)
def test_policies_of_the_reference_are_accepted(spec: dict[str, object]) -> None:
    read(document("GlobalNetworkPolicy", spec))


def test_a_policy_carries_its_tier_as_label_and_defaults_to_the_default_tier() -> None:
    assert read(document("GlobalNetworkPolicy", {})).labels == {"projectcalico.org/tier": "default"}
    forced = document("GlobalNetworkPolicy", {"tier": "t1"}, labels={"projectcalico.org/tier": "wrong", "a": "b"})
    assert read(forced).labels == {"projectcalico.org/tier": "t1", "a": "b"}


NAMESPACED_NAMES = [
    *("thing", "th.ing", "default.foo", "a" * 253),
    *("knp.default.thing", "knp.default.a.b.c", "ossg.default.x"),
]
NOT_NAMESPACED_NAMES = ["t.h.i.ng", "tHiNg", "knp.default.", "knp.other.x.y", "knp.default..x", "a" * 254, "a_b"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "GlobalNetworkPolicy",
            ["thing", "t1.thing", "a" * 253],
            ["tHiNg", "t~!s", "t.h.i.ng", "knp.default.x", "a" * 254, "-a", "a-", "a_b"],
        ),
        (
            "StagedGlobalNetworkPolicy",
            ["thing", "t1.thing", "default.foo"],
            ["tHiNg", "t~!s.h.i.ng", "t.h.i.ng", "knp.default.thing"],
        ),
        ("NetworkPolicy", NAMESPACED_NAMES, NOT_NAMESPACED_NAMES),
        ("StagedNetworkPolicy", NAMESPACED_NAMES, NOT_NAMESPACED_NAMES),
        ("StagedKubernetesNetworkPolicy", ["thing", "t.h.i.ng"], ["tHiNg", "a_b", "a" * 254]),
        ("NetworkSet", ["a.b.c"], ["a..b", "A", ""]),
        ("Tier", ["tier-1", "a" * 63], ["a.b", "Tier", "a" * 64]),
        ("GlobalNetworkSet", ["a.b.c"], ["a..b", "A", ""]),
        ("Profile", ["kns.x"], ["..x", "projectcalico-default-allow"]),
    ],
)
def test_names_follow_the_rules_of_their_kind(kind: str, good: list[str], bad: list[str]) -> None:
    metadata = {"namespace": "ns"} if KINDS[kind].is_namespaced else {}
    for name in good:
        assert read(document(kind, {}, name, **metadata)).name == name
    for name in bad:
        assert [problem.path for problem in refuse(document(kind, {}, name, **metadata))] == ["metadata.name"]


@pytest.mark.parametrize(
    ("labels", "is_good"),
    [
        ({"project.calico.org/my-label": "a" * 63, "a.b/Upper_Case": "", "x": None}, True),
        *(({key: ""}, False) for key in (".x", "a!b", "a$", "Upper.org/a", "/a", "a/", "a" * 64)),
        *(({"a": value}, False) for value in ("a" * 64, "-", "a b", 1)),
    ],
)
def test_labels_follow_the_kubernetes_rules(labels: dict[str, object], is_good: bool) -> None:
    text = document("Tier", {}, labels=labels)
    if is_good:
        read(text)
    else:
        refuse(text)


def test_annotations_have_a_total_size_and_may_have_upper_case_domains() -> None:
    key = "Example.ORG/Key"
    fits = "x" * (256 * 1024 - len(key))
    read(document("Tier", {}, annotations={key: fits}))
    assert codes(document("Tier", {}, annotations={key: fits + "x"})) == ["TT1114"]
    assert codes(document("Tier", {}, annotations={"a b": ""})) == ["TT1114"]


def test_what_a_server_set_is_dropped_and_the_resource_version_kept_apart() -> None:
    exported = {"uid": "1", "resourceVersion": "12", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 2}
    resource = read(document("Tier", {}, **exported, managedFields=[{"x": 1}], ownerReferences=[]))
    assert resource.body["metadata"] == {"name": "thing"}
    assert resource.resource_version == "12"


def test_a_namespace_on_a_cluster_kind_is_refused() -> None:
    assert codes(document("Tier", {}, namespace="x")) == ["TT1117"]


HEP = {"node": "n", "interfaceName": "eth0"}


@pytest.mark.parametrize(
    "spec",
    [
        *(HEP, {"node": "n", "expectedIPs": ["10.0.0.1", "fd00::1"]}, {**HEP, "expectedIPs": ["10.0.0.1"]}),
        *({"node": "n", "interfaceName": "*"}, {**HEP, "profiles": ["kns.x", "x"]}),
        *({**HEP, "ports": [{"name": "http", "protocol": p, "port": 80}]} for p in ("TCP", "UDP", "SCTP", 6, 17, 132)),
        {**HEP, "ports": [{"name": "a", "protocol": "TCP", "port": 1}, {"name": "a", "protocol": "TCP", "port": 2}]},
    ],
)
def test_host_endpoints_of_the_reference_are_accepted(spec: dict[str, object]) -> None:
    read(document("HostEndpoint", spec))


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"interfaceName": "eth0"}, "TT1102"),
        ({"node": "n"}, "TT1317"),
        ({"node": "n", "expectedIPs": []}, "TT1317"),
        ({**HEP, "expectedIPs": ["10.0.0.1/32"]}, "TT1106"),
        ({**HEP, "expectedIPs": ["<NODE_IP>"]}, "TT1109"),
        ({**HEP, "expectedIPs": ["10.0.0.1", "::ffff:10.0.0.1"]}, "TT1111"),
        ({**HEP, "profiles": ["..x"]}, "TT1112"),
        *(({**HEP, "interfaceName": each}, "TT1115") for each in ("a" * 16, "a&b", "a#b", "a:b")),
        ({**HEP, "ports": [{"protocol": "TCP", "port": 80}]}, "TT1102"),
        ({**HEP, "ports": [{"name": "http", "port": 80}]}, "TT1102"),
        *(({**HEP, "ports": [{"name": "http", "protocol": p, "port": 80}]}, "TT1108") for p in (10, "ICMP")),
        ({**HEP, "ports": [{"name": "http", "protocol": "TCP", "port": 0}]}, "TT1105"),
        ({**HEP, "ports": [{"name": "HTTP", "protocol": "TCP", "port": 1}]}, "TT1107"),
    ],
)
def test_host_endpoints_that_the_reference_refuses_are_refused(spec: dict[str, object], code: str) -> None:
    assert codes(document("HostEndpoint", spec)) == [code]


def test_a_document_without_metadata_and_spec_names_both() -> None:
    text = "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\n"
    assert [problem.path for problem in refuse(text)] == ["metadata.name", "spec.node", "spec"]


def test_network_sets_take_both_families_host_bits_and_bare_addresses() -> None:
    read(document("GlobalNetworkSet", {"nets": ["10.0.0.1", "10.0.0.1/8", "feed:beef::1"]}))
    for bad in ("10.0.0.300", "abc"):
        assert codes(document("GlobalNetworkSet", {"nets": [bad]})) == ["TT1106"]
    assert codes(document("GlobalNetworkSet", {}, labels={"projectcalico.org/namespace": "x"})) == ["TT1113"]


def test_tiers_get_their_defaults_and_built_in_ones_cannot_be_changed() -> None:
    assert read(document("Tier", {})).spec == {"order": 1000000, "defaultAction": "Deny"}
    assert read(document("Tier", {}, "kube-admin")).spec == {"order": 1000, "defaultAction": "Pass"}
    assert codes(document("Tier", {"order": 5, "defaultAction": "Pass"}, "default")) == ["TT1318", "TT1318"]
    assert read(document("Tier", {}).replace('"spec"', '"status": {"conditions": []}, "spec"')).spec


@pytest.mark.parametrize(
    ("spec", "name", "code"),
    [
        ({"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}]}, "default", "TT1104"),
        ({"failsafeInboundHostPorts": [{"port": 22}]}, "default", "TT1102"),
        ({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "x"}]}, "default", "TT1106"),
        ({"nodeSelector": "all()"}, "default", "TT1319"),
        ({"nodeSelector": "all()"}, "node.a", "TT1319"),
        ({"nodeSelector": "all("}, "other", "TT1201"),
        ({"bpfEnabled": "true"}, "default", "TT1103"),
        ({"bpfEnable": True}, "default", "TT1101"),
        ({"routeTableRange": {"min": 1, "max": 251}}, "default", "TT1319"),
        ({"routeTableRanges": [{"min": 1, "max": 65536}]}, "default", "TT1319"),
        ({"xdpRefreshInterval": "soon"}, "default", "TT1116"),
        ({"kubeNodePortRanges": ["http"]}, "default", "TT1319"),
        ({"iptablesBackend": "nft"}, "default", "TT1104"),
        ({"bpfConntrackTimeouts": {"udpTimeout": "auto"}}, "default", "TT1116"),
        ({"bpfConntrackTimeouts": {"udpTimeout": "-1s"}}, "default", "TT1116"),
        ({"bpfConntrackTimeouts": {"udp": "1s"}}, "default", "TT1101"),
    ],
)
def test_settings_that_the_reference_refuses_are_refused(spec: dict[str, object], name: str, code: str) -> None:
    assert codes(document("FelixConfiguration", spec, name)) == [code]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("FailsafeInboundHostPorts", "tcp:ssh"),
        ("DisableConntrackInvalidCheck", "perhaps"),
        ("BPFMapSizeConntrack", "many"),
        ("BPFMapSizeConntrack", "none"),
    ],
)
def test_an_annotation_that_overrides_a_setting_with_nonsense_is_refused(parameter: str, value: str) -> None:
    annotations = {f"config.projectcalico.org/{parameter}": value}
    assert codes(document("FelixConfiguration", {}, "default", annotations=annotations)) == ["TT1114"]


def test_exported_settings_are_accepted_whole() -> None:
    spec = {
        "bpfEnabled": True,
        "bpfConntrackTimeouts": {"tcpSynSent": "20s", "tcpFinsSeen": "Auto"},
        "bpfLogFilters": {"all": "tcp"},
        "chainInsertMode": "INSERT",
        "failsafeInboundHostPorts": [],
        "healthTimeoutOverrides": [{"name": "InternalDataplaneMainLoop", "timeout": "1m30s"}],
        "interfacePrefix": "cali,tap",
        "istioDSCPMark": "AF21",
        "iptablesRefreshInterval": "90s",
        "kubeNodePortRanges": ["30000:32767"],
        "logSeverityScreen": "",
        "reportingInterval": "0s",
        "routeTableRanges": [{"min": 1, "max": 10000}, {"min": 8, "max": 8}],
    }
    stored = read(document("FelixConfiguration", spec, "default")).spec
    assert stored["failsafeInboundHostPorts"] == []
    assert "logSeverityScreen" not in stored
    assert (stored["nftablesMode"], stored["nftablesFlowTableOffload"]) == ("Auto", "Disabled")


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        *(
            ("hep", "HostEndpoint"),
            ("HEPS", "HostEndpoint"),
            ("gnp", "GlobalNetworkPolicy"),
            ("gnps", "GlobalNetworkPolicy"),
        ),
        *(
            ("cgnp", "GlobalNetworkPolicy"),
            ("gns", "GlobalNetworkSet"),
            ("gnetsets", "GlobalNetworkSet"),
            ("tiers", "Tier"),
        ),
        *((each, "NetworkPolicy") for each in ("networkpolicy", "networkpolicies", "policy", "policies", "np", "pol")),
        *((each, "NetworkPolicy") for each in ("pols", "cnp", "caliconetworkpolicy")),
        *((each, "StagedGlobalNetworkPolicy") for each in ("stagedglobalnetworkpolicies", "sgnp", "sgnps")),
        *((each, "StagedNetworkPolicy") for each in ("stagednetworkpolicies", "stagedpolicy", "stagedpolicies")),
        *((each, "StagedNetworkPolicy") for each in ("snp", "scnp", "spol", "spols")),
        *(
            (each, "StagedKubernetesNetworkPolicy")
            for each in ("stagedkubernetesnetworkpolicies", "stagedkubernetespolicy", "stagedkubernetespolicies")
        ),
        *((each, "StagedKubernetesNetworkPolicy") for each in ("sknp", "skpol", "skpols")),
        *((each, "NetworkSet") for each in ("networkset", "networksets", "netset", "netsets")),
        *(("knp", "KubernetesNetworkPolicy"), ("kcnp", "KubernetesClusterNetworkPolicy")),
        *(("felixconfig", "FelixConfiguration"), ("GlobalNetworkPolicies", "GlobalNetworkPolicy"), ("pro", "Profile")),
    ],
)
def test_kinds_have_their_short_names_in_any_case(alias: str, name: str) -> None:
    assert kind_of(alias) is KINDS[name]


def test_an_unknown_kind_gets_a_suggestion() -> None:
    with pytest.raises(UnknownKind, match=r"resource type 'hostendpont' is not supported; did you mean hostendpoint\?"):
        kind_of("hostendpont")


def test_no_alias_names_two_kinds() -> None:
    words = [word.lower() for kind in KINDS.values() for word in {kind.name.lower(), kind.plural, *kind.aliases}]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("order", "cell"),
    [(None, "<nil>"), (100, "100"), (1000000, "1e+06"), (0.5, "0.5"), (-3, "-3"), (1234567, "1.234567e+06")],
)
def test_orders_print_like_upstream(order: object, cell: str) -> None:
    resource = read(document("GlobalNetworkPolicy", {"order": order, "selector": "all()"}))
    assert [column.cell(resource) for column in KINDS["GlobalNetworkPolicy"].wide] == [
        "thing",
        "default",
        cell,
        "all()",
    ]


POLICY_COLUMNS = (["NAME", "TIER"], ["NAME", "TIER", "ORDER", "SELECTOR"])


@pytest.mark.parametrize(
    ("kind", "columns", "wide", "extra"),
    [
        ("GlobalNetworkPolicy", *POLICY_COLUMNS, []),
        ("StagedGlobalNetworkPolicy", *POLICY_COLUMNS, []),
        ("NetworkPolicy", *POLICY_COLUMNS, ["NAMESPACE"]),
        ("StagedNetworkPolicy", *POLICY_COLUMNS, ["NAMESPACE"]),
        ("GlobalNetworkSet", ["NAME"], ["NAME", "NETS"], []),
        ("NetworkSet", ["NAME"], ["NAME", "NETS"], ["NAMESPACE"]),
        ("Profile", ["NAME"], ["NAME", "LABELS"], []),
        ("StagedKubernetesNetworkPolicy", ["NAME"], ["NAME", "PODSELECTOR"], ["NAMESPACE"]),
        ("Tier", ["NAME", "ORDER"], ["NAME", "ORDER"], []),
    ],
)
def test_tables_have_the_columns_of_the_reference(
    kind: str, columns: list[str], wide: list[str], extra: list[str]
) -> None:
    found = KINDS[kind]
    headings = [[column.heading for column in each] for each in (found.columns, found.wide, found.extra)]
    assert headings == [columns, wide, extra]


def test_cells_say_where_a_policy_is_and_whom_it_is_about() -> None:
    policy_ = read(document("NetworkPolicy", {"order": 10, "selector": "has(a)", "tier": "t"}, namespace="ns"))
    kind = KINDS["NetworkPolicy"]
    assert [column.cell(policy_) for column in (*kind.wide, *kind.extra)] == ["thing", "t", "10", "has(a)", "ns"]
    spec = {"podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}}
    staged = read(document("StagedKubernetesNetworkPolicy", spec, namespace="ns"))
    cells = [column.cell(staged) for column in KINDS["StagedKubernetesNetworkPolicy"].wide]
    assert cells == ["thing", "a == 'b' && has(c)"]


def test_short_names_are_among_the_aliases_and_those_of_the_reference() -> None:
    told = {kind.name: kind.short_names for kind in KINDS.values() if kind.short_names}
    assert all(set(names) <= set(KINDS[name].aliases) for name, names in told.items())
    assert {name: set(told.get(name, ())) for name in SHORT_NAMES} == SHORT_NAMES


SHORT_NAMES: dict[str, set[str]] = {
    "GlobalNetworkPolicy": {"gnp", "cgnp"},
    "NetworkPolicy": {"cnp", "caliconetworkpolicy"},
    "StagedGlobalNetworkPolicy": {"sgnp"},
    "StagedNetworkPolicy": {"scnp", "snp"},
    "StagedKubernetesNetworkPolicy": {"sknp"},
    "Tier": set(),
    "Profile": set(),
    "GlobalNetworkSet": {"gns"},
    "NetworkSet": {"netset", "netsets"},
}
"""Source: reference resources.md section 1."""


@pytest.mark.parametrize("kind", ["NetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy"])
def test_every_policy_is_labelled_with_its_tier_also_a_staged_deletion(kind: str) -> None:
    metadata = {"namespace": "ns"} if KINDS[kind].is_namespaced else {}
    assert read(document(kind, {}, **metadata)).labels == {"projectcalico.org/tier": "default"}
    if KINDS[kind].is_staged:
        deletion = read(document(kind, {"stagedAction": "Delete", "tier": "t1", "types": []}, **metadata))
        assert deletion.labels == {"projectcalico.org/tier": "t1"}
        assert deletion.spec == {"stagedAction": "Delete", "tier": "t1"}


@pytest.mark.parametrize(
    "spec",
    [
        {"tier": "t1", "selector": "", "types": [], "applyOnForward": False, "order": None, "ingress": None},
        {},
    ],
)
def test_what_counts_as_not_given_may_stand_in_a_staged_deletion(spec: dict[str, object]) -> None:
    read(document("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", **spec}))


def test_a_staged_deletion_of_a_kubernetes_policy_says_nothing_else() -> None:
    spec = {"stagedAction": "Delete", "podSelector": {}, "policyTypes": []}
    kept = read(document("StagedKubernetesNetworkPolicy", spec, namespace="ns")).spec
    assert kept == {"stagedAction": "Delete", "podSelector": {}}


def test_long_lists_of_nets_are_cut_in_tables() -> None:
    resource = read(document("GlobalNetworkSet", {"nets": [f"10.0.{n}.0/24" for n in range(20)]}))
    cell = KINDS["GlobalNetworkSet"].wide[1].cell(resource)
    assert (len(cell), cell[-3:]) == (80, "...")
