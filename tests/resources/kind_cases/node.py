"""Cases of Node."""

from base64 import b64encode

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole
from value_cases import LIST, MAC, NUMBER, address, anything, as_number, items, mapping, name, word

KEY = b64encode(bytes(32)).decode()


def tunnel_mac(path: str) -> FieldCase:
    return FieldCase(path, [MAC, Reads("", ABSENT)], [Refused("0a:1b:2c:3d:4e", "TT1106"), NUMBER])


def bgp_network(version: int) -> FieldCase:
    good = {4: ["10.0.0.1/24", "10.0.0.1"], 6: ["fd00::1/64", "fd00::1"]}
    bad = [*good[10 - version], "x", "10.0.0.1/33"]
    empty = Reads("", ABSENT)
    around = {"spec": {"bgp": {"asNumber": 1}}}
    path = f"spec.bgp.ipv{version}Address"
    return FieldCase(path, [*good[version], empty], [*(Refused(each, "TT1106") for each in bad), NUMBER], around)


def key(path: str) -> FieldCase:
    bad = ("x", KEY[:-1], b64encode(bytes(31)).decode(), f" {KEY}")
    return FieldCase(path, [KEY, Reads("", ABSENT)], [*(Refused(each, "TT1116") for each in bad), NUMBER])


def beside(case: FieldCase) -> FieldCase:
    """The case, beside a field that is not empty."""
    return FieldCase(case.path, case.accepted, case.refused, {"spec": {"bgp": {"asNumber": 1}}})


CASES = KindCases(
    kind="Node",
    defaults={},
    fields=[
        FieldCase(
            "spec.bgp",
            [{"asNumber": 1}],
            [Refused({}, "TT1333"), Refused({"ipv4Address": ""}, "TT1333"), LIST, Refused({"x": 1}, "TT1101", ".x")],
        ),
        as_number("spec.bgp.asNumber"),
        bgp_network(4),
        bgp_network(6),
        beside(address("spec.bgp.ipv4IPIPTunnelAddr", 4)),
        beside(address("spec.bgp.routeReflectorClusterID", 4)),
        address("spec.ipv4VXLANTunnelAddr", 4),
        address("spec.ipv6VXLANTunnelAddr", 6),
        tunnel_mac("spec.vxlanTunnelMACAddr"),
        tunnel_mac("spec.vxlanTunnelMACAddrV6"),
        mapping("spec.wireguard", {}, {"interfaceIPv4Address": "10.0.0.1"}),
        address("spec.wireguard.interfaceIPv4Address", 4),
        address("spec.wireguard.interfaceIPv6Address", 6),
        items("spec.orchRefs", [{"nodeName": "a", "orchestrator": "k8s"}]),
        name("spec.orchRefs[].nodeName"),
        anything("spec.orchRefs[].orchestrator"),
        items("spec.addresses", [{"address": "10.0.0.1"}]),
        FieldCase(
            "spec.addresses[].address",
            ["10.0.0.1", "10.0.0.0/24", "fd00::1/128"],
            [Refused("10.0.0.1/24", "TT1106"), Refused("", "TT1106"), Refused(None, "TT1102"), NUMBER],
            {"spec": {"addresses": [{"type": "InternalIP"}]}},
        ),
        word(
            "spec.addresses[].type",
            *("CalicoNodeIP", "InternalIP", "ExternalIP"),
            around={"spec": {"addresses": [{"address": "10.0.0.1"}]}},
        ),
        items("spec.interfaces", [{"name": "eth0", "addresses": ["10.0.0.1"]}]),
        FieldCase(
            "spec.interfaces[].name",
            ["eth0", "a@b:1", "a" * 15],
            [*(Refused(each, "TT1115") for each in ("a" * 16, "a b", "a/b", "")), NUMBER],
        ),
        FieldCase(
            "spec.interfaces[].addresses",
            [["10.0.0.1", "10.0.0.1/24", "fe80::1"]],
            [Refused(["x"], "TT1106", "[0]"), Refused("10.0.0.1", "TT1103")],
        ),
        key("status.wireguardPublicKey"),
        key("status.wireguardPublicKeyV6"),
        FieldCase("status.podCIDRs", [["10.0.0.0/24"]], [Refused([1], "TT1103", "[0]"), Refused("x", "TT1103")]),
    ],
    refused=[Whole({"bgp": {}}, "TT1333", "spec.bgp")],
)
