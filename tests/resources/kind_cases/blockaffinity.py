"""Cases of BlockAffinity."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused
from value_cases import NUMBER, name, word

CASES = KindCases(
    kind="BlockAffinity",
    defaults={},
    fields=[
        word("spec.state", "confirmed", "pending", "pendingDeletion", empty=ABSENT),
        name("spec.node"),
        word("spec.type", "host", "virtual"),
        FieldCase(
            "spec.cidr",
            ["10.0.0.0/26", "fd00::/122", Reads("", ABSENT)],
            [*(Refused(each, "TT1106") for each in ("10.0.0.1/26", "10.0.0.1")), NUMBER],
        ),
        FieldCase(
            "spec.deleted",
            [Reads(each, ABSENT) for each in (False, "false", "")],
            [Refused(True, "TT1338"), Refused("true", "TT1338"), Refused("yes", "TT1104"), NUMBER],
        ),
    ],
)
