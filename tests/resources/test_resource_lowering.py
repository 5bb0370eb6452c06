"""What stored documents mean to the model: selectors.md section 10, dataplane-policy.md B.1 to B.3."""

import json

import pytest
from resource_text import document, lowered, policy, read

from tortie.model.address import Net
from tortie.model.endpoint import HostEndpoint, NamedPort, NetworkSet
from tortie.model.failsafe import FailsafePort
from tortie.model.ipset import NamedPortSet, SelectorSet, ServiceSet
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.nets import Nets
from tortie.model.packet import SCTP, TCP, UDP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.settings import FelixSettings
from tortie.model.xdp import XdpUse
from tortie.resources.codec import decode_stored, encode, lower
from tortie.resources.problems import InvalidDocument

SOURCE, DESTINATION = Side.SOURCE, Side.DESTINATION
NS, SA = "projectcalico.org/namespace", "projectcalico.org/serviceaccount"


def matches(rule: dict[str, object], direction: str = "ingress") -> tuple[Match, ...]:
    """The matches of the rule, with action Allow unless it names one."""
    value = lowered(policy({"action": "Allow", **rule}, direction))
    assert isinstance(value, Policy)
    return (value.ingress or value.egress)[0].matches


def selector_set(side: Side, text: str, *, negated: bool = False) -> SetMatch:
    return SetMatch(side, SelectorSet(parse_selector(text)), negated)


SELECTORS = [
    ({"selector": "has(a)"}, "has(a)"),
    ({"namespaceSelector": "x == 'y'"}, "pcns.x == 'y'"),
    ({"namespaceSelector": "all()"}, f"has({NS})"),
    ({"namespaceSelector": "global()"}, f"!has({NS})"),
    ({"namespaceSelector": "global()", "selector": "has(a)"}, f"(!has({NS})) && (has(a))"),
    ({"namespaceSelector": "x == 'y'", "selector": "has(a) && has(b)"}, "(pcns.x == 'y') && (has(a) && has(b))"),
    ({"serviceAccounts": {"names": ["b", "a"]}}, f"{SA} in {{'a', 'b'}}"),
    ({"serviceAccounts": {"selector": "has(t)"}}, "has(pcsa.t)"),
    ({"serviceAccounts": {"selector": "has(t)", "names": ["a"]}}, f"(has(pcsa.t)) && ({SA} in {{'a'}})"),
    ({"serviceAccounts": {"names": ["a"]}, "selector": "has(s)"}, f"({SA} in {{'a'}}) && (has(s))"),
    ({"selector": "has(a)", "notSelector": "has(b) || has(c)"}, "(has(a)) && (!(has(b) || has(c)))"),
    ({"namespaceSelector": "all()", "notSelector": "has(b)"}, f"(has({NS})) && (!has(b))"),
]


@pytest.mark.parametrize(("entity", "expected"), SELECTORS)
def test_the_fields_of_an_entity_become_one_selector(entity: dict[str, object], expected: str) -> None:
    assert matches({"source": entity}) == (selector_set(SOURCE, expected),)


def test_a_negative_selector_alone_is_a_negated_set() -> None:
    assert matches({"source": {"notSelector": "has(b)"}}) == (selector_set(SOURCE, "has(b)", negated=True),)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "all()"),
        ({"selector": "has(a)"}, "has(a)"),
        ({"namespaceSelector": "x == 'y'"}, "pcns.x == 'y'"),
        ({"selector": "all()", "namespaceSelector": "all()"}, f"(has({NS})) && (has({NS}))"),
        ({"selector": "has(a)", "serviceAccountSelector": "all()"}, f"(has(a)) && (has({SA}))"),
        (
            {"selector": "has(a)", "namespaceSelector": "has(n)", "serviceAccountSelector": "has(s)"},
            "((has(a)) && (has(pcns.n))) && (has(pcsa.s))",
        ),
    ],
)
def test_a_policy_applies_to_what_its_three_selectors_say(spec: dict[str, object], expected: str) -> None:
    value = lowered(document("GlobalNetworkPolicy", spec))
    assert isinstance(value, Policy)
    assert value.selector == parse_selector(expected)


