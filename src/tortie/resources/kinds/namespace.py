"""Namespace of Kubernetes: what gives policies of a namespace their scope, and its labels to what is in it."""

from tortie.resources.fields import Field
from tortie.resources.kind import NAME, Column, Kind, Resource, meaning
from tortie.resources.kubernetesobjects import READ_ONLY, V1
from tortie.resources.values import text


def _phase_cell(resource: Resource) -> str:
    status = resource.body.get("status")
    return str(status.get("phase", "")) if isinstance(status, dict) else ""


_COLUMNS = (NAME, Column("STATUS", _phase_cell))
KIND = Kind(
    name="Namespace",
    plural="namespaces",
    doc="A namespace of Kubernetes; selectors of namespaces look at its labels.",
    aliases=("namespace", "ns"),
    short_names=("ns",),
    api_version=V1,
    fields={},
    status={"phase": Field(text, "Whether it is in use (Active), or going away (Terminating).")},
    keeps_status=True,
    is_open=True,
    lower=meaning("namespace"),
    read_only=READ_ONLY,
    columns=_COLUMNS,
    wide=_COLUMNS,
)
