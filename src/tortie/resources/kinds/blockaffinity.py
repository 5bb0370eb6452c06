"""BlockAffinity: which node a block of addresses belongs to.

Source: reference resources.md section 8.14. The other kinds of address management (IPAMBlock, IPAMHandle) and
LiveMigration are internal to it, have no documents that people write or read, and are no kinds here.
"""

from tortie.resources.addresses import net
from tortie.resources.fields import ABSENT, BAD, Field, Json, Missing, decoder
from tortie.resources.kind import NAME, Column, Kind, spec_cell
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems
from tortie.resources.values import enum, name, or_empty


# Text, as the client library has it, or a boolean, as the schema has it.
@decoder(**{"x-kubernetes-preserve-unknown-fields": True})
def _deleted(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = node.value if isinstance(node, Scalar) else None
    if value is True or value == "true":
        message, remedy = 'spec.Deleted cannot be set to "true"', "delete the resource instead"
        problems.add("TT1338", node, path, message, remedy=remedy)
        return BAD
    return ABSENT if value is False else enum("true", "false", may_be_empty=True)(node, path, problems) and ABSENT


KIND = Kind(
    name="BlockAffinity",
    plural="blockaffinities",
    doc="Which node a block of addresses belongs to.",
    aliases=("blockaffinity", "affinity", "affinities"),
    short_names=("affinity", "affinities"),
    fields={
        "state": Field(
            enum("confirmed", "pending", "pendingDeletion", may_be_empty=True), "How far the claim of the block is."
        ),
        "node": Field(name, "The node, or the virtual host, that the block belongs to."),
        "type": Field(enum("host", "virtual"), "Whether it is a node, or a virtual host such as `load-balancer`."),
        "cidr": Field(or_empty(net(strict=True, may_be_address=False)), "The block."),
        "deleted": Field(_deleted, "Whether it is going away; only address management says so."),
    },
    lower=None,
    read_only="it is managed by IP address management",
    columns=(NAME, Column("NODE", spec_cell("node")), Column("CIDR", spec_cell("cidr"))),
    wide=(
        NAME,
        Column("NODE", spec_cell("node")),
        Column("CIDR", spec_cell("cidr")),
        Column("TYPE", spec_cell("type")),
        Column("STATE", spec_cell("state")),
    ),
)