V4, V6 = VersionMatch(4), VersionMatch(6)
PROTOCOLS = [
    ({"protocol": "ICMP"}, (V4, ProtocolMatch(1))),
    ({"protocol": "ICMPv6"}, (V6, ProtocolMatch(58))),
    ({"protocol": 1}, (ProtocolMatch(1),)),
    ({"protocol": "58"}, (ProtocolMatch(58),)),
    ({"notProtocol": "ICMP"}, (ProtocolMatch(1, negated=True),)),
    ({"protocol": "TCP", "notProtocol": 17}, (ProtocolMatch(6), ProtocolMatch(17, negated=True))),
    ({"ipVersion": 6, "protocol": "UDPLite"}, (V6, ProtocolMatch(136))),
    ({"protocol": "ICMP", "icmp": {"type": 8}}, (V4, ProtocolMatch(1), IcmpMatch(8))),
    ({"protocol": 1, "icmp": {"type": 3, "code": 1}}, (ProtocolMatch(1), IcmpMatch(3, 1))),
    ({"protocol": 1, "icmp": {}}, (ProtocolMatch(1),)),
    ({"notICMP": {"type": 5, "code": 0}}, (IcmpMatch(5, 0, negated=True),)),
    ({}, ()),
]


@pytest.mark.parametrize(("rule", "expected"), PROTOCOLS)
def test_protocols_become_matches_and_names_of_icmp_imply_a_version(
    rule: dict[str, object], expected: tuple[Match, ...]
) -> None:
    assert matches(rule) == expected


TEN, FD = Net(4, 10 << 24, 8), Net(6, 0xFD << 120, 8)


def test_nets_become_net_matches_and_empty_lists_nothing() -> None:
    assert matches({"source": {"nets": ["10.0.0.0/8"], "notNets": []}}) == (NetMatch(SOURCE, (TEN,)),)
    assert matches({"destination": {"nets": []}}) == ()


def test_a_rule_with_only_negated_nets_is_about_their_version_alone() -> None:
    assert matches({"source": {"notNets": ["10.0.0.0/8"]}}) == (V4, NetMatch(SOURCE, (TEN,), negated=True))
    assert matches({"destination": {"notNets": ["fd00::/8"]}}) == (V6, NetMatch(DESTINATION, (FD,), negated=True))


def test_a_rule_whose_protocol_and_nets_are_of_different_versions_matches_nothing() -> None:
    rule = {"protocol": "ICMPv6", "source": {"notNets": ["10.0.0.0/8"]}}
    assert matches(rule) == (V6, V4, ProtocolMatch(58), NetMatch(SOURCE, (TEN,), negated=True))
    assert matches({"protocol": "ICMPv6", "source": {"nets": ["10.0.0.0/8"]}}) == (
        V6,
        ProtocolMatch(58),
        NetMatch(SOURCE, (TEN,)),
    )


def named(text: str, protocol: int | None, name: str) -> NamedPortSet:
    return NamedPortSet(parse_selector(text), protocol, name)


def test_numeric_ports_and_ranges_become_one_port_match() -> None:
    rule = {"protocol": "UDP", "source": {"ports": [53, "100:200"], "notPorts": ["150"]}}
    assert matches(rule) == (
        ProtocolMatch(UDP),
        PortMatch(SOURCE, (PortRange(53, 53), PortRange(100, 200))),
        PortMatch(SOURCE, (PortRange(150, 150),), negated=True),
    )


def test_a_selector_is_folded_into_a_list_of_named_ports_only() -> None:
    rule = {"protocol": "TCP", "destination": {"selector": "has(a)", "ports": ["http"]}}
    assert matches(rule) == (ProtocolMatch(TCP), PortMatch(DESTINATION, (), (named("has(a)", TCP, "http"),)))


def test_a_selector_stays_beside_a_list_with_numeric_ports() -> None:
    rule = {"protocol": "TCP", "destination": {"selector": "has(a)", "ports": ["http", 80]}}
    assert matches(rule) == (
        ProtocolMatch(TCP),
        selector_set(DESTINATION, "has(a)"),
        PortMatch(DESTINATION, (PortRange(80, 80),), (named("has(a)", TCP, "http"),)),
    )


