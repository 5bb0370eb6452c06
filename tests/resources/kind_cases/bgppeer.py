"""Cases of BGPPeer."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused, Whole
from value_cases import NUMBER, address, as_number, duration, flag, mapping, name, number, selector, word

SECRET = {"secretKeyRef": {"key": "k"}}
PASSWORD = {"spec": {"password": SECRET}}
BAD_PEERS = ("10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[fd00::1]", "[fd00::1]:", ":500", "10.0.0.300")
REACHABLE = address("spec.reachableBy", 4)

CASES = KindCases(
    kind="BGPPeer",
    defaults={"sourceAddress": "UseNodeIP", "reversePeering": "Auto"},
    fields=[
        name("spec.node"),
        selector("spec.nodeSelector"),
        FieldCase(
            "spec.peerIP",
            ["10.0.0.1", "10.0.0.1:500", "fd00::1", "[fd00::1]:500", Reads("", ABSENT)],
            [*(Refused(each, "TT1106") for each in (*BAD_PEERS, "[10.0.0.1]:500", "10.0.0.1/32")), NUMBER],
        ),
        as_number("spec.asNumber", zero=ABSENT),
        as_number("spec.localASNumber"),
        selector("spec.peerSelector"),
        selector("spec.localWorkloadSelector", around={"spec": {"asNumber": 1}}),
        flag("spec.keepOriginalNextHop"),
        word("spec.nextHopMode", "Auto", "Self", "Keep"),
        mapping("spec.password", {}, SECRET),
        mapping("spec.password.secretKeyRef", {"key": "k", "name": "n"}, least={"key": "k"}),
        FieldCase("spec.password.secretKeyRef.name", ["bgp", Reads("", ABSENT)], [NUMBER], PASSWORD),
        FieldCase("spec.password.secretKeyRef.key", ["k"], [NUMBER, Refused(None, "TT1102")]),
        FieldCase("spec.password.secretKeyRef.optional", [True, False], [NUMBER], PASSWORD),
        word("spec.sourceAddress", "UseNodeIP", "None", empty="UseNodeIP"),
        duration("spec.maxRestartTime"),
        duration("spec.keepaliveTime"),
        number("spec.numAllowedLocalASNumbers", -(2**31), 2**31 - 1),
        number("spec.ttlSecurity", 0, 255),
        FieldCase(
            REACHABLE.path,
            REACHABLE.accepted,
            [each for each in REACHABLE.refused if each.given != "fd00::1"],
            {"spec": {"peerIP": "10.0.0.1:179"}},
        ),
        FieldCase(
            "spec.filters",
            [["a", "b", "a"], Reads([], ABSENT)],
            [Refused(["A"], "TT1112", "[0]"), Refused("a", "TT1103")],
        ),
        word("spec.reversePeering", "Auto", "Manual"),
    ],
    refused=[
        Whole({"node": "a", "nodeSelector": "all()"}, "TT1333", "spec.node"),
        Whole({"peerIP": "10.0.0.1", "peerSelector": "all()"}, "TT1333", "spec.peerIP"),
        Whole({"asNumber": 1, "peerSelector": "all()"}, "TT1333", "spec.asNumber"),
        Whole({"asNumber": 1, "peerIP": "10.0.0.1", "localWorkloadSelector": "all()"}, "TT1333", "spec.peerIP"),
        Whole({"localWorkloadSelector": "all()"}, "TT1333", "spec.localWorkloadSelector"),
        Whole({"asNumber": 0, "localWorkloadSelector": "all()"}, "TT1333", "spec.localWorkloadSelector"),
        Whole({"keepOriginalNextHop": True, "nextHopMode": "Self"}, "TT1333", "spec.keepOriginalNextHop"),
        Whole({"reachableBy": "10.0.0.1"}, "TT1333", "spec.reachableBy"),
        Whole({"reachableBy": "10.0.0.1", "peerIP": "[fd00::1]:179"}, "TT1333", "spec.reachableBy"),
    ],
)
