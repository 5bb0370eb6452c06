"""Words and numbers that both documents and the model know.

Apart from the model's values, which take long to load: reading a document needs only these.
"""

from enum import Enum

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 58, 132, 136
PORTED = (TCP, UDP, SCTP)
"""Protocols whose ports policy may name."""

NAMESPACE_LABEL = "projectcalico.org/namespace"
"""Which namespace something is in; what is in none has no such label."""
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
"""What runs a workload: `k8s` runs pods."""
DEFAULT_TIER = "default"
"""The tier of policies that name none."""
BUILT_IN_TIERS = {
    "kube-admin": (1_000, "Pass"),
    DEFAULT_TIER: (1_000_000, "Deny"),
    "kube-baseline": (10_000_000, "Pass"),
}
"""Order and default action of the tiers that exist without a document. Source: reference resources.md section 8.5."""
DEFAULT_ALLOW = "projectcalico-default-allow"
"""The profile that exists without a document, and allows everything."""


def namespace_profile(namespace: str) -> str:
    """The profile that carries the labels of a namespace."""
    return f"kns.{namespace}"


def service_account_profile(namespace: str, account: str) -> str:
    """The profile that carries the labels of a service account."""
    return f"ksa.{namespace}.{account}"


class Direction(Enum):
    """Towards the endpoint, or away from it."""

    INGRESS = "ingress"
    EGRESS = "egress"