def test_named_ports_without_selector_or_protocol_are_those_of_every_endpoint() -> None:
    assert matches({"destination": {"ports": ["http"]}}) == (
        PortMatch(DESTINATION, (), (NamedPortSet(ALL, None, "http"),)),
    )


def test_negated_named_ports_use_the_positive_selector_and_keep_it() -> None:
    rule = {"protocol": 132, "destination": {"selector": "has(a)", "notPorts": ["http"]}}
    assert matches(rule) == (
        ProtocolMatch(SCTP),
        selector_set(DESTINATION, "has(a)"),
        PortMatch(DESTINATION, (), (named("has(a)", SCTP, "http"),), negated=True),
    )


def test_services_have_ports_only_as_an_egress_destination() -> None:
    service = {"services": {"namespace": "d", "name": "w"}}
    assert matches({"source": service}) == (SetMatch(SOURCE, ServiceSet("d", "w", False)),)
    assert matches({"destination": service}, "egress") == (SetMatch(DESTINATION, ServiceSet("d", "w", True)),)


def test_the_policy_carries_every_flag_and_its_rules() -> None:
    text = policy(
        {"action": "Deny"},
        "egress",
        order=9,
        tier="t",
        selector="has(hep)",
        doNotTrack=True,
        applyOnForward=True,
        performanceHints=["AssumeNeededOnEveryNode"],
    )
    assert lowered(text) == Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", "thing"),
        tier="t",
        order=9.0,
        selector=parse_selector("has(hep)"),
        egress=(Rule(Action.DENY),),
        governs=frozenset({Direction.EGRESS}),
        do_not_track=True,
        apply_on_forward=True,
        needed_everywhere=True,
    )


def test_a_policy_with_http_is_refused_by_name_rather_than_weakened() -> None:
    value = lowered(policy({"action": "Allow", "http": {"methods": ["GET"]}}))
    assert isinstance(value, Policy)
    assert value.reason_refused == "http matches need a layer-7 proxy; no packet dataplane enforces them"


def test_a_profile_with_http_is_refused_by_name_and_its_labels_stay() -> None:
    spec = {"ingress": [{"action": "Allow", "http": {"methods": ["GET"]}}], "labelsToApply": {"a": "b"}}
    value = lowered(document("Profile", spec))
    assert isinstance(value, Profile)
    assert value.labels_to_apply == {"a": "b"}
    assert value.reason_refused == "http matches need a layer-7 proxy; no packet dataplane enforces them"


def test_host_endpoints_are_lowered_whole() -> None:
    spec = {
        "node": "n",
        "interfaceName": "eth0",
        "expectedIPs": ["10.0.0.1", "::ffff:10.0.0.2"],
        "profiles": ["p"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}, {"name": "x", "protocol": 17, "port": 53}],
    }
    assert lowered(document("HostEndpoint", spec, labels={"a": "b"})) == HostEndpoint(
        name="thing",
        node="n",
        interface_name="eth0",
        expected_ips=(Net(4, 0x0A000001, 32), Net(4, 0x0A000002, 32)),
        labels={"a": "b"},
        profiles=("p",),
        ports=(NamedPort("http", TCP, 80), NamedPort("x", UDP, 53)),
    )


def test_network_sets_tiers_and_profiles_are_lowered() -> None:
    nets = lowered(document("GlobalNetworkSet", {"nets": ["10.1.2.3/8", "fd00::/8"]}, labels={"a": "b"}))
    assert nets == NetworkSet(name="thing", namespace="", labels={"a": "b"}, nets=Nets([TEN, FD]))
    assert lowered(document("Tier", {"order": 1.5, "defaultAction": "Pass"})) == Tier("thing", 1.5, TierAction.PASS)
    spec = {"labelsToApply": {"a": "b"}, "ingress": [{"action": "Pass"}], "egress": [{"action": "Allow"}]}
    expected = Profile("thing", {"a": "b"}, (Rule(Action.PASS),), (Rule(Action.ALLOW),))
    assert lowered(document("Profile", spec)) == expected


def settings(spec: dict[str, object], name: str = "default", **metadata: object) -> FelixSettings:
    value = lowered(document("FelixConfiguration", spec, name, **metadata))
    assert isinstance(value, FelixSettings)
    return value


