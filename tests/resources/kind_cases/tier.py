"""Cases of Tier. Those of built-in tiers, which are about names, stand in `test_resource_kinds.py`."""

from field_cases import FieldCase, KindCases, Refused
from shared_cases import CONDITIONS, ORDER

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
        *CONDITIONS,
    ],
)
