"""What the documents of endpoints have in common: the ports that rules can name, and how names are made.

Source: reference resources.md sections 8.7 and 8.8.
"""

from tortie.model.names import PORTED
from tortie.resources.fields import BAD, Json, Missing, decoder, describe
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems
from tortie.resources.values import protocol, protocol_number


@decoder(**protocol.schema)
def port_protocol(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A protocol that has ports."""
    value = protocol(node, path, problems)
    if isinstance(value, int | str) and protocol_number(value) not in PORTED:
        message, expected = "EndpointPort protocol does not support ports.", "TCP, UDP or SCTP"
        problems.add("TT1108", node, path, message, found=describe(node), expected=expected)
        return BAD
    return value


def workload_endpoint_name(node: str, orchestrator: str, identifier: str, endpoint: str) -> str:
    """The name of the WorkloadEndpoint that has these identifiers: joined by dashes, their own ones doubled."""
    return "-".join(each.replace("-", "--") for each in (node, orchestrator, identifier, endpoint))
