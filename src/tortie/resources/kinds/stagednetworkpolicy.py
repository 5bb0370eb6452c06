"""StagedNetworkPolicy: a NetworkPolicy that is not enforced yet.

Source: reference resources.md section 8.3.
"""

from tortie.resources.kind import NAMESPACE, Kind
from tortie.resources.policies import (
    COLUMNS,
    DELETION_LAW,
    NAMESPACED_FIELDS,
    NAMESPACED_LAW,
    WIDE,
    check_namespaced_name,
    complete_staged,
    staged,
)

KIND = Kind(
    name="StagedNetworkPolicy",
    plural="stagednetworkpolicies",
    doc="What would become of the NetworkPolicy of this name. Nothing of it is enforced.",
    aliases=("stagednetworkpolicy", "stagedpolicy", "stagedpolicies", "snp", "scnp", "spol", "spols"),
    short_names=("scnp", "snp"),
    is_namespaced=True,
    is_staged=True,
    check_name=check_namespaced_name,
    fields=staged(NAMESPACED_FIELDS),
    complete=complete_staged,
    laws=(NAMESPACED_LAW, DELETION_LAW),
    lower=None,
    columns=COLUMNS,
    wide=WIDE,
    extra=(NAMESPACE,),
)
