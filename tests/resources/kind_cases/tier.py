"""Cases of Tier."""

from field_cases import FieldCase, KindCases, Refused, below
from shared_cases import CONDITION, ORDER

CASES = KindCases(
    kind="Tier",
    defaults={"order": 1000000, "defaultAction": "Deny"},
    fields=[
        ORDER,
        FieldCase(
            "spec.defaultAction",
            accepted=["Deny", "Pass"],
            refused=[Refused("deny", "TT1104"), Refused("Allow", "TT1104"), Refused("", "TT1104")],
        ),
        FieldCase(
            "status.conditions", accepted=[[]], refused=[Refused({}, "TT1103"), Refused([None], "TT1103", "[0]")]
        ),
        *below("status.conditions[]", CONDITION, {"type": "Ready", "status": "True"}),
    ],
)
