"""Specifications as documents have them, for checks that need no model."""

from collections.abc import Mapping, Sequence
from typing import cast

from tortie.resources.fields import Json
from tortie.resources.kind import Body, Resource

POLICIES = ("GlobalNetworkPolicy", "NetworkPolicy")
"""Kinds of enforced policy whose rules are written one by one."""
TIERED = (*POLICIES, "StagedGlobalNetworkPolicy", "StagedNetworkPolicy")
"""Kinds that name their tier."""
WORKLOADS_ONLY = ("namespaceSelector", "serviceAccountSelector")
"""Fields about what only workloads have: a namespace, a service account."""
OTHER = {"ingress": "egress", "egress": "ingress"}
TYPES = {"ingress": "Ingress", "egress": "Egress"}


def is_set(resource: Resource, flag: str) -> bool:
    """Whether it is an enforced policy with that flag."""
    return resource.kind == "GlobalNetworkPolicy" and resource.spec.get(flag) is True


def rules(spec: Mapping[str, Json], side: str) -> Sequence[Body]:
    """The rules of that direction."""
    return cast(list[Body], spec.get(side) or [])


def entity(rule: Body, side: str) -> Body:
    """What the rule says about `source` or `destination`."""
    return cast(Body, rule.get(side) or {})


def allows(spec: Mapping[str, Json], side: str) -> bool:
    """Whether some rule of that direction allows something."""
    return any(rule.get("action") == "Allow" for rule in rules(spec, side))


def governs(spec: Mapping[str, Json], side: str) -> bool:
    """Whether the policy governs that direction."""
    types = spec.get("types")
    return not isinstance(types, list) or TYPES[side] in types


def lets(resource: Resource, side: str) -> bool:
    """Whether the policy allows something in that direction, which it governs."""
    return allows(resource.spec, side) and governs(resource.spec, side)


def one_sided(resource: Resource) -> str | None:
    """The direction in which untracked policy allows something while it allows nothing in the other one."""
    if is_set(resource, "doNotTrack"):
        for side, other in OTHER.items():
            if allows(resource.spec, side) and not lets(resource, other):
                return side
    return None


def is_for_workloads(resource: Resource) -> str | None:
    """The field that looks at what only workloads have."""
    return next((key for key in WORKLOADS_ONLY if resource.spec.get(key)), None)
