"""Cases that the kinds of Calico policy share."""

from field_cases import ABSENT, FieldCase, Reads, Refused, Spec, Whole
from shared_cases import ORDER, rule_cases, selector

ALLOW = {"action": "Allow"}


def policy_fields(*, is_namespaced: bool) -> tuple[FieldCase, ...]:
    """Cases of the fields that every policy has."""
    return (
        FieldCase(
            "spec.tier",
            accepted=["t1", "a.b", Reads("", "default"), Reads(None, "default")],
            refused=[Refused("A", "TT1112"), Refused("a" * 254, "TT1112"), Refused(1, "TT1103")],
        ),
        ORDER,
        selector("spec.selector"),
        selector("spec.serviceAccountSelector"),
        FieldCase(
            "spec.types",
            accepted=[["Ingress"], ["Egress"], ["Egress", "Ingress"], Reads([], ["Ingress"]), Reads(None, ["Ingress"])],
            refused=[
                Refused(["Egress", "Egress"], "TT1111", "[1]"),
                Refused(["unexpected"], "TT1104", "[0]"),
                Refused(["Ingress", "Egress", "Ingress"], "TT1110"),
                Refused("Ingress", "TT1103"),
            ],
        ),
        FieldCase(
            "spec.performanceHints",
            accepted=[["AssumeNeededOnEveryNode"], Reads([], ABSENT)],
            refused=[
                Refused(["Other"], "TT1104", "[0]"),
                Refused(["AssumeNeededOnEveryNode"] * 2, "TT1111", "[1]"),
                Refused("AssumeNeededOnEveryNode", "TT1103"),
            ],
        ),
        *rule_cases("spec.ingress[]", is_namespaced=is_namespaced),
        *rule_cases("spec.egress[]", is_namespaced=is_namespaced, is_egress=True),
    )


FORWARD: Spec = {"spec": {"applyOnForward": True}}
NO_BOOLEAN = [Refused("yes", "TT1103"), Refused(1, "TT1103")]
GLOBAL_FIELDS = (
    *policy_fields(is_namespaced=False),
    selector("spec.namespaceSelector"),
    FieldCase("spec.applyOnForward", [True, Reads(False, ABSENT)], NO_BOOLEAN),
    FieldCase("spec.doNotTrack", [True, Reads(False, ABSENT)], NO_BOOLEAN, around=FORWARD),
    FieldCase("spec.doNotTrack", (), [Refused(True, "TT1316")]),
    FieldCase("spec.preDNAT", [True, Reads(False, ABSENT)], NO_BOOLEAN, around=FORWARD),
    FieldCase("spec.preDNAT", (), [Refused(True, "TT1316")]),
)
NAMESPACED_FIELDS = policy_fields(is_namespaced=True)
PRE_DNAT = {"preDNAT": True, "applyOnForward": True}
CONTRADICTIONS = (
    Whole({**PRE_DNAT, "doNotTrack": True}, "TT1316", "spec.preDNAT"),
    Whole({**PRE_DNAT, "egress": [ALLOW]}, "TT1316", "spec.egress"),
    Whole({**PRE_DNAT, "types": ["Ingress", "Egress"]}, "TT1316", "spec.types"),
    Whole({"preDNAT": True, "applyOnForward": False}, "TT1316", "spec.applyOnForward"),
)
NOT_IN_A_NAMESPACE = tuple(
    Whole({key: value}, "TT1101", f"spec.{key}")
    for key, value in (
        ("namespaceSelector", "all()"),
        ("doNotTrack", True),
        ("preDNAT", True),
        ("applyOnForward", True),
        ("domains", []),
    )
)


# ---- staged

STAGED_ACTION = FieldCase(
    "spec.stagedAction",
    accepted=["Set", "Delete", "Learn", "Ignore", Reads("", "Set"), Reads(None, "Set")],
    refused=[Refused("set", "TT1104"), Refused("Remove", "TT1104"), Refused(1, "TT1103")],
)
DELETIONS = tuple(
    Whole({"stagedAction": "Delete", "tier": "t1", key: value}, "TT1321", f"spec.{key}")
    for key, value in (
        ("order", 0),
        ("order", 5),
        ("selector", "all()"),
        ("serviceAccountSelector", "all()"),
        ("types", ["Ingress"]),
        ("ingress", []),
        ("egress", [ALLOW]),
        ("performanceHints", []),
    )
)
