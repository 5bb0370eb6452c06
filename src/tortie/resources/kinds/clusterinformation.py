"""ClusterInformation: what agents and controllers say of the cluster. Source: reference resources.md section 8.21."""

from tortie.resources.fields import Field
from tortie.resources.kind import DEFAULT_NAME_LAW, NAME, Column, Kind, check_default_name, spec_cell
from tortie.resources.values import boolean, optional_text

_COLUMNS = (
    NAME,
    Column("CLUSTERGUID", spec_cell("clusterGUID")),
    Column("CLUSTERTYPE", spec_cell("clusterType")),
    Column("CALICOVERSION", spec_cell("calicoVersion")),
    Column("DATASTOREREADY", spec_cell("datastoreReady", missing="<nil>")),
)
KIND = Kind(
    name="ClusterInformation",
    plural="clusterinformations",
    doc="What agents and controllers say of the cluster; there is one, called `default`.",
    aliases=("clusterinformation", "clusterinfo", "clusterinfos"),
    short_names=("clusterinfo", "clusterinfos"),
    check_name=check_default_name,
    laws=(DEFAULT_NAME_LAW,),
    fields={
        "clusterGUID": Field(optional_text, "The cluster's identity: 32 hexadecimal digits, made by chance."),
        "clusterType": Field(optional_text, "What the cluster runs on, as words with commas between them."),
        "calicoVersion": Field(
            optional_text, "The version of the policy engine, against which clients compare theirs."
        ),
        "datastoreReady": Field(boolean, "Whether agents may use the datastore; false: it is locked, and they wait."),
        "variant": Field(optional_text, "Which product it is."),
    },
    lower=None,
    read_only="agents and controllers manage it",
    columns=_COLUMNS,
    wide=_COLUMNS,
)
