"""Cases of CalicoNodeStatus."""

from field_cases import FieldCase, KindCases, Refused
from value_cases import anything, items, mapping, name, number, word

BASE = {"node": "n", "classes": ["Agent"], "updatePeriodSeconds": 10}
PERIOD = number("spec.updatePeriodSeconds", 0, 86_400)
DAEMON_FIELDS = ("version", "routerID", "lastBootTime", "lastReconfigurationTime")


def daemon(path: str) -> list[FieldCase]:
    return [
        mapping(path, {"state": "Ready"}),
        word(f"{path}.state", "Ready", "NotReady"),
        *(anything(f"{path}.{field}") for field in DAEMON_FIELDS),
    ]


def peers(path: str) -> list[FieldCase]:
    states = ("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close")
    return [
        items(path, [{"peerIP": "10.0.0.1"}]),
        anything(f"{path}[].peerIP"),
        word(f"{path}[].type", "NodeMesh", "NodePeer", "GlobalPeer"),
        word(f"{path}[].state", *states),
        anything(f"{path}[].since"),
    ]


def routes(path: str) -> list[FieldCase]:
    return [
        items(path, [{"type": "FIB"}]),
        word(f"{path}[].type", "FIB", "RIB"),
        *(anything(f"{path}[].{field}") for field in ("destination", "gateway", "interface")),
        mapping(f"{path}[].learnedFrom", {"sourceType": "Static"}),
        word(f"{path}[].learnedFrom.sourceType", "Kernel", "Static", "Direct", "NodeMesh", "BGPPeer"),
        anything(f"{path}[].learnedFrom.peerIP"),
    ]


CASES = KindCases(
    kind="CalicoNodeStatus",
    base=BASE,
    defaults=BASE,
    fields=[
        name("spec.node", is_required=True),
        FieldCase(
            "spec.classes",
            [["Agent", "BGP", "Routes"]],
            [
                Refused(["Agent", "Agent"], "TT1111", "[1]"),
                Refused(["agent"], "TT1104", "[0]"),
                Refused([], "TT1102"),
                Refused("Agent", "TT1103"),
            ],
        ),
        FieldCase(PERIOD.path, PERIOD.accepted, [*PERIOD.refused, Refused(None, "TT1102")]),
        FieldCase(
            "status.lastUpdated", ["2026-01-02T03:04:05Z"], [Refused("yesterday", "TT1116"), Refused(5, "TT1103")]
        ),
        mapping("status.agent", {}),
        *daemon("status.agent.birdV4"),
        *daemon("status.agent.birdV6"),
        mapping("status.bgp", {}),
        *(
            number(f"status.bgp.number{state}V{version}", 0, 2**31 - 1)
            for state in ("Established", "NotEstablished")
            for version in (4, 6)
        ),
        *peers("status.bgp.peersV4"),
        *peers("status.bgp.peersV6"),
        mapping("status.routes", {}),
        *routes("status.routes.routesV4"),
        *routes("status.routes.routesV6"),
    ],
)
