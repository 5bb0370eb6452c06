"""What an EndpointSlice means: addresses and ports behind a Service, for rules with `services`.

Source: reference resources.md section 6, `services`; Kubernetes' API reference of discovery.k8s.io/v1.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from tortie.model.address import WIDTH, InvalidAddress, Net, parse_address
from tortie.model.endpoint import ServiceSlice
from tortie.resources.kind import Resource
from tortie.resources.kinds.endpointslice import SERVICE_LABEL
from tortie.resources.values import protocol_number

_VERSIONS = {"IPv4": 4, "IPv6": 6}


class _Conditions(msgspec.Struct, frozen=True):
    """What says nothing of readiness is ready."""

    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...]
    conditions: _Conditions | None = None

    @property
    def is_ready(self) -> bool:
        return self.conditions is None or self.conditions.ready is not False


class _Port(msgspec.Struct, frozen=True):
    """Without a number it stands for every port, which no member of a set can say, so it gives none."""

    port: int | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_Port, ...] | None = None


def lower(resource: Resource) -> ServiceSlice | None:
    """The slice, with the addresses of the endpoints that take new connections.

    None for one of names instead of addresses, and for one that is no Service's. Raises: msgspec.ValidationError.
    """
    shape = msgspec.convert(resource.body, _Shape)
    version, service = _VERSIONS.get(shape.address_type), resource.labels.get(SERVICE_LABEL)
    if version is None or not service:
        return None
    texts = (text for one in shape.endpoints or () if one.is_ready for text in one.addresses)
    return ServiceSlice(
        namespace=resource.namespace,
        service=service,
        nets=frozenset(_hosts(texts, version)),
        ports=frozenset((protocol_number(one.protocol) or 0, one.port) for one in shape.ports or () if one.port),
    )


def _hosts(texts: Iterable[str], version: int) -> Iterator[Net]:
    """The addresses; what is none of that IP version has no place in a slice of it, and counts for nothing."""
    for text in texts:
        try:
            found, address = parse_address(text)
        except InvalidAddress:
            continue
        if found == version:
            yield Net(version, address, WIDTH[version])
