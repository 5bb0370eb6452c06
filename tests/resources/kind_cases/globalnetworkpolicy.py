"""Cases of GlobalNetworkPolicy."""

from field_cases import KindCases
from policy_cases import CONTRADICTIONS, GLOBAL_FIELDS

CASES = KindCases(
    kind="GlobalNetworkPolicy",
    defaults={"tier": "default", "types": ["Ingress"]},
    fields=GLOBAL_FIELDS,
    refused=CONTRADICTIONS,
)
