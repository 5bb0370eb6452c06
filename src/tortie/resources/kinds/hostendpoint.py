"""HostEndpoint: an interface of a host, with the labels by which policies select it.

Source: reference resources.md section 8.7.
"""

from tortie.resources.addresses import address, net_identity
from tortie.resources.endpoints import port_protocol
from tortie.resources.fields import Field, list_of, object_of
from tortie.resources.kind import NAME, Column, Draft, Kind, meaning, spec_cell, spec_law
from tortie.resources.qos import check_dscp
from tortie.resources.values import enum, integer, interface, name, port_name

_NEITHER = "at least one of interfaceName or expectedIPs must be specified"

_port = object_of(
    {
        "name": Field(port_name, "What rules call the port. Several ports may share a name.", is_required=True),
        "protocol": Field(port_protocol, "TCP, UDP or SCTP, by name or number.", is_required=True),
        "port": Field(integer(1, 65535), "The port's number.", is_required=True),
    }
)


def _complete(draft: Draft) -> None:
    problems, spec = draft.problems, draft.spec
    is_judged = problems.concern("spec.interfaceName") or problems.concern("spec.expectedIPs")
    if "interfaceName" not in spec and "expectedIPs" not in spec and not is_judged:
        remedy = "add interfaceName: with the interface's name"
        problems.add("TT1317", draft.spec_node, "spec", _NEITHER, remedy=remedy)
    check_dscp(draft)


_NODE = Column("NODE", spec_cell("node"))
KIND = Kind(
    name="HostEndpoint",
    plural="hostendpoints",
    doc="An interface of a host, or all of them: what policy for the host's own traffic applies to.",
    aliases=("hostendpoint", "hep", "heps"),
    short_names=("hep", "heps"),
    fields={
        "node": Field(name, "The name of the node whose interface it is.", is_required=True),
        "interfaceName": Field(
            interface,
            "The interface's name; `*` stands for every interface without an endpoint of its own. "
            "Without it the interface is found by `expectedIPs`.",
        ),
        "expectedIPs": Field(
            list_of(address, identity=net_identity),
            "The endpoint's addresses: what rules that select it match.",
        ),
        "profiles": Field(
            list_of(name, identity=lambda value: value),
            "Profiles whose labels it inherits, and whose rules judge what no tier decided, in this order.",
        ),
        "ports": Field(list_of(_port), "Ports that rules can name."),
    },
    annotations={
        "tortie.io/xdp": Field(
            enum("auto", "untracked", "always", "never"),
            "Whether packets that arrive are judged in XDP: where that is worth it, while untracked policy applies, "
            "always (and a warning where it cannot be had), or never. Otherwise they are judged at tc, all the same. "
            "Without it what a FelixConfiguration says holds, by this annotation or by xdpEnabled: false; else auto.",
        )
    },
    complete=_complete,
    laws=(
        spec_law(
            "(has(spec.interfaceName) && spec.interfaceName != '') "
            "|| (has(spec.expectedIPs) && spec.expectedIPs.size() > 0)",
            _NEITHER,
        ),
    ),
    lower=meaning("hostendpoint"),
    columns=(NAME, _NODE),
    wide=(
        NAME,
        _NODE,
        Column("INTERFACE", spec_cell("interfaceName")),
        Column("IPS", spec_cell("expectedIPs")),
        Column("PROFILES", spec_cell("profiles")),
    ),
)
