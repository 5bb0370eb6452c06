"""Cases of BGPFilter."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole
from value_cases import NUMBER, community, items, mapping, number, word

NET = {4: "10.0.0.0/8", 6: "fd00::/8"}


def rules(key: str) -> list[FieldCase]:
    version = int(key[-1])
    at, last = f"spec.{key}[]", {4: 32, 6: 128}[version]
    plain = {"spec": {key: [{"action": "Accept"}]}}
    net = {"cidr": NET[version], "matchOperator": "In"}
    with_net = {"spec": {key: [{"action": "Accept", **net}]}}
    operation = f"{at}.operations[]"
    bad_nets = [Refused(each, "TT1106") for each in (NET[10 - version], "10.0.0.1/8", "10.0.0.1", "x")]
    return [
        items(f"spec.{key}", [{"action": "Accept"}, {"action": "Reject"}]),
        FieldCase(
            f"{at}.action",
            ["Accept", "Reject"],
            [Refused("accept", "TT1104"), Refused("", "TT1104"), Refused(None, "TT1102"), NUMBER],
        ),
        FieldCase(
            f"{at}.cidr",
            [NET[version]],
            [*bad_nets, NUMBER, Refused("", "TT1336", f"spec.{key}[0].matchOperator")],
            with_net,
        ),
        FieldCase(
            f"{at}.matchOperator",
            ["Equal", "NotEqual", "In", "NotIn"],
            [Refused("in", "TT1104"), NUMBER, Refused("", "TT1336", f"spec.{key}[0].cidr")],
            with_net,
        ),
        mapping(f"{at}.prefixLength", {}, {"min": 8}, around=with_net),
        number(f"{at}.prefixLength.min", 0, last, around=with_net),
        number(f"{at}.prefixLength.max", 0, last, around=with_net),
        word(f"{at}.source", "RemotePeers", empty=ABSENT, around=plain),
        FieldCase(
            f"{at}.interface",
            ["*", "eth*", "a" * 15, Reads("", ABSENT)],
            [Refused("a" * 16, "TT1115"), Refused("a+", "TT1115"), NUMBER],
            plain,
        ),
        word(f"{at}.peerType", "eBGP", "iBGP", empty=ABSENT, around=plain),
        mapping(f"{at}.communities", {"values": ["1:2"]}, least={"values": ["1:2"]}, around=plain),
        FieldCase(
            f"{at}.communities.values",
            [["1:2"], ["1:2:3"]],
            [
                Refused([], "TT1102"),
                Refused(None, "TT1102"),
                Refused(["1:2", "3:4"], "TT1110"),
                Refused(["65536:1"], "TT1334", "[0]"),
                Refused("1:2", "TT1103"),
            ],
            plain,
        ),
        FieldCase(
            f"{at}.asPathPrefix",
            [[1, 2], Reads(["1.10"], [65546]), Reads([], ABSENT)],
            [Refused([-1], "TT1105", "[0]"), Refused(["x"], "TT1116", "[0]"), Refused(1, "TT1103")],
            plain,
        ),
        number(f"{at}.priority", 1, 2147483646, around=plain),
        FieldCase(
            f"{at}.operations",
            [[{"setPriority": {"value": 1}}] * 10, Reads([], ABSENT)],
            [
                Refused([{"setPriority": {"value": 1}}] * 11, "TT1110"),
                Refused([{}], "TT1336", "[0]"),
                Refused([{"setPriority": {"value": 1}, "addCommunity": {"value": "1:2"}}], "TT1336", "[0]"),
                Refused({}, "TT1103"),
            ],
            plain,
        ),
        mapping(f"{operation}.addCommunity", {"value": "1:2"}, least={"value": "1:2"}, around=plain),
        community(f"{operation}.addCommunity.value", around=plain),
        mapping(f"{operation}.prependASPath", {"prefix": [1]}, least={"prefix": [1]}, around=plain),
        FieldCase(
            f"{operation}.prependASPath.prefix",
            [[1] * 10, Reads(["1.10"], [65546])],
            [Refused([1] * 11, "TT1110"), Refused([], "TT1102"), Refused([-1], "TT1105", "[0]"), Refused(1, "TT1103")],
            plain,
        ),
        mapping(f"{operation}.setPriority", {"value": 1}, least={"value": 1}, around=plain),
        number(f"{operation}.setPriority.value", 1, 2147483646, around=plain),
    ]


REJECT = {"action": "Reject"}
CASES = KindCases(
    kind="BGPFilter",
    defaults={},
    fields=[case for key in ("exportV4", "importV4", "exportV6", "importV6") for case in rules(key)],
    refused=[
        Whole({"exportV4": [{**REJECT, "cidr": NET[4]}]}, "TT1336", "spec.exportV4[0].cidr"),
        Whole({"importV6": [{**REJECT, "matchOperator": "In"}]}, "TT1336", "spec.importV6[0].matchOperator"),
        Whole({"exportV4": [{**REJECT, "prefixLength": {"min": 1}}]}, "TT1336", "spec.exportV4[0].prefixLength"),
        Whole(
            {"exportV4": [{**REJECT, "operations": [{"setPriority": {"value": 1}}]}]},
            "TT1336",
            "spec.exportV4[0].operations",
        ),
    ],
)
