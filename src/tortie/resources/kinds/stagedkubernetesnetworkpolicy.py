"""StagedKubernetesNetworkPolicy: a NetworkPolicy of Kubernetes that is not enforced yet.

Source: reference resources.md section 8.4.
"""

from tortie.resources.kind import NAME, NAMESPACE, Column, Draft, Kind, spec_law
from tortie.resources.kubernetes import selector_cell
from tortie.resources.kubernetespolicy import FIELDS, put_types
from tortie.resources.staging import ACTION, STAGED_ACTION, check_deletion, is_deletion

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
        spec_law(
            "!has(spec.stagedAction) || spec.stagedAction != 'Delete' || !(has(spec.ingress) || has(spec.egress))",
            _DELETION,
        ),
    ),
    lower=None,
    columns=(NAME,),
    wide=(NAME, Column("PODSELECTOR", selector_cell("podSelector"))),
    extra=(NAMESPACE,),
)