def test_absent_failsafes_say_nothing_and_empty_ones_close_all() -> None:
    assert settings({}).failsafe_inbound is None
    assert settings({"failsafeInboundHostPorts": []}).failsafe_inbound == ()


def test_failsafes_and_interface_lists_are_lowered() -> None:
    spec = {
        "failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "10.1.2.3/8"}],
        "failsafeOutboundHostPorts": [{"protocol": "SCTP", "port": 0}],
        "interfacePrefix": "cali, tap",
        "interfaceExclude": "kube-ipvs0,/^veth.*/",
    }
    assert settings(spec, "node.a") == FelixSettings(
        name="node.a",
        failsafe_inbound=(FailsafePort(TCP, 22, TEN),),
        failsafe_outbound=(FailsafePort(SCTP, 0),),
        interface_prefixes=("cali", "tap"),
        interface_exclude=("kube-ipvs0", "/^veth.*/"),
        nftables_mode="Auto",
    )
    assert settings({"nodeSelector": "has(rack)"}, "rack").node_selector == parse_selector("has(rack)")


def test_annotations_override_failsafe_fields() -> None:
    prefix = "config.projectcalico.org/"
    annotations = {
        f"{prefix}FailsafeInboundHostPorts": "22, udp:68,tcp:10.0.0.0/8:23,tcp:[fd00::/8]:24,",
        f"{prefix}FailsafeOutboundHostPorts": "None",
        f"{prefix}InterfaceExclude": "docker0",
    }
    value = settings({"failsafeInboundHostPorts": []}, annotations=annotations)
    assert value.failsafe_inbound == (
        FailsafePort(TCP, 22),
        FailsafePort(UDP, 68),
        FailsafePort(TCP, 23, TEN),
        FailsafePort(TCP, 24, FD),
    )
    assert value.failsafe_outbound == ()
    assert value.interface_exclude == ("docker0",)


def test_connection_tracking_is_lowered() -> None:
    value = settings(
        {
            "bpfConntrackTimeouts": {
                "tcpSynSent": "1m30s",
                "tcpFinsSeen": "Auto",
                "udpTimeout": "0.5h",
                "icmpTimeout": "0",
            },
            "bpfMapSizeConntrack": -1,
            "disableConntrackInvalidCheck": True,
        }
    )
    assert value.conntrack_timeouts == {
        "tcpSynSent": 90.0,
        "tcpFinsSeen": None,
        "udpTimeout": 1800.0,
        "icmpTimeout": 0.0,
    }
    assert (value.conntrack_size, value.drops_invalid) == (-1, False)
    assert settings({"disableConntrackInvalidCheck": False}).drops_invalid is True
    assert settings({"xdpEnabled": False}).xdp is XdpUse.NEVER
    assert settings({"xdpEnabled": True, "genericXDPEnabled": True}).xdp is XdpUse.AUTO
    assert settings({"genericXDPEnabled": True}).may_use_generic_xdp is True
    assert (settings({}).xdp, settings({}).may_use_generic_xdp) == (None, None)


def test_nothing_said_of_connection_tracking_leaves_it_to_weaker_levels() -> None:
    for spec in ({}, {"bpfConntrackTimeouts": {}}):
        value = settings(spec)
        assert (value.conntrack_timeouts, value.conntrack_size, value.drops_invalid) == (None, None, None)


def test_a_stored_timeout_that_nobody_can_read_counts_as_not_said() -> None:
    said = {"tcpSynSent": "soon", "tcpEstablished": 5, "udpTimeout": "-1s", "tcpReset": "1s", "icmpTimeout": "2s"}
    spec = {"bpfConntrackTimeouts": {**said, "genericTimeout": "auto", "tcpFinsSeen": "9" * 70 + "s"}}
    body = {**read(document("FelixConfiguration", {}, "default")).body, "spec": spec}
    value = lower(decode_stored(json.dumps(body).encode()))
    assert isinstance(value, FelixSettings)
    assert value.conntrack_timeouts == {"icmpTimeout": 2.0}


