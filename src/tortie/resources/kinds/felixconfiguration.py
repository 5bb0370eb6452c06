"""FelixConfiguration: settings of the agents.

What tortie acts on are the failsafe ports and the interface lists; an annotation `config.projectcalico.org/<Parameter>`
overrides their fields, as upstream.
Source: reference config.md.
"""

import re
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
from tortie.resources.nodes import Mapping
from tortie.resources.problems import shorten

_PORTED = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_OVERRIDE = "config.projectcalico.org/"
_FAILSAFE_PARAMETERS = {
    "failsafeinboundhostports": "failsafeInboundHostPorts",
    "failsafeoutboundhostports": "failsafeOutboundHostPorts",
}
_LIST_PARAMETERS = {"interfaceprefix": "interfacePrefix", "interfaceexclude": "interfaceExclude"}
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
            _read_override(key, str(value))
        except Meaningless as error:
            node = draft.metadata_node
            at = (node.get("annotations") if isinstance(node, Mapping) else None) or node
            path = join("metadata.annotations", key)
            message, expected = f"invalid failsafe ports: {error}", "tcp:22,udp:10.0.0.0/8:53"
            draft.problems.add("TT1114", at, path, message, expected=expected, remedy="use the field of spec instead")
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


def _read_override(key: str, value: str) -> tuple[str, tuple[FailsafePort, ...] | tuple[str, ...]] | None:
    """The field that an annotation overrides, and its value; None where it overrides nothing that tortie acts on."""
    parameter = key[len(_OVERRIDE) :].lower() if key.startswith(_OVERRIDE) else ""
    if not value.strip():
        return None
    items = [] if value.strip().lower() == "none" else [item.strip() for item in value.split(",") if item.strip()]
    if parameter in _LIST_PARAMETERS:
        return _LIST_PARAMETERS[parameter], tuple(items)
    if parameter in _FAILSAFE_PARAMETERS:
        return _FAILSAFE_PARAMETERS[parameter], tuple(_read_failsafe(item) for item in items)
    return None


def _read_failsafe(item: str) -> FailsafePort:
    found = _ENTRY.match(item)
    protocol = _PORTED.get((found["protocol"] or "tcp").upper()) if found else None
    if found is None or protocol is None or int(found["port"]) > 65535:
        raise Meaningless(f"{shorten(item)!r} is no failsafe port")
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
    inbound = _lower_failsafes(shape.failsafe_inbound_host_ports)
    outbound = _lower_failsafes(shape.failsafe_outbound_host_ports)
    prefixes, exclude = _split(shape.interface_prefix), _split(shape.interface_exclude)
    metadata = msgspec.convert(resource.body["metadata"], _Overrides)
    for key, value in metadata.annotations.items():
        match _read_override(key, value):
            case ("failsafeInboundHostPorts", ports):
                inbound = _ports_of(ports)
            case ("failsafeOutboundHostPorts", ports):
                outbound = _ports_of(ports)
            case ("interfacePrefix", names):
                prefixes = tuple(map(str, names)) or prefixes  # `none` is not allowed there
            case ("interfaceExclude", names):
                exclude = tuple(map(str, names))
            case _:
                pass
    return FelixSettings(
        name=resource.name,
        node_selector=parse_selector(shape.node_selector) if shape.node_selector else None,
        failsafe_inbound=inbound,
        failsafe_outbound=outbound,
        interface_prefixes=prefixes,
        interface_exclude=exclude,
    )


def _ports_of(items: tuple[FailsafePort, ...] | tuple[str, ...]) -> tuple[FailsafePort, ...]:
    return tuple(item for item in items if isinstance(item, FailsafePort))


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
