"""Cases of BGPConfiguration."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole
from value_cases import (
    NUMBER,
    address,
    as_number,
    boolean,
    community,
    duration,
    items,
    mapping,
    number,
    word,
)

ONE = {"cidr": "10.0.0.0/8"}
COMMUNITY = {"name": "blue", "value": "1:2"}
USED = {"spec": {"communities": [COMMUNITY], "prefixAdvertisements": [{**ONE, "communities": ["3:4"]}]}}
SECRET = {"secretKeyRef": {"key": "k"}}
SEVERITIES = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal")


def network(path: str) -> FieldCase:
    bad = ("10.0.0.1/8", "10.0.0.1", "x", "")
    refused = [*(Refused(each, "TT1106") for each in bad), Refused(None, "TT1102"), NUMBER]
    return FieldCase(path, ["10.0.0.0/8", "fd00::/64", "0.0.0.0/0"], refused)


def service_networks(key: str) -> list[FieldCase]:
    return [items(f"spec.service{key}IPs", [ONE, ONE]), network(f"spec.service{key}IPs[].cidr")]


CASES = KindCases(
    kind="BGPConfiguration",
    name="default",
    defaults={
        "logSeverityScreen": "Info",
        "serviceLoadBalancerAggregation": "Enabled",
        "bindMode": "None",
        "programClusterRoutes": "EnabledNoEncapOnly",
        "ipv4NormalRoutePriority": 1024,
        "ipv6NormalRoutePriority": 1024,
    },
    fields=[
        FieldCase(
            "spec.logSeverityScreen",
            [*SEVERITIES, "debug", "WARNING", Reads("", "Info")],
            [Refused("Panic", "TT1104"), Refused("Warn", "TT1104"), NUMBER],
        ),
        boolean("spec.nodeToNodeMeshEnabled"),
        as_number("spec.asNumber"),
        *service_networks("Cluster"),
        *service_networks("External"),
        *service_networks("LoadBalancer"),
        word("spec.serviceLoadBalancerAggregation", "Enabled", "Disabled"),
        FieldCase(
            "spec.communities",
            [[COMMUNITY], [COMMUNITY] * 500, Reads([], ABSENT)],
            [Refused([COMMUNITY] * 501, "TT1110"), Refused([None], "TT1103", "[0]"), Refused({}, "TT1103")],
            {"spec": {"prefixAdvertisements": [ONE]}},
        ),
        FieldCase(
            "spec.communities[].name",
            ["blue", "a.b"],
            [Refused("A", "TT1112"), Refused("", "TT1102"), Refused(None, "TT1102"), NUMBER],
            USED,
        ),
        community("spec.communities[].value", around=USED),
        FieldCase(
            "spec.prefixAdvertisements",
            [[ONE] * 500, Reads([], ABSENT)],
            [Refused([ONE] * 501, "TT1110"), Refused(ONE, "TT1103"), Refused([{}], "TT1102", "[0].cidr")],
        ),
        network("spec.prefixAdvertisements[].cidr"),
        FieldCase(
            "spec.prefixAdvertisements[].communities",
            [["blue", "3:4", "1:2:3"], ["3:4"] * 50, Reads([], ABSENT)],
            [
                Refused(["3:4"] * 51, "TT1110"),
                Refused(["red"], "TT1334", "[0]"),
                Refused(["3:65536"], "TT1334", "[0]"),
                Refused(["3:4", "B B"], "TT1334", "[1]"),
                Refused("blue", "TT1103"),
            ],
            USED,
        ),
        number("spec.listenPort", 0, 65535),
        mapping("spec.nodeMeshPassword", {}, SECRET),
        mapping("spec.nodeMeshPassword.secretKeyRef", {"key": "k", "name": "n"}, least={"key": "k"}),
        FieldCase(
            "spec.nodeMeshPassword.secretKeyRef.name",
            ["bgp", Reads("", ABSENT)],
            [NUMBER],
            {"spec": {"nodeMeshPassword": SECRET}},
        ),
        FieldCase("spec.nodeMeshPassword.secretKeyRef.key", ["k"], [NUMBER, Refused(None, "TT1102")]),
        FieldCase(
            "spec.nodeMeshPassword.secretKeyRef.optional",
            [True, False],
            [NUMBER],
            {"spec": {"nodeMeshPassword": SECRET}},
        ),
        duration("spec.nodeMeshMaxRestartTime"),
        word("spec.bindMode", "None", "NodeIP"),
        FieldCase(
            "spec.ignoredInterfaces",
            [["eth0", "veth*", "*.100"], Reads([], ABSENT)],
            [
                Refused(["*"], "TT1115", "[0]"),
                Refused(["a" * 16], "TT1115", "[0]"),
                Refused(["a+"], "TT1115", "[0]"),
                Refused(["a", "a"], "TT1111", "[1]"),
                Refused("eth0", "TT1103"),
            ],
        ),
        address("spec.localWorkloadPeeringIPV4", 4),
        address("spec.localWorkloadPeeringIPV6", 6),
        word("spec.programClusterRoutes", "Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"),
        number("spec.ipv4NormalRoutePriority", 1, 2147483646),
        number("spec.ipv6NormalRoutePriority", 1, 2147483646),
    ],
    refused=[
        Whole({"communities": [COMMUNITY]}, "TT1334", "spec.communities"),
        Whole({"nodeToNodeMeshEnabled": False, "nodeMeshPassword": SECRET}, "TT1333", "spec.nodeMeshPassword"),
        Whole(
            {"nodeToNodeMeshEnabled": False, "nodeMeshMaxRestartTime": "1s"}, "TT1333", "spec.nodeMeshMaxRestartTime"
        ),
    ],
)
