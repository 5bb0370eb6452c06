"""Cases of ClusterNetworkPolicy of Kubernetes."""

from field_cases import FieldCase, KindCases, Reads, Refused, Whole, below
from shared_cases import CONDITIONS, label_selector_cases

BASE = {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}}
PODS = {"podSelector": {}}


def _pods(path: str, around: object) -> tuple[FieldCase, ...]:
    inner = (
        *label_selector_cases("podSelector"),
        FieldCase("podSelector", (), [Refused(None, "TT1102")]),
        *label_selector_cases("namespaceSelector"),
    )
    return below(path, inner, around)


_ONE_PORT = {"destinationPort": {"number": 80}}
_NUMBERS = [Refused(0, "TT1105"), Refused(65536, "TT1105"), Refused("80", "TT1103")]


def _protocol(name: str) -> tuple[FieldCase, ...]:
    port = f"{name}.destinationPort"
    return (
        FieldCase(name, [_ONE_PORT], [Refused(80, "TT1103"), Refused({}, "TT1102", ".destinationPort")]),
        FieldCase(
            port,
            accepted=[{"number": 80}, {"range": {"start": 1, "end": 65535}}],
            refused=[
                Refused({}, "TT1323"),
                Refused({"number": 80, "range": {"start": 1, "end": 2}}, "TT1323"),
                Refused(80, "TT1103"),
                Refused(None, "TT1102"),
            ],
        ),
        FieldCase(f"{port}.number", [1, 65535], _NUMBERS),
        FieldCase(f"{port}.range", [{"start": 1, "end": 2}], [Refused("1-2", "TT1103")]),
        FieldCase(
            f"{port}.range.start",
            accepted=[1, 99],
            refused=[*_NUMBERS, Refused(100, "TT1324", f"{port}.range.end"), Refused(None, "TT1102")],
            around={name: {"destinationPort": {"range": {"end": 100}}}},
        ),
        FieldCase(
            f"{port}.range.end",
            accepted=[101, 65535],
            refused=[*_NUMBERS, Refused(100, "TT1324"), Refused(99, "TT1324"), Refused(None, "TT1102")],
            around={name: {"destinationPort": {"range": {"start": 100}}}},
        ),
    )


_PROTOCOLS = (
    *(each for name in ("tcp", "udp", "sctp") for each in _protocol(name)),
    FieldCase(
        "destinationNamedPort",
        accepted=["http"],
        refused=[Refused("HTTP", "TT1107"), Refused("80", "TT1107"), Refused(80, "TT1103")],
    ),
)


def _rules(rules: str, peers: str) -> tuple[FieldCase, ...]:
    one = {peers: [{"namespaces": {}}]}
    whole = {"action": "Accept", **one}
    cases = (
        FieldCase("name", ["deny the rest", "x" * 100], [Refused("x" * 101, "TT1110"), Refused(1, "TT1103")]),
        FieldCase(
            "action",
            accepted=["Accept", "Deny", "Pass"],
            refused=[Refused("Allow", "TT1104"), Refused("", "TT1104"), Refused(None, "TT1102")],
        ),
        FieldCase(
            peers,
            accepted=[[{"namespaces": {}}, {"pods": {"podSelector": {}, "namespaceSelector": {}}}]],
            refused=[
                Refused([{}], "TT1323", "[0]"),
                Refused([{"namespaces": {}, "pods": PODS}], "TT1323", "[0]"),
                Refused([{"namespaces": {}}] * 26, "TT1110"),
                Refused([], "TT1102"),
                Refused(None, "TT1102"),
                Refused({}, "TT1103"),
            ],
        ),
        *label_selector_cases(f"{peers}[].namespaces"),
        FieldCase(
            f"{peers}[].pods", [{"podSelector": {}, "namespaceSelector": {}}], [Refused({}, "TT1102", ".podSelector")]
        ),
        *_pods(f"{peers}[].pods", PODS),
        FieldCase(
            "protocols",
            accepted=[[{"tcp": _ONE_PORT}, {"udp": _ONE_PORT}], [{"destinationNamedPort": "http"}]],
            refused=[
                Refused([{}], "TT1323", "[0]"),
                Refused([{"tcp": _ONE_PORT, "udp": _ONE_PORT}], "TT1323", "[0]"),
                Refused([{"tcp": _ONE_PORT}] * 26, "TT1110"),
                Refused({}, "TT1103"),
            ],
        ),
        *below("protocols[]", _PROTOCOLS),
    )
    return (
        FieldCase(
            rules,
            accepted=[[whole] * 25],
            refused=[
                Refused([whole] * 26, "TT1110"),
                Refused({}, "TT1103"),
                Refused([{**whole, "x": 1}], "TT1101", "[0].x"),
            ],
        ),
        *(
            moved
            for case in cases
            for moved in below(f"{rules}[]", [case], {"action": "Accept"} if case.path.startswith(peers) else whole)
        ),
    )


