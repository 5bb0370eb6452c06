"""Cases that both kinds of network set share."""

from field_cases import ABSENT, FieldCase, Reads, Refused

FIELDS = [
    FieldCase(
        "spec.nets",
        accepted=[["10.0.0.1", "10.1.0.1/8", "feed:beef::1", "fd00::/8"], Reads([], ABSENT), Reads(None, ABSENT)],
        refused=[
            *(Refused([each], "TT1106", "[0]") for each in ("10.0.0.300", "abc", "10.0.0.0/33", "01.2.3.4", "")),
            Refused(["10.0.0.1", "10.0.0.1/32"], "TT1111", "[1]"),
            Refused([1], "TT1103", "[0]"),
            Refused("10.0.0.0/8", "TT1103"),
        ],
    )
]
