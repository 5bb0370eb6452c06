"""Cases of Service."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused
from kubernetes_cases import PROTOCOL, host_address, optional_port_name, with_default
from value_cases import LIST, NUMBER, anything, items, number, open_mapping, word

PORT = {"port": 80, "protocol": "TCP"}
AROUND = {"spec": {"ports": [PORT]}}
BAD_ADDRESSES = [Refused(each, "TT1106") for each in ("none", "10.0.0.300", "10.0.0.1/32")]

CASES = KindCases(
    kind="Service",
    defaults={"type": "ClusterIP"},
    fields=[
        word("spec.type", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        FieldCase("spec.clusterIP", ["10.0.0.1", "fd00::1", "None", Reads("", ABSENT)], [*BAD_ADDRESSES, NUMBER]),
        FieldCase(
            "spec.clusterIPs",
            [["10.0.0.1", "fd00::1"], ["None"], Reads([], ABSENT)],
            [Refused(["x"], "TT1106", "[0]"), Refused("10.0.0.1", "TT1103")],
        ),
        FieldCase("spec.externalIPs", [["192.0.2.1"]], [Refused(["x"], "TT1106", "[0]"), NUMBER]),
        FieldCase("spec.selector", [{"app": "web"}, {"app": ""}], [Refused({"a": 1}, "TT1103", ".a"), LIST]),
        items("spec.ports", [PORT], *with_default(PORT, {"port": 80})),
        optional_port_name("spec.ports[].name", AROUND),
        word("spec.ports[].protocol", *PROTOCOL, around=AROUND),
        number("spec.ports[].port", 1, 65535),
        FieldCase(
            "spec.ports[].targetPort",
            [8080, "http", Reads("8080", 8080)],
            [Refused(0, "TT1107"), Refused("HTTP", "TT1107"), LIST],
            AROUND,
        ),
        number("spec.ports[].nodePort", 0, 65535, around=AROUND),
        open_mapping("status.loadBalancer", {}, {"ingress": [{"ip": "192.0.2.1"}]}),
        items("status.loadBalancer.ingress", [{"ip": "192.0.2.1"}, {"hostname": "a.example.org"}]),
        host_address("status.loadBalancer.ingress[].ip"),
        anything("status.loadBalancer.ingress[].hostname"),
    ],
)
