"""Cases of EndpointSlice."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused
from kubernetes_cases import PROTOCOL, optional_port_name, with_default
from value_cases import NUMBER, anything, boolean, items, name, number, open_mapping, word

TYPE = word("addressType", "IPv4", "IPv6", "FQDN")
ENDPOINT = {"addresses": ["10.0.0.1"]}
AROUND = {"endpoints": [ENDPOINT]}
PORTS = {"ports": [{}]}


def beside(case: FieldCase) -> FieldCase:
    """The case, of an endpoint that has an address."""
    return FieldCase(case.path, case.accepted, case.refused, AROUND)


CASES = KindCases(
    kind="EndpointSlice",
    top={"addressType": "IPv4"},
    defaults={},
    fields=[
        FieldCase(TYPE.path, TYPE.accepted, [*TYPE.refused, Refused(None, "TT1102")]),
        FieldCase(
            "endpoints",
            [[ENDPOINT] * 1000, *with_default(ENDPOINT, ENDPOINT), Reads([], ABSENT)],
            [Refused([ENDPOINT] * 1001, "TT1110"), Refused([{}], "TT1102", "[0].addresses"), NUMBER],
        ),
        FieldCase(
            "endpoints[].addresses",
            [["10.0.0.1", "fd00::1"], ["db.example.org"]],
            [Refused([], "TT1102"), Refused(["x y"], "TT1106", "[0]"), Refused(["10.0.0.1"] * 101, "TT1110")],
        ),
        beside(open_mapping("endpoints[].conditions", {}, {"ready": True})),
        *(beside(boolean(f"endpoints[].conditions.{key}")) for key in ("ready", "serving", "terminating")),
        beside(name("endpoints[].nodeName")),
        beside(open_mapping("endpoints[].targetRef", {}, {"kind": "Pod", "name": "a", "namespace": "b"})),
        beside(anything("endpoints[].targetRef.kind")),
        beside(name("endpoints[].targetRef.namespace")),
        beside(name("endpoints[].targetRef.name")),
        items("ports", [{"protocol": "UDP", "port": 53}], *with_default({"protocol": "TCP"}, {})),
        optional_port_name("ports[].name", PORTS),
        word("ports[].protocol", *PROTOCOL),
        number("ports[].port", 0, 65535),
    ],
)
