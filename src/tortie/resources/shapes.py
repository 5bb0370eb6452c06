"""The stored shape of rules and entities as typed values: what checks and lowering read.

`msgspec` converts canonical JSON to these in C and refuses what has another shape or an unknown field, so that a
document of a newer version is never enforced without the part that this one does not know.
"""

from typing import Literal

import msgspec


class ServiceAccountsShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`serviceAccounts`."""

    names: tuple[str, ...] = ()
    selector: str = ""


class ServicesShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`services`."""

    name: str = ""
    namespace: str = ""


class EntityShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`source` or `destination`."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = ()
    selector: str = ""
    not_selector: str = ""
    namespace_selector: str = ""
    service_accounts: ServiceAccountsShape | None = None
    services: ServicesShape | None = None
    ports: tuple[int | str, ...] = ()
    not_ports: tuple[int | str, ...] = ()


class IcmpShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`icmp` or `notICMP`."""

    type: int | None = None
    code: int | None = None


class PathShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of `http.paths`."""

    exact: str | None = None
    prefix: str | None = None


class HttpShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`http`."""

    methods: tuple[str, ...] = ()
    paths: tuple[PathShape, ...] = ()


class RuleMetadataShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`metadata` of a rule."""

    annotations: dict[str, str] = {}


class RuleShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A rule of a policy or profile."""

    action: Literal["Allow", "Deny", "Log", "Pass"]
    ip_version: Literal[4, 6] | None = msgspec.field(name="ipVersion", default=None)
    protocol: int | str | None = None
    not_protocol: int | str | None = None
    icmp: IcmpShape | None = None
    not_icmp: IcmpShape | None = msgspec.field(name="notICMP", default=None)
    source: EntityShape = EntityShape()
    destination: EntityShape = EntityShape()
    http: HttpShape | None = None
    metadata: RuleMetadataShape | None = None
