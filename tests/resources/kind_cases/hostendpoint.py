"""Cases of HostEndpoint."""

from field_cases import FieldCase, KindCases, Reads, Refused, Whole
from value_cases import BAD_PORT_NAMES, LIST, NUMBER, items, name

PORT = {"name": "http", "protocol": "TCP", "port": 80}
AROUND = {"spec": {"ports": [PORT]}}

CASES = KindCases(
    kind="HostEndpoint",
    base={"node": "n", "interfaceName": "eth0"},
    defaults={"node": "n", "interfaceName": "eth0"},
    fields=[
        name("spec.node", is_required=True),
        FieldCase(
            "spec.interfaceName",
            ["eth0.100", "*", "a" * 15],
            [*(Refused(each, "TT1115") for each in ("a" * 16, "a&b", "a#b", "a:b", "**")), NUMBER],
        ),
        FieldCase(
            "spec.expectedIPs",
            [["10.0.0.1", "fd00::1"]],
            [
                Refused(["10.0.0.1/32"], "TT1106", "[0]"),
                Refused(["<NODE_IP>"], "TT1109", "[0]"),
                Refused(["10.0.0.1", "::ffff:10.0.0.1"], "TT1111", "[1]"),
                Refused("10.0.0.1", "TT1103"),
            ],
        ),
        FieldCase(
            "spec.profiles",
            [["kns.x", "x"]],
            [Refused(["..x"], "TT1112", "[0]"), Refused(["x", "x"], "TT1111", "[1]"), NUMBER],
        ),
        items("spec.ports", [PORT, {**PORT, "port": 81}]),
        FieldCase("spec.ports[].name", ["http", "a-1"], [*BAD_PORT_NAMES, Refused(None, "TT1102"), NUMBER], AROUND),
        FieldCase(
            "spec.ports[].protocol",
            ["TCP", "UDP", "SCTP", 6, 17, 132, Reads("6", 6)],
            [*(Refused(each, "TT1108") for each in ("ICMP", 10, "tcp", 0)), Refused(None, "TT1102"), LIST],
            AROUND,
        ),
        FieldCase(
            "spec.ports[].port",
            [1, 65535],
            [Refused(0, "TT1105"), Refused(65536, "TT1105"), Refused("80", "TT1103"), Refused(None, "TT1102")],
            AROUND,
        ),
    ],
    refused=[
        Whole({"node": "n"}, "TT1317", "spec"),
        Whole({"node": "n", "interfaceName": "", "expectedIPs": []}, "TT1317", "spec"),
        Whole({"interfaceName": "eth0"}, "TT1102", "spec.node"),
    ],
)
