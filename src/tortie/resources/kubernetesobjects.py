"""What the read-only models of Kubernetes' own kinds share.

They have the fields that policy needs, read as strictly as ours, and pass over the hundreds of others: Kubernetes has
judged those already, and a new version of it may have more.
"""

from tortie.resources.addresses import address
from tortie.resources.fields import Decoder, Field, Fields, object_of
from tortie.resources.values import enum, integer, or_empty

READ_ONLY = "it is managed through the Kubernetes API"
V1 = "v1"
protocol = Field(enum("TCP", "UDP", "SCTP"), "The port's protocol.", default="TCP")


def open_object(fields: Fields) -> Decoder:
    """Decoder of an object of which these fields are read."""
    return object_of(fields, is_open=True)


node_port = Field(integer(0, 65535), "The port of every node that leads to it; 0: none.")
host_address = or_empty(address)
"""Decoder of an address; empty text counts as absent."""
