"""Cases of StagedKubernetesNetworkPolicy."""

from field_cases import KindCases, Whole
from kubernetes_policy_cases import FIELDS
from policy_cases import STAGED_ACTION

CASES = KindCases(
    kind="StagedKubernetesNetworkPolicy",
    defaults={"stagedAction": "Set", "policyTypes": ["Ingress"]},
    fields=[STAGED_ACTION, *FIELDS],
    refused=[
        Whole({"stagedAction": "Delete", key: value}, "TT1321", f"spec.{key}")
        for key, value in (
            ("podSelector", {"matchLabels": {"a": "b"}}),
            ("ingress", []),
            ("egress", [{}]),
            ("policyTypes", ["Ingress"]),
        )
    ],
)
