"""StagedGlobalNetworkPolicy: a GlobalNetworkPolicy that is not enforced yet.

Source: reference resources.md section 8.3.
"""

from tortie.resources.kind import Kind
from tortie.resources.policies import (
    COLUMNS,
    GLOBAL_DELETION_LAW,
    GLOBAL_FIELDS,
    GLOBAL_LAWS,
    WIDE,
    check_global_name,
    complete_staged,
    staged,
)

KIND = Kind(
    name="StagedGlobalNetworkPolicy",
    plural="stagedglobalnetworkpolicies",
    doc="What would become of the GlobalNetworkPolicy of this name. Nothing of it is enforced.",
    aliases=("stagedglobalnetworkpolicy", "sgnp", "sgnps"),
    short_names=("sgnp",),
    is_staged=True,
    check_name=check_global_name,
    fields=staged(GLOBAL_FIELDS),
    complete=complete_staged,
    laws=(*GLOBAL_LAWS, GLOBAL_DELETION_LAW),
    lower=None,
    columns=COLUMNS,
    wide=WIDE,
)
