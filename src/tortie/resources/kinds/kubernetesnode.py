"""Node of Kubernetes: a machine, with the labels that selectors of nodes look at. Ours of that name is in `node.py`."""

from tortie.resources.addresses import net
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, Kind
from tortie.resources.kubernetesobjects import READ_ONLY, V1, open_object
from tortie.resources.values import enum, optional_text, or_empty

_network = net(strict=False, may_be_address=False)
_address = open_object(
    {
        "type": Field(
            enum("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"), "What kind of address it is."
        ),
        "address": Field(optional_text, "The address, or a name that stands for it."),
    }
)
KIND = Kind(
    name="KubernetesNode",
    plural="kubernetesnodes",
    doc="A machine of a Kubernetes cluster.",
    aliases=("kubernetesnode",),
    api_version=V1,
    document_kind="Node",
    fields={
        "podCIDR": Field(or_empty(_network), "The first of the networks of its pods."),
        "podCIDRs": Field(list_of(_network), "The networks of its pods, one of each IP version."),
    },
    status={"addresses": Field(list_of(_address), "Under which addresses it can be reached.")},
    keeps_status=True,
    is_open=True,
    lower=None,
    read_only=READ_ONLY,
    columns=(NAME,),
    wide=(NAME,),
)
