"""NetworkSet: labelled networks of one namespace that rules select like its endpoints.

Source: reference resources.md section 8.6.
"""

from tortie.model.endpoint import NetworkSet
from tortie.resources.kind import NAMESPACE, Kind, Resource
from tortie.resources.lowering import in_namespace
from tortie.resources.networksets import COLUMNS, FIELDS, WIDE, complete, lower


def _lower(resource: Resource) -> NetworkSet:
    in_namespace(resource.namespace)  # without one it would be taken for a set of the global kind
    return lower(resource)


KIND = Kind(
    name="NetworkSet",
    plural="networksets",
    doc="Labelled networks that rules select like endpoints of its namespace, whose labels it has too.",
    aliases=("networkset", "netset", "netsets"),
    short_names=("netset", "netsets"),
    is_namespaced=True,
    fields=FIELDS,
    complete=complete,
    lower=_lower,
    columns=COLUMNS,
    wide=WIDE,
    extra=(NAMESPACE,),
)
