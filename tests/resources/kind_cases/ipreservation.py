"""Cases of IPReservation."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused

CASES = KindCases(
    kind="IPReservation",
    defaults={},
    fields=[
        FieldCase(
            "spec.reservedCIDRs",
            [["10.0.0.0/28", "10.0.0.5", "fd00::1/64"], Reads([], ABSENT)],
            [
                Refused(["10.0.0.1", "10.0.0.1/32"], "TT1111", "[1]"),
                Refused(["x"], "TT1106", "[0]"),
                Refused("10.0.0.1", "TT1103"),
            ],
        )
    ],
)
