"""Cases that the staged and the enforced kind of Kubernetes network policy share."""

from field_cases import ABSENT, FieldCase, Reads, Refused, below
from shared_cases import label_selector_cases

TYPES = FieldCase(
    "spec.policyTypes",
    accepted=[
        ["Ingress"],
        ["Egress"],
        ["Ingress", "Egress"],
        ["Egress"] * 2,
        Reads([], ["Ingress"]),
        Reads(None, ["Ingress"]),
    ],
    refused=[
        Refused(["ingress"], "TT1104", "[0]"),
        Refused(["Egress"] * 3, "TT1110"),
        Refused("Ingress", "TT1103"),
    ],
)
_BLOCK = (
    FieldCase("", [{"cidr": "10.0.0.0/8"}], [Refused("10.0.0.0/8", "TT1103"), Refused({}, "TT1102", ".cidr")]),
    FieldCase(
        "cidr",
        accepted=["10.0.0.1/8", "fd00::/8", "0.0.0.0/0"],
        refused=[
            *(Refused(each, "TT1106") for each in ("10.0.0.1", "x", "10.0.0.0/33", "")),
            Refused(1, "TT1103"),
            Refused(None, "TT1102"),
        ],
    ),
    FieldCase(
        "except",
        accepted=[["10.1.0.0/16", "10.2.0.0/16"], ["10.1.0.0/16"] * 2, Reads([], ABSENT)],
        refused=[
            Refused(["11.0.0.0/16"], "TT1325", "[0]"),
            Refused(["10.0.0.0/8"], "TT1325", "[0]"),
            Refused(["0.0.0.0/0"], "TT1325", "[0]"),
            Refused(["fd00::/16"], "TT1325", "[0]"),
            Refused(["10.1.0.0"], "TT1106", "[0]"),
            Refused("10.1.0.0/16", "TT1103"),
        ],
        around={"cidr": "10.0.0.0/8"},
    ),
)
_PORT = (
    FieldCase(
        "protocol",
        accepted=["TCP", "UDP", "SCTP", Reads(None, "TCP")],
        refused=[Refused("tcp", "TT1104"), Refused("ICMP", "TT1104"), Refused(6, "TT1103"), Refused("", "TT1104")],
    ),
    FieldCase(
        "port",
        accepted=[1, 65535, "http", Reads("80", 80)],
        refused=[
            *(Refused(each, "TT1107") for each in (0, 65536, -1, "80:90", "a b", "HTTP", "")),
            Refused(True, "TT1103"),
        ],
    ),
    FieldCase(
        "endPort",
        accepted=[80, 90, 65535],
        refused=[Refused(79, "TT1324"), Refused(0, "TT1105"), Refused(65536, "TT1105"), Refused("90", "TT1103")],
        around={"port": 80},
    ),
    FieldCase("endPort", (), [Refused(90, "TT1324")]),
    FieldCase("endPort", (), [Refused(90, "TT1324")], around={"port": "http"}),
)


def _rules(rules: str, peers: str) -> tuple[FieldCase, ...]:
    peer = f"{rules}[].{peers}"
    ports = f"{rules}[].ports"
    return (
        FieldCase(
            rules,
            accepted=[
                [{}],
                [{"ports": [{"protocol": "TCP", "port": 80}], peers: [{"podSelector": {}}]}],
                [{}] * 1025,
                Reads([], ABSENT),
            ],
            refused=[
                Refused({}, "TT1103"),
                Refused([None], "TT1103", "[0]"),
                Refused([{"action": "Deny"}], "TT1101", "[0].action"),
            ],
        ),
        FieldCase(
            peer,
            accepted=[
                [{"podSelector": {}}, {"namespaceSelector": {}}, {"podSelector": {}, "namespaceSelector": {}}],
                Reads([], ABSENT),
            ],
            refused=[
                Refused([{}], "TT1323", "[0]"),
                Refused([{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}], "TT1323", "[0].ipBlock"),
                Refused({}, "TT1103"),
            ],
        ),
        *label_selector_cases(f"{peer}[].podSelector"),
        *label_selector_cases(f"{peer}[].namespaceSelector"),
        *below(f"{peer}[].ipBlock", _BLOCK),
        FieldCase(
            ports,
            accepted=[[{"protocol": "TCP", "port": 80}, {"protocol": "UDP"}], Reads([{}], [{"protocol": "TCP"}])],
            refused=[Refused({}, "TT1103"), Refused([80], "TT1103", "[0]")],
        ),
        *below(f"{ports}[]", _PORT),
    )


FIELDS = (
    *label_selector_cases("spec.podSelector"),
    TYPES,
    *_rules("spec.ingress", "from"),
    *_rules("spec.egress", "to"),
)
