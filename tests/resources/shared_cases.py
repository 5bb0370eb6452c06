"""Cases of parts that several kinds share."""

from field_cases import FieldCase, Reads, Refused

ORDER = FieldCase(
    "spec.order",
    accepted=[0, -1.5, 100, Reads(4.0, 4)],
    refused=[Refused("9", "TT1103"), Refused(True, "TT1103"), Refused([1], "TT1103")],
)
CONDITION = (
    FieldCase("type", accepted=["Ready"], refused=[Refused(1, "TT1103"), Refused(None, "TT1102")]),
    FieldCase(
        "status",
        accepted=["True", "False", "Unknown"],
        refused=[Refused("true", "TT1104"), Refused(True, "TT1103"), Refused(None, "TT1102")],
    ),
    FieldCase("reason", accepted=["Fine", ""], refused=[Refused(1, "TT1103")]),
    FieldCase("message", accepted=["All is well.", ""], refused=[Refused(1, "TT1103")]),
    FieldCase("observedGeneration", accepted=[0, 7], refused=[Refused(-1, "TT1105"), Refused("1", "TT1103")]),
    FieldCase(
        "lastTransitionTime",
        accepted=["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+02:00"],
        refused=[Refused("yesterday", "TT1116"), Refused(5, "TT1103")],
    ),
)
