"""Cases of Profile."""

from field_cases import ABSENT, FieldCase, KindCases, Reads, Refused
from shared_cases import rule_cases

CASES = KindCases(
    kind="Profile",
    defaults={},
    fields=[
        *rule_cases("spec.ingress[]", is_profile=True),
        *rule_cases("spec.egress[]", is_profile=True, is_egress=True),
        FieldCase(
            "spec.labelsToApply",
            accepted=[{"pcns.a": "b", "example.org/c": ""}, Reads({"a": None}, {"a": ""}), Reads({}, ABSENT)],
            refused=[
                Refused({"a b": ""}, "TT1113", '["a b"]'),
                Refused({"a": "b c"}, "TT1113", ".a"),
                Refused({"a": 1}, "TT1103", ".a"),
                Refused(["a"], "TT1103"),
            ],
        ),
    ],
)
