"""StagedKubernetesNetworkPolicy: a NetworkPolicy of Kubernetes that is not enforced yet.

Source: reference resources.md section 8.4.
"""

from tortie.resources.kind import NAME, NAMESPACE, Column, Draft, Kind
from tortie.resources.kubernetes import selector_cell
from tortie.resources.kubernetespolicy import FIELDS, put_types
from tortie.resources.staging import ACTION, STAGED_ACTION, check_deletion, deletion_law, is_deletion

_DELETION = "Spec fields should all be zero-value if stagedAction is Delete"


def _complete(draft: Draft) -> None:
    if is_deletion(draft.spec):
        check_deletion(draft, (), "policyTypes", _DELETION)
    else:
        put_types(draft.spec)


KIND = Kind(
    name="StagedKubernetesNetworkPolicy",
    plural="stagedkubernetesnetworkpolicies",
    doc="What would become of the Kubernetes NetworkPolicy of this name. Nothing of it is enforced.",
    aliases=(
        "stagedkubernetesnetworkpolicy",
        "stagedkubernetespolicy",
        "stagedkubernetespolicies",
        "sknp",
        "skpol",
        "skpols",
    ),
    short_names=("sknp",),
    is_namespaced=True,
    is_staged=True,
    fields={ACTION: STAGED_ACTION, **FIELDS},
    complete=_complete,
    laws=(
        deletion_law(
            [
                "has(spec.ingress)",
                "has(spec.egress)",
                "(has(spec.podSelector) "
                "&& (has(spec.podSelector.matchLabels) || has(spec.podSelector.matchExpressions)))",
                "(has(spec.policyTypes) && size(spec.policyTypes) > 0)",
            ],
            _DELETION,
        ),
    ),
    lower=None,
    columns=(NAME,),
    wide=(NAME, Column("PODSELECTOR", selector_cell("podSelector"))),
    extra=(NAMESPACE,),
)
