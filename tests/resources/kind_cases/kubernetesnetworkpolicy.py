"""Cases of the NetworkPolicy of Kubernetes."""

from field_cases import KindCases
from kubernetes_policy_cases import FIELDS
from shared_cases import CONDITIONS

CASES = KindCases(kind="KubernetesNetworkPolicy", defaults={"policyTypes": ["Ingress"]}, fields=[*FIELDS, *CONDITIONS])
