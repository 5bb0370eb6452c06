"""NetworkPolicy: rules for workloads of one namespace.

Source: reference resources.md section 8.2.
"""

from tortie.resources.kind import NAMESPACE, Kind, meaning
from tortie.resources.policies import COLUMNS, NAMESPACED_FIELDS, NAMESPACED_LAW, WIDE, check_namespaced_name, complete

KIND = Kind(
    name="NetworkPolicy",
    plural="networkpolicies",
    doc="Ordered rules for the workloads of its namespace that a selector names. Host endpoints are none of them.",
    aliases=("networkpolicy", "policy", "policies", "np", "pol", "pols", "cnp", "caliconetworkpolicy"),
    short_names=("cnp", "caliconetworkpolicy"),
    is_namespaced=True,
    check_name=check_namespaced_name,
    fields=NAMESPACED_FIELDS,
    complete=complete,
    laws=(NAMESPACED_LAW,),
    lower=meaning("networkpolicy"),
    columns=COLUMNS,
    wide=WIDE,
    extra=(NAMESPACE,),
)
