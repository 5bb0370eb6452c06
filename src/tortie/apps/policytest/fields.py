"""The fields of a PolicyTest: how they are read and what they mean. What holds between them is in `document.py`."""

from tortie.apps.packets import FLAGS, PROTOCOLS
from tortie.model.address import InvalidAddress, parse_net
from tortie.resources.addresses import address, net
from tortie.resources.fields import BAD, Field, Json, Missing, decoder, describe, list_of, object_of, suggest
from tortie.resources.metadata import labels
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import (
    boolean,
    enum,
    integer,
    interface,
    name,
    optional_text,
    pattern,
    port_name,
    text,
)

MAX_PACKETS = 100_000
_FLAG_LETTERS = "letters of " + "".join(FLAGS) + ", such as SA for a SYN-ACK"


@decoder(type="string")
def interface_address(node: Node, path: str, problems: Problems) -> Json | Missing:
    """An address with the length of its network, whose host bits are kept."""
    value = text(node, path, problems)
    if not isinstance(value, str):
        return value
    try:
        parse_net(value, strict=False)
    except InvalidAddress as error:
        expected = "an address with a prefix length, such as 192.0.2.10/24"
        problems.add("TT1106", node, path, f"invalid address: {shorten(str(error), 120)}", expected=expected)
        return BAD
    return value


@decoder(**{"x-kubernetes-int-or-string": True})
def protocol(node: Node, path: str, problems: Problems) -> Json | Missing:
    """The number of a protocol, from its name in any case or itself."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return PROTOCOLS[value.lower()]
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 3:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255:
        return value
    hint = suggest(value, PROTOCOLS) if isinstance(value, str) and not problems.is_full else ""
    expected = f"{', '.join(PROTOCOLS)}, or 1 to 255"
    problems.add("TT1108", node, path, "protocol invalid", found=describe(node), expected=expected, remedy=hint)
    return BAD


_port = object_of(
    {
        "name": Field(port_name, "What rules call the port.", is_required=True),
        "protocol": Field(protocol, "TCP, UDP or SCTP.", is_required=True),
        "port": Field(integer(1, 65535), "Its number.", is_required=True),
    }
)
HOST = object_of(
    {
        "node": Field(name, "The host's name, as spec.node of its endpoints has it; else the one that they all name."),
        "interfaces": Field(
            list_of(
                object_of(
                    {
                        "name": Field(interface, "The interface's name.", is_required=True),
                        "addresses": Field(list_of(interface_address), "Its addresses with the length of their nets."),
                    }
                )
            ),
            "The host's interfaces; lo exists by itself.",
        ),
        "routes": Field(
            list_of(
                object_of(
                    {
                        "to": Field(net(strict=False, may_be_address=True), "The network.", is_required=True),
                        "via": Field(address, "The gateway; it tells the interface where dev does not."),
                        "dev": Field(interface, "The interface."),
                    }
                )
            ),
            "Routes beside those to the interfaces' own networks; they tell interfaces that packets do not name.",
        ),
        "forwarding": Field(boolean, "Whether the host passes on packets of others; false refuses tests of them."),
        "workloads": Field(
            list_of(
                object_of(
                    {
                        "name": Field(name, "The endpoint's name.", is_required=True),
                        "namespace": Field(name, "Its namespace.", default="default"),
                        "interface": Field(interface, "The host's end of its wire.", is_required=True),
                        "addresses": Field(list_of(address), "Its addresses."),
                        "labels": Field(labels, "Its labels; that of its namespace is added."),
                        "profiles": Field(list_of(name), "The profiles that it lists."),
                        "ports": Field(list_of(_port), "Its named ports."),
                    }
                )
            ),
            "Endpoints of workloads on this host.",
        ),
    }
)
PACKET = object_of(
    {
        "name": Field(text, "A word for people."),
        "direction": Field(
            enum("ingress", "egress", "forward"), "For a local process, from one, or passed on.", is_required=True
        ),
        "in": Field(interface, "Where it arrives; else where the way back to its source leads."),
        "out": Field(interface, "Where it leaves; else where the routes lead."),
        "proto": Field(protocol, "Name in any case, or number."),
        "src": Field(address, "The source address."),
        "sport": Field(integer(0, 65535), "The source port; 40000 where nobody says."),
        "dst": Field(address, "The destination address."),
        "dport": Field(integer(0, 65535), "The destination port."),
        "icmpType": Field(integer(0, 255), "The type of an ICMP message."),
        "icmpCode": Field(integer(0, 255), "Its code; 0 where nobody says."),
        "icmpId": Field(integer(0, 65535), "The identifier of requests and replies; 0 where nobody says."),
        "tcpFlags": Field(
            pattern("TT1116", lambda value: set(value.upper()) <= FLAGS.keys(), _FLAG_LETTERS),
            "TCP flags, letters of FSRPAU; S where nobody says.",
        ),
        "fragment": Field(
            enum("first", "later"),
            "Which piece of a packet it is: the first, or a later one, which shows neither ports nor an ICMP type and "
            "is a piece of the packet whose first one it `follows`.",
        ),
        "replyTo": Field(integer(0), "The number of an earlier packet, of whose flow this is one the other way."),
        "follows": Field(integer(0), "The number of an earlier packet, of whose flow this is one more."),
        "state": Field(
            enum("new", "established", "related", "invalid", ignore_case=True),
            "What it is to the connection table, whatever the earlier packets were.",
        ),
        "expect": Field(enum("allow", "deny", "reject"), "The verdict."),
        "tracked": Field(boolean, "Whether it is allowed as one of connection tracking's."),
        "rule": Field(optional_text, "What decides: `policy`, or `policy/number` with the rule's number from 0."),
    }
)
TEST = {
    "apiVersion": Field(enum("tortie.io/v1"), is_required=True),
    "kind": Field(enum("PolicyTest"), is_required=True),
    "metadata": Field(object_of({"name": Field(name, "A word for people."), "labels": Field(labels)})),
    "host": Field(HOST, "The host that the packets meet.", is_required=True),
    "files": Field(list_of(text), "Files and folders of resources, as seen from this file."),
    "packets": Field(list_of(PACKET, limit=MAX_PACKETS), "What is tried, in order.", is_required=True),
}
"""Of the whole document; `resources` beside them are documents of their own."""
