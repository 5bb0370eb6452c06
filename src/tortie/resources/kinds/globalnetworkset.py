"""GlobalNetworkSet: labelled networks that rules of every namespace select like endpoints.

Source: reference resources.md section 8.6.
"""

from tortie.resources.kind import Kind, meaning
from tortie.resources.networksets import COLUMNS, FIELDS, WIDE, complete

KIND = Kind(
    name="GlobalNetworkSet",
    plural="globalnetworksets",
    doc="Labelled networks that rules select like endpoints. It is in no namespace.",
    aliases=("globalnetworkset", "gns", "gnetsets"),
    short_names=("gns",),
    fields=FIELDS,
    complete=complete,
    lower=meaning("globalnetworkset"),
    columns=COLUMNS,
    wide=WIDE,
)
