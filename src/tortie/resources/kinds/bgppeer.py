"""BGPPeer: whom nodes exchange routes with. Source: reference resources.md section 8.17."""

import re
from collections.abc import Iterator

from tortie.model.address import InvalidAddress, parse_address
from tortie.resources.addresses import address
from tortie.resources.bgp import as_number, secret
from tortie.resources.fields import BAD, Field, Json, Missing, Scope, decoder, describe, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, Misfit, Resource, Written, spec_cell, spec_law
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems
from tortie.resources.values import duration, enum, flag, integer, name, optional_text, or_empty, selector

_WITH_PORT = r"(?:\[(?P<six>[^\]]*:[^\]]*)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})\Z"


def _address_in(text: str) -> tuple[int, int]:
    """IP version and integer of the address in `address`, `v4:port` or `[v6]:port`. Raises: InvalidAddress."""
    found = re.match(_WITH_PORT, text)
    if found is None:
        return parse_address(text)
    if not 1 <= int(found["port"]) <= 65535:
        raise InvalidAddress(f"{text!r} has no port from 1 to 65535")
    return parse_address(found["six"] or found["four"])


@decoder(type="string")
def _peer(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = optional_text(node, path, problems)
    if not isinstance(value, str):
        return value
    try:
        _address_in(value)
    except InvalidAddress:
        expected = "an address, or one with a port: 10.0.0.1:179, [fd00::1]:179"
        problems.add("TT1106", node, path, "invalid peer address", found=describe(node), expected=expected)
        return BAD
    return value


_CONFLICTS = (
    ("node", "nodeSelector", "node and nodeSelector cannot both be set"),
    ("peerIP", "peerSelector", "peerIP and peerSelector cannot both be set"),
    ("asNumber", "peerSelector", "asNumber must be empty when peerSelector is set"),
    ("peerIP", "localWorkloadSelector", "peerIP must be empty when localWorkloadSelector is set"),
    ("peerSelector", "localWorkloadSelector", "peerSelector must be empty when localWorkloadSelector is set"),
    ("keepOriginalNextHop", "nextHopMode", "nextHopMode cannot be set while keepOriginalNextHop is true"),
)
"""Pairs of fields of which one has to go: the first of them is the one that is named."""

_NEEDS_PEER = "reachableBy must be empty when peerIP is empty"
_NEEDS_NUMBER = "asNumber must be set when localWorkloadSelector is set"


def _is_given(key: str) -> str:
    zero = {"asNumber": "0", "keepOriginalNextHop": "false"}.get(key, "''")
    return f"(has(spec.{key}) && spec.{key} != {zero})"


def _complete(draft: Draft) -> None:
    spec, scope = draft.spec, Scope(draft.spec_node, "spec", draft.problems)
    if spec.get("asNumber") == 0:
        del spec["asNumber"]
    for one, other, message in _CONFLICTS:
        if one in spec and other in spec:
            scope.report("TT1333", (one,), message, remedy=f"remove one of {one} and {other}")
    if "localWorkloadSelector" in spec and "asNumber" not in spec and not scope.concern("asNumber"):
        scope.report("TT1333", ("localWorkloadSelector",), _NEEDS_NUMBER, remedy="add asNumber:")
    reachable, peer = spec.get("reachableBy"), spec.get("peerIP")
    if not isinstance(reachable, str) or scope.concern("peerIP"):
        return
    if not isinstance(peer, str):
        scope.report("TT1333", ("reachableBy",), _NEEDS_PEER, remedy="remove it, or add peerIP")
    elif parse_address(reachable)[0] != _address_in(peer)[0]:
        message = "ReachableBy and PeerIP address family mismatched"
        scope.report("TT1333", ("reachableBy",), message, remedy="use addresses of one IP version")


def _check_written(written: Written) -> Iterator[Misfit]:
    filters = written.resource.spec.get("filters")
    known = {each.name for each in written.others["BGPFilter"]}
    for index, wanted in enumerate(filters if isinstance(filters, list) else ()):
        if wanted not in known:
            remedy = "create it first or in the same apply"
            yield Misfit("TT1339", f"spec.filters[{index}]", f"BGPFilter {wanted!r} not found", remedy)


def _node_cell(resource: Resource) -> str:
    return spec_cell("node")(resource) or spec_cell("nodeSelector")(resource) or "(global)"


_COLUMNS = (
    NAME,
    Column("PEERIP", spec_cell("peerIP")),
    Column("NODE", _node_cell),
    Column("ASN", spec_cell("asNumber", missing="0")),
)
KIND = Kind(
    name="BGPPeer",
    plural="bgppeers",
    doc="Whom nodes exchange routes with.",
    aliases=("bgppeer", "bgpp", "bgpps", "bp", "bps"),
    fields={
        "node": Field(name, "The one node that has this peer. Without it and `nodeSelector`, every node has it."),
        "nodeSelector": Field(selector(), "The nodes that have this peer."),
        "peerIP": Field(_peer, "The peer's address, or address and port."),
        "asNumber": Field(as_number, "The peer's autonomous system."),
        "localASNumber": Field(as_number, "The autonomous system that the node takes part as with this peer."),
        "peerSelector": Field(selector(), "The nodes that are the peers, instead of an address."),
        "localWorkloadSelector": Field(selector(), "The node's own workloads that are the peers."),
        "keepOriginalNextHop": Field(
            flag, "Whether routes keep the next hop that they came with; `nextHopMode: Keep` takes its place."
        ),
        "nextHopMode": Field(enum("Auto", "Self", "Keep"), "Which next hop routes are sent with."),
        "password": Field(secret, "The password of the session."),
        "sourceAddress": Field(
            enum("UseNodeIP", "None", may_be_empty=True),
            "Whether sessions begin at the node's address, or where the kernel chooses.",
            default="UseNodeIP",
        ),
        "maxRestartTime": Field(duration(), "How long routes of a peer that restarts are kept."),
        "keepaliveTime": Field(duration(), "How often the session is kept alive."),
        "numAllowedLocalASNumbers": Field(
            integer(-(2**31), 2**31 - 1), "How often a route's path may hold the own autonomous system."
        ),
        "ttlSecurity": Field(integer(0, 255), "How many hops away the peer may be; 0: the check is off."),
        "reachableBy": Field(or_empty(address), "The gateway that leads to the peer."),
        "filters": Field(list_of(name), "BGPFilters that routes from and to the peer pass, in this order."),
        "reversePeering": Field(
            enum("Auto", "Manual"),
            "Whether peers that are nodes get the session's other side by themselves.",
            default="Auto",
        ),
    },
    complete=_complete,
    check_written=_check_written,
    looks_at=("BGPFilter",),
    laws=(
        *(spec_law(f"!({_is_given(one)} && {_is_given(other)})", message) for one, other, message in _CONFLICTS),
        spec_law(f"!{_is_given('reachableBy')} || {_is_given('peerIP')}", _NEEDS_PEER),
        spec_law(f"!{_is_given('localWorkloadSelector')} || {_is_given('asNumber')}", _NEEDS_NUMBER),
    ),
    lower=None,
    columns=_COLUMNS,
    wide=_COLUMNS,
)
