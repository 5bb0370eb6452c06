"""GlobalNetworkPolicy: rules for every endpoint that a selector names.

Source: reference resources.md section 8.1.
"""

from tortie.resources.kind import Kind, meaning
from tortie.resources.policies import COLUMNS, GLOBAL_FIELDS, GLOBAL_LAWS, WIDE, check_global_name, complete

KIND = Kind(
    name="GlobalNetworkPolicy",
    plural="globalnetworkpolicies",
    doc="Ordered rules for the endpoints that a selector names: host endpoints, and workloads of every namespace.",
    aliases=("globalnetworkpolicy", "gnp", "gnps", "cgnp"),
    short_names=("gnp", "cgnp"),
    check_name=check_global_name,
    fields=GLOBAL_FIELDS,
    complete=complete,
    laws=GLOBAL_LAWS,
    lower=meaning("globalnetworkpolicy"),
    columns=COLUMNS,
    wide=WIDE,
)
