"""Cases of StagedGlobalNetworkPolicy."""

from field_cases import KindCases, Whole
from policy_cases import CONTRADICTIONS, DELETIONS, GLOBAL_FIELDS, STAGED_ACTION

CASES = KindCases(
    kind="StagedGlobalNetworkPolicy",
    defaults={"stagedAction": "Set", "tier": "default", "types": ["Ingress"]},
    fields=[STAGED_ACTION, *GLOBAL_FIELDS],
    refused=[
        *CONTRADICTIONS,
        *DELETIONS,
        *(
            Whole({"stagedAction": "Delete", key: value}, "TT1321", f"spec.{key}")
            for key, value in (("namespaceSelector", "all()"), ("applyOnForward", True), ("doNotTrack", True))
        ),
    ],
)
