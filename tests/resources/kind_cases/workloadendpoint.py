"""Cases of WorkloadEndpoint."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole
from value_cases import (
    BAD_NAMES,
    BAD_PORT_NAMES,
    LIST,
    MAC,
    NUMBER,
    address,
    items,
    mapping,
    name,
    number,
)

BASE = {"orchestrator": "k8s", "node": "n", "pod": "p", "endpoint": "eth0", "interfaceName": "cali1"}
PORT = {"name": "http", "protocol": "TCP", "port": 80}
AROUND = {"spec": {"ports": [PORT]}}
NAT = {"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}
NATS = {"spec": {"ipNetworks": ["10.0.0.1/32"], "ipNATs": [NAT]}}
LIMITS = {
    "Bandwidth": (1000, 10**15, {}),
    "Burst": (1000, 34359738360, {"Bandwidth": 1000}),
    "Peakrate": (1010, 1010 * 10**12, {}),
    "Minburst": (1000, 100_000_000, {"Peakrate": 1010}),
    "PacketRate": (1, 10_000, {}),
    "PacketBurst": (1, 10_000, {}),
    "MaxConnections": (1, 2**32 - 1, {}),
}


def segment(field: str) -> FieldCase:
    """A field that is a part of the name."""
    return FieldCase(f"spec.{field}", ["a", "node-1.x"], [*BAD_NAMES, NUMBER, Refused("", "TT1102")])


def limit(direction: str, suffix: str) -> FieldCase:
    first, last, beside = LIMITS[suffix]
    around = {"spec": {"qosControls": {direction + key: value for key, value in beside.items()}}}
    low = [Refused(first - 1, "TT1105")] if first > 1 else []
    case = number(f"spec.qosControls.{direction}{suffix}", 0, last, around=around)
    return FieldCase(case.path, [*case.accepted, first], [*case.refused, *low], around)


def whole(code: str, path: str, **spec: object) -> Whole:
    return Whole({**BASE, **spec}, code, path)


CASES = KindCases(
    kind="WorkloadEndpoint",
    name="",
    base=BASE,
    defaults=BASE,
    fields=[
        FieldCase(
            "spec.orchestrator",
            ["k8s", "openstack", "cni", "libnetwork"],
            [*BAD_NAMES, NUMBER, Refused("", "TT1102")],
            {"spec": {"workload": "w", "containerID": "c1"}},
        ),
        FieldCase(
            "spec.workload", ["w", "w.x", Reads("", ABSENT)], [*BAD_NAMES, NUMBER], {"spec": {"orchestrator": "k8s"}}
        ),
        segment("node"),
        FieldCase(
            "spec.containerID",
            ["Ab01-C", "a", Reads("", ABSENT)],
            [*(Refused(each, "TT1116") for each in ("-a", "a-", "a.b")), NUMBER],
        ),
        segment("pod"),
        segment("endpoint"),
        name("spec.serviceAccountName"),
        FieldCase(
            "spec.ipNetworks",
            [["10.0.0.1/32", "fd00::1/128"], ["10.0.0.1"], Reads([], ABSENT)],
            [
                Refused(["10.0.0.0/24"], "TT1331"),
                Refused(["10.0.0.1/24"], "TT1106", "[0]"),
                Refused(["x"], "TT1106", "[0]"),
                Refused("10.0.0.1/32", "TT1103"),
            ],
        ),
        FieldCase(
            "spec.ipNATs",
            [[NAT], [NAT, NAT], Reads([], ABSENT)],
            [Refused({}, "TT1103"), Refused([{**NAT, "externalIP": "fd00::1"}], "TT1331", "[0]")],
            {"spec": {"ipNetworks": ["10.0.0.1/32"]}},
        ),
        FieldCase(
            "spec.ipNATs[].internalIP",
            ["10.0.0.1", "::ffff:10.0.0.1"],
            [Refused("10.0.0.1/32", "TT1106"), Refused(None, "TT1102"), Refused("10.0.0.2", "TT1331", "spec.ipNATs")],
            NATS,
        ),
        FieldCase(
            "spec.ipNATs[].externalIP",
            ["192.0.2.1"],
            [Refused("10.0.0.1/32", "TT1106"), Refused(None, "TT1102"), NUMBER],
            NATS,
        ),
        address("spec.ipv4Gateway", 4),
        address("spec.ipv6Gateway", 6),
        FieldCase("spec.profiles", [["kns.x", "x"], Reads([], ABSENT)], [Refused(["..x"], "TT1112", "[0]"), NUMBER]),
        FieldCase(
            "spec.interfaceName",
            ["cali1", "a" * 15],
            [*(Refused(each, "TT1115") for each in ("a" * 16, "a/b", "a:b")), NUMBER, Refused("", "TT1102")],
        ),
        FieldCase(
            "spec.mac",
            [MAC, MAC.replace(":", "-"), "0a1b.2c3d.4e5f", "0a:1b:2c:3d:4e:5f:00:01", Reads("", ABSENT)],
            [
                *(Refused(each, "TT1106") for each in ("0a:1b:2c:3d:4e", "0a:1b-2c:3d:4e:5f", "xx:1b:2c:3d:4e:5f")),
                NUMBER,
            ],
        ),
        items("spec.ports", [PORT, PORT]),
        FieldCase(
            "spec.ports[].name",
            ["http"],
            [*BAD_PORT_NAMES, NUMBER, *(Refused(each, "TT1102") for each in ("", None))],
            AROUND,
        ),
        FieldCase(
            "spec.ports[].protocol",
            ["TCP", "UDP", "SCTP", 6, 17, 132],
            [*(Refused(each, "TT1108") for each in ("ICMP", 10)), Refused(None, "TT1102"), LIST],
            AROUND,
        ),
        FieldCase(
            "spec.ports[].port",
            [1, 65535],
            [Refused(0, "TT1105"), Refused(65536, "TT1105"), Refused("80", "TT1103"), Refused(None, "TT1102")],
            AROUND,
        ),
        number("spec.ports[].hostPort", 0, 65535, around=AROUND),
        FieldCase(
            "spec.ports[].hostIP",
            ["192.0.2.1", "192.0.2.0/24", Reads("", ABSENT)],
            [Refused("192.0.2.1/24", "TT1106"), NUMBER],
            AROUND,
        ),
        FieldCase(
            "spec.allowSpoofedSourcePrefixes",
            [["10.0.0.1/8", "fd00::1", "10.0.0.0/8"]],
            [Refused(["x"], "TT1106", "[0]"), NUMBER],
        ),
        mapping("spec.qosControls", {}, {"ingressBandwidth": 1000}),
        *(limit(direction, suffix) for suffix in LIMITS for direction in ("ingress", "egress")),
        FieldCase(
            "spec.qosControls.dscp",
            [0, 63, "EF", "af11", "CS6", "df"],
            [Refused(64, "TT1105"), Refused("CS7", "TT1104"), Refused("46", "TT1104"), Refused(True, "TT1103")],
        ),
    ],
    refused=[
        whole("TT1331", "spec.ipNATs", ipNATs=[NAT]),
        whole("TT1331", "spec.qosControls.ingressBurst", qosControls={"ingressBurst": 1000}),
        whole("TT1331", "spec.qosControls.egressMinburst", qosControls={"egressMinburst": 1000}),
        whole(
            "TT1331",
            "spec.qosControls.ingressPeakrate",
            qosControls={"ingressBandwidth": 2000, "ingressPeakrate": 2000},
        ),
        whole("TT1102", "spec.containerID", orchestrator="cni"),
        whole("TT1102", "spec.workload", orchestrator="openstack"),
    ],
)
