"""Cases of NetworkPolicy."""

from field_cases import KindCases
from policy_cases import NAMESPACED_FIELDS, NOT_IN_A_NAMESPACE

CASES = KindCases(
    kind="NetworkPolicy",
    defaults={"tier": "default", "types": ["Ingress"]},
    fields=NAMESPACED_FIELDS,
    refused=NOT_IN_A_NAMESPACE,
)