_DOMAINS = ["kubernetes.io", "*.kubernetes.io", "a_b.example.org."]
_DESTINATIONS = (
    *label_selector_cases("to[].nodes"),
    FieldCase(
        "to[].networks",
        accepted=[["10.0.0.1/8", "fd00::/8", "0.0.0.0/0"]],
        refused=[
            *(Refused([each], "TT1106", "[0]") for each in ("10.0.0.1", "x", "10.0.0.0/33")),
            Refused(["10.0.0.0/8", "10.0.0.1/8"], "TT1111", "[1]"),
            Refused([f"10.0.{each}.0/24" for each in range(26)], "TT1110"),
            Refused("10.0.0.0/8", "TT1103"),
        ],
    ),
    FieldCase(
        "to[].domainNames",
        accepted=[_DOMAINS],
        refused=[
            *(Refused([each], "TT1116", "[0]") for each in ("io", "*", "a.*.org", "a b.org", "")),
            Refused(["a.org", "a.org"], "TT1111", "[1]"),
            Refused([f"a{each}.org" for each in range(26)], "TT1110"),
            Refused("a.org", "TT1103"),
        ],
    ),
)
CASES = KindCases(
    kind="KubernetesClusterNetworkPolicy",
    base=BASE,
    defaults=BASE,
    fields=[
        FieldCase(
            "spec.tier",
            accepted=["Admin", "Baseline"],
            refused=[Refused("admin", "TT1104"), Refused("default", "TT1104"), Refused(None, "TT1102")],
        ),
        FieldCase(
            "spec.priority",
            accepted=[0, 1000],
            refused=[Refused(-1, "TT1105"), Refused(1001, "TT1105"), Refused("1", "TT1103"), Refused(None, "TT1102")],
        ),
        FieldCase(
            "spec.subject",
            accepted=[{"namespaces": {}}, {"pods": {"podSelector": {}, "namespaceSelector": {}}}],
            refused=[
                Refused({}, "TT1323"),
                Refused({"namespaces": {}, "pods": PODS}, "TT1323"),
                Refused([], "TT1103"),
                Refused(None, "TT1102"),
            ],
        ),
        *label_selector_cases("spec.subject.namespaces"),
        FieldCase(
            "spec.subject.pods",
            accepted=[Reads(PODS, {"podSelector": {}, "namespaceSelector": {}})],
            refused=[Refused({}, "TT1102", ".podSelector"), Refused([], "TT1103")],
            around={"spec": {"subject": {}}},
        ),
        *_pods("spec.subject.pods", PODS),
        *_rules("spec.ingress", "from"),
        *_rules("spec.egress", "to"),
        *below("spec.egress[]", _DESTINATIONS, {"action": "Accept"}),
        *CONDITIONS,
    ],
    refused=[
        Whole(
            {
                **BASE,
                "egress": [
                    {"action": "Deny", "to": [{"networks": ["::/0"]}], "protocols": [{"destinationNamedPort": "http"}]}
                ],
            },
            "TT1324",
            "spec.egress[0].protocols[0]",
        ),
        Whole(
            {**BASE, "ingress": [{"action": "Deny", "from": [{"networks": ["::/0"]}]}]},
            "TT1101",
            "spec.ingress[0].from[0].networks",
        ),
    ],
)
