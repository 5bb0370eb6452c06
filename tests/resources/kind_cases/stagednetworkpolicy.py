"""Cases of StagedNetworkPolicy."""

from field_cases import KindCases
from policy_cases import DELETIONS, NAMESPACED_FIELDS, NOT_IN_A_NAMESPACE, STAGED_ACTION

CASES = KindCases(
    kind="StagedNetworkPolicy",
    defaults={"stagedAction": "Set", "tier": "default", "types": ["Ingress"]},
    fields=[STAGED_ACTION, *NAMESPACED_FIELDS],
    refused=[*NOT_IN_A_NAMESPACE, *DELETIONS],
)
