"""Cases of Kubernetes' Node."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused
from value_cases import NUMBER, anything, items, word

CASES = KindCases(
    kind="KubernetesNode",
    defaults={},
    fields=[
        FieldCase(
            "spec.podCIDR",
            ["10.0.0.0/24", "fd00::/64", Reads("", ABSENT)],
            [Refused("10.0.0.1", "TT1106"), Refused("x", "TT1106"), NUMBER],
        ),
        FieldCase(
            "spec.podCIDRs",
            [["10.0.0.0/24", "fd00::/64"], Reads([], ABSENT)],
            [Refused(["x"], "TT1106", "[0]"), Refused("10.0.0.0/24", "TT1103")],
        ),
        items("status.addresses", [{"type": "InternalIP", "address": "10.0.0.1"}]),
        word("status.addresses[].type", "InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"),
        anything("status.addresses[].address"),
    ],
)
