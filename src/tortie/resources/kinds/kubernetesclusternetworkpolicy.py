"""ClusterNetworkPolicy of policy.networking.k8s.io: an administrator's rules for pods, before or after namespaced ones.

Source: reference resources.md section 10.
"""

from dataclasses import replace

from tortie.model.policy import Policy
from tortie.resources.clusterconversion import convert
from tortie.resources.clusterpolicy import FIELDS
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, Column, Kind, Resource, spec_cell
from tortie.resources.metadata import condition
from tortie.resources.policylowering import key_of, lower_global


def _lower(resource: Resource) -> Policy:
    spec, problems = convert(resource.spec)
    policy = replace(lower_global(key_of(resource), spec), remarks=problems)
    return policy if spec["types"] else replace(policy, governs=frozenset())


_TIER, _PRIORITY = Column("TIER", spec_cell("tier")), Column("PRIORITY", spec_cell("priority"))
KIND = Kind(
    name="KubernetesClusterNetworkPolicy",
    plural="kubernetesclusternetworkpolicies",
    doc="A ClusterNetworkPolicy of Kubernetes, enforced as the Calico policy that means the same.",
    aliases=(
        "kubernetesclusternetworkpolicy",
        "kcnp",
        "clusternetworkpolicy",
        "clusternetworkpolicies",
        "clusternetworkpolicies.policy.networking.k8s.io",
    ),
    api_version="policy.networking.k8s.io/v1alpha2",
    document_kind="ClusterNetworkPolicy",
    fields=FIELDS,
    status={"conditions": Field(list_of(condition), "What controllers say of the policy.")},
    lower=_lower,
    columns=(NAME, _TIER),
    wide=(NAME, _TIER, _PRIORITY),
)
