"""FelixConfiguration: settings of the agents.

What tortie acts on are the failsafe ports, the interface lists, connection tracking and `xdpEnabled`; an annotation
`config.projectcalico.org/<Parameter>` overrides their fields, as upstream.
Source: reference config.md.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import msgspec

from tortie.model.address import InvalidAddress, parse_net
from tortie.model.failsafe import FailsafePort
from tortie.model.packet import SCTP, TCP, UDP
from tortie.model.selector import parse_selector
from tortie.model.settings import DEFAULT_NAME, NODE_PREFIX, FelixSettings
from tortie.resources.felix_fields import FELIX_FIELDS
from tortie.resources.fields import Scope, join
from tortie.resources.kind import NAME, Draft, Kind, Resource
from tortie.resources.lowering import Meaningless
from tortie.resources.nodes import Mapping as MappingNode
from tortie.resources.problems import shorten
from tortie.resources.values import AUTO, seconds

_PORTED = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_OVERRIDE = "config.projectcalico.org/"
_TIMEOUTS = {
    key.lower(): key
    for key in (
        "tcpSynSent",
        "tcpEstablished",
        "tcpFinsSeen",
        "tcpResetSeen",
        "udpTimeout",
        "genericTimeout",
        "icmpTimeout",
    )
}
_TRUE, _FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f", "none")
_NUMBER = re.compile(r"-?(0x[0-9a-fA-F]{1,15}|0|[1-9][0-9]{0,15})\Z")
_ENTRY = re.compile(
    r"(?:(?P<protocol>[A-Za-z]+):)?(?:(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9./]+)):)?(?P<port>[0-9]{1,5})\Z"
)


def _complete(draft: Draft) -> None:
    spec, scope = draft.spec, Scope(draft.spec_node, "spec", draft.problems)
    if "nodeSelector" in spec and (draft.name == DEFAULT_NAME or draft.name.startswith(NODE_PREFIX)):
        message = "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration"
        scope.report("TT1319", ("nodeSelector",), message, remedy="remove it, or rename the object")
    if "routeTableRange" in spec and "routeTableRanges" in spec:
        message = "routeTableRange and routeTableRanges cannot both be set"
        scope.report("TT1319", ("routeTableRange",), message, remedy="remove routeTableRange")
    _check_route_tables(scope, draft)
    ranges = spec.get("kubeNodePortRanges")
    if isinstance(ranges, list) and any(isinstance(each, str) and ":" not in each for each in ranges):
        message = "node port ranges should not contain named ports"
        scope.report("TT1319", ("kubeNodePortRanges",), message, remedy="write numbers or first:last")
    annotations = draft.metadata.get("annotations")
    for key, value in annotations.items() if isinstance(annotations, dict) else ():
        try:
            _override(FelixSettings(name=draft.name), key, str(value))
        except Meaningless as error:
            node = draft.metadata_node
            at = (node.get("annotations") if isinstance(node, MappingNode) else None) or node
            path = join("metadata.annotations", key)
            draft.problems.add("TT1114", at, path, str(error), remedy="use the field of spec instead")
    spec.setdefault("nftablesMode", "Auto")
    spec.setdefault("nftablesFlowTableOffload", "Disabled")


def _check_route_tables(scope: Scope, draft: Draft) -> None:
    tables = 0
    many = draft.spec.get("routeTableRanges")
    one = draft.spec.get("routeTableRange")
    for key, ranges, last in (("routeTableRange", [one], 250), ("routeTableRanges", many, 2**32 - 1)):
        for each in ranges if isinstance(ranges, list) else ():
            low, high = (each.get("min"), each.get("max")) if isinstance(each, dict) else (None, None)
            if not isinstance(low, int) or not isinstance(high, int):
                continue
            tables += high - low + 1
            if low > high or high > last:
                message = f"must be a range of route table indices within 1..{last}"
                scope.report("TT1319", (key,), message, found=f"{low} to {high}", remedy="correct min and max")
    if tables > 65535:
        message, found = "targets too many tables", f"{tables} tables"
        scope.report("TT1319", ("routeTableRanges",), message, found=found, remedy="use at most 65535")


def _override(settings: FelixSettings, key: str, value: str) -> FelixSettings:
    """The settings with what an annotation says in place; as they are where it says nothing that tortie acts on.

    Raises: Meaningless.
    """
    parameter = key[len(_OVERRIDE) :].lower() if key.startswith(_OVERRIDE) else ""
    value = value.strip()
    if not value:
        return settings
    items = () if value.lower() == "none" else tuple(item.strip() for item in value.split(",") if item.strip())
    match parameter:
        case "failsafeinboundhostports":
            return replace(settings, failsafe_inbound=tuple(map(_read_failsafe, items)))
        case "failsafeoutboundhostports":
            return replace(settings, failsafe_outbound=tuple(map(_read_failsafe, items)))
        case "interfaceprefix":  # `none` is not allowed there
            return replace(settings, interface_prefixes=items or settings.interface_prefixes)
        case "interfaceexclude":
            return replace(settings, interface_exclude=items)
        case "disableconntrackinvalidcheck":
            return replace(settings, drops_invalid=not _read_switch(value))
        case "xdpenabled":
            return replace(settings, may_use_xdp=_read_switch(value))
        case "bpfmapsizeconntrack":
            return replace(settings, conntrack_size=_read_number(value))
        case "bpfconntracktimeouts":
            pairs = (item.partition("=") for item in items)
            return replace(settings, conntrack_timeouts=_read_timeouts({name: text for name, _, text in pairs}))
        case _:
            return settings


def _read_switch(value: str) -> bool:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise Meaningless(f"{shorten(value)!r} is neither true nor false")
    return value.lower() in _TRUE


def _read_number(value: str) -> int:
    if not _NUMBER.match(value):
        raise Meaningless(f"{shorten(value)!r} is no number")
    return int(value, 0)


def _read_timeouts(found: Mapping[str, object]) -> dict[str, float | None]:
    """The timeouts by the API's keys. What nobody can read counts as not said."""
    values: dict[str, float | None] = {}
    for name, text in found.items():
        key, length = _TIMEOUTS.get(name.lower()), seconds(text) if isinstance(text, str) else None
        if key is not None and (length is not None or text == AUTO):
            values[key] = length
    return values


