"""What the ports of endpoints mean: names that rules can refer to."""

from typing import Literal

import msgspec

from tortie.model.endpoint import NamedPort
from tortie.resources.values import protocol_number


class PortShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of `ports`. Without a name no rule can refer to it."""

    protocol: Literal["TCP", "UDP", "SCTP", 6, 17, 132]
    port: int
    name: str = ""
    host_port: int = 0
    host_ip: str = msgspec.field(name="hostIP", default="")


def named_ports(shapes: tuple[PortShape, ...]) -> tuple[NamedPort, ...]:
    """The ports that rules can refer to."""
    return tuple(NamedPort(each.name, protocol_number(each.protocol) or 0, each.port) for each in shapes if each.name)