def test_annotations_override_connection_tracking() -> None:
    prefix = "config.projectcalico.org/"
    annotations = {
        f"{prefix}BPFConntrackTimeouts": "TCPSynSent=5s, UDPTimeout=Auto,Unknown=1s,GenericTimeout=soon",
        f"{prefix}BPFMapSizeConntrack": "0x400",
        f"{prefix}DisableConntrackInvalidCheck": "Yes",
    }
    value = settings({"bpfConntrackTimeouts": {"icmpTimeout": "1s"}}, annotations=annotations)
    assert value.conntrack_timeouts == {"tcpSynSent": 5.0, "udpTimeout": None}
    assert (value.conntrack_size, value.drops_invalid) == (1024, False)
    switched = settings(
        {"disableConntrackInvalidCheck": True}, annotations={f"{prefix}DisableConntrackInvalidCheck": "none"}
    )
    assert switched.drops_invalid is True


BROKEN_RULES: list[dict[str, object]] = [
    {"action": "Permit"},
    {},
    {"action": "Allow", "protocol": "tcp"},
    {"action": "Allow", "protocol": 0},
    {"action": "Allow", "protocol": True},
    {"action": "Allow", "futureMatch": 1},
    {"action": "Allow", "source": {"futureMatch": 1}},
    {"action": "Allow", "ipVersion": 5},
    {"action": "Allow", "source": {"nets": ["10.0.0.1"]}},
    {"action": "Allow", "source": {"nets": ["10.0.0.1/8"]}},
    {"action": "Allow", "source": {"nets": ["10.0.0.0/8", "fd00::/8"]}},
    {"action": "Allow", "ipVersion": 6, "source": {"nets": ["10.0.0.0/8"]}},
    {"action": "Allow", "source": {"notNets": ["0.0.0.0/0"]}},
    {"action": "Allow", "source": {"selector": "has("}},
    {"action": "Allow", "source": {"ports": [80]}},
    {"action": "Allow", "protocol": "ICMP", "source": {"ports": ["http"]}},
    {"action": "Allow", "protocol": "TCP", "source": {"ports": [0]}},
    {"action": "Allow", "protocol": "TCP", "source": {"ports": ["9:x"]}},
    {"action": "Allow", "protocol": "TCP", "source": {"ports": ["9:1"]}},
    {"action": "Allow", "icmp": {"type": 1}},
    {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 300}},
    {"action": "Allow", "protocol": "ICMP", "icmp": {"code": 3}},
    {"action": "Allow", "source": {"services": {"name": "x"}}},
    {"action": "Allow", "source": {"serviceAccounts": {"names": ["a'\""]}}},
]


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_a_stored_rule_that_means_nothing_is_refused_not_weakened(rule: dict[str, object]) -> None:
    body = {**read(policy()).body, "spec": {"ingress": [rule], "types": ["Ingress"]}}
    with pytest.raises(InvalidDocument) as caught:
        lower(decode_stored(json.dumps(body).encode()))
    assert [problem.code for problem in caught.value.problems] == ["TT1401"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"kind":1}',
        b"\xff",
        json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "X", "metadata": {"name": "a"}}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_stored_value_that_is_no_document_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidDocument):
        decode_stored(value)


def test_equal_parts_of_rules_are_one_object() -> None:
    rule = {"action": "Allow", "protocol": "TCP", "source": {"nets": ["10.0.0.0/8"]}, "destination": {"ports": [80]}}
    value = lower(read(document("GlobalNetworkPolicy", {"ingress": [rule, rule]})))
    assert isinstance(value, Policy)
    first, second = value.ingress
    assert [a is b for a, b in zip(first.matches, second.matches, strict=True)] == [True, True, True]


def test_encoding_is_canonical_and_comes_back_the_same() -> None:
    first = read(document("Tier", {"defaultAction": "Pass", "order": 5.0}, "t"))
    second = read(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 5, defaultAction: Pass}"
    )
    assert encode(first) == encode(second)
    assert b'"spec":{"defaultAction":"Pass","order":5}' in encode(first)
    stored = decode_stored(encode(first))
    assert (stored.kind, stored.namespace, stored.name, stored.body) == ("Tier", "", "t", first.body)
