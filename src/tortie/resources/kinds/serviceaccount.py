"""ServiceAccount of Kubernetes: what pods run as; selectors of service accounts look at its labels."""

from tortie.resources.kind import NAME, NAMESPACE, Kind, meaning
from tortie.resources.kubernetesobjects import READ_ONLY, V1

KIND = Kind(
    name="ServiceAccount",
    plural="serviceaccounts",
    doc="What pods run as; selectors of service accounts look at its labels.",
    aliases=("serviceaccount", "sa"),
    short_names=("sa",),
    api_version=V1,
    is_namespaced=True,
    fields={},
    is_open=True,
    lower=meaning("serviceaccount"),
    read_only=READ_ONLY,
    columns=(NAME,),
    wide=(NAME,),
    extra=(NAMESPACE,),
)
