"""NetworkPolicy of networking.k8s.io: what may reach the pods of a namespace, in the words of Kubernetes.

Source: reference resources.md section 9.
"""

from dataclasses import replace

from tortie.model.policy import Policy
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, NAMESPACE, Column, Draft, Kind, Resource
from tortie.resources.kubernetes import selector_cell
from tortie.resources.kubernetesconversion import convert
from tortie.resources.kubernetespolicy import FIELDS, put_types
from tortie.resources.metadata import condition
from tortie.resources.policylowering import key_of, lower_namespaced


def _complete(draft: Draft) -> None:
    put_types(draft.spec)


def _lower(resource: Resource) -> Policy:
    spec, problems = convert(resource.spec, resource.namespace)
    return replace(lower_namespaced(key_of(resource), spec), remarks=problems)


KIND = Kind(
    name="KubernetesNetworkPolicy",
    plural="kubernetesnetworkpolicies",
    doc="A NetworkPolicy of Kubernetes, enforced as the Calico policy that means the same, with order 1000.",
    aliases=("kubernetesnetworkpolicy", "knp", "netpol", "networkpolicies.networking.k8s.io"),
    api_version="networking.k8s.io/v1",
    document_kind="NetworkPolicy",
    is_namespaced=True,
    fields=FIELDS,
    status={"conditions": Field(list_of(condition), "What controllers say of the policy.")},
    complete=_complete,
    lower=_lower,
    columns=(NAME,),
    wide=(NAME, Column("PODSELECTOR", selector_cell("podSelector"))),
    extra=(NAMESPACE,),
)
