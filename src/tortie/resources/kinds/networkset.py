"""NetworkSet: labelled networks of one namespace that rules select like its endpoints.

Source: reference resources.md section 8.6.
"""

from tortie.resources.kind import NAMESPACE, Kind, meaning
from tortie.resources.networksets import COLUMNS, FIELDS, WIDE, complete

KIND = Kind(
    name="NetworkSet",
    plural="networksets",
    doc="Labelled networks that rules select like endpoints of its namespace, whose labels it has too.",
    aliases=("networkset", "netset", "netsets"),
    short_names=("netset", "netsets"),
    is_namespaced=True,
    fields=FIELDS,
    complete=complete,
    lower=meaning("networkset"),
    columns=COLUMNS,
    wide=WIDE,
    extra=(NAMESPACE,),
)