def _read_failsafe(item: str) -> FailsafePort:
    found = _ENTRY.match(item)
    protocol = _PORTED.get((found["protocol"] or "tcp").upper()) if found else None
    if found is None or protocol is None or int(found["port"]) > 65535:
        raise Meaningless(f"{shorten(item)!r} is no failsafe port such as tcp:22 or udp:10.0.0.0/8:53")
    remote = found["six"] or found["four"]
    try:
        return FailsafePort(protocol, int(found["port"]), parse_net(remote, strict=False) if remote else None)
    except InvalidAddress as error:
        raise Meaningless(str(error)) from None


class _FailsafeShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    protocol: Literal["TCP", "UDP", "SCTP"]
    port: int
    net: str | None = None


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that tortie acts on; the others are kept in the document only."""

    node_selector: str = ""
    failsafe_inbound_host_ports: tuple[_FailsafeShape, ...] | None = None
    failsafe_outbound_host_ports: tuple[_FailsafeShape, ...] | None = None
    interface_prefix: str = ""
    interface_exclude: str = ""
    bpf_conntrack_timeouts: dict[str, object] = {}
    bpf_map_size_conntrack: int | None = None
    disable_conntrack_invalid_check: bool | None = None
    xdp_enabled: bool | None = None


def _lower_failsafes(ports: tuple[_FailsafeShape, ...] | None) -> tuple[FailsafePort, ...] | None:
    if ports is None:
        return None
    return tuple(
        FailsafePort(_PORTED[each.protocol], each.port, parse_net(each.net, strict=False) if each.net else None)
        for each in ports
    )


def _split(items: str) -> tuple[str, ...] | None:
    found = tuple(item.strip() for item in items.split(",") if item.strip())
    return found or None


class _Overrides(msgspec.Struct, frozen=True):
    annotations: dict[str, str] = {}


def _lower(resource: Resource) -> FelixSettings:
    shape = msgspec.convert(resource.spec, _Shape)
    disabled = shape.disable_conntrack_invalid_check
    settings = FelixSettings(
        name=resource.name,
        node_selector=parse_selector(shape.node_selector) if shape.node_selector else None,
        failsafe_inbound=_lower_failsafes(shape.failsafe_inbound_host_ports),
        failsafe_outbound=_lower_failsafes(shape.failsafe_outbound_host_ports),
        interface_prefixes=_split(shape.interface_prefix),
        interface_exclude=_split(shape.interface_exclude),
        conntrack_timeouts=_read_timeouts(shape.bpf_conntrack_timeouts) if shape.bpf_conntrack_timeouts else None,
        conntrack_size=shape.bpf_map_size_conntrack,
        drops_invalid=None if disabled is None else not disabled,
        may_use_xdp=shape.xdp_enabled,
    )
    metadata = msgspec.convert(resource.body["metadata"], _Overrides)
    for key, value in metadata.annotations.items():
        settings = _override(settings, key, value)
    return settings


KIND = Kind(
    name="FelixConfiguration",
    plural="felixconfigurations",
    aliases=("felixconfiguration", "felixconfig", "felixconfigs"),
    fields=FELIX_FIELDS,
    complete=_complete,
    lower=_lower,
    columns=(NAME,),
    wide=(NAME,),
)
