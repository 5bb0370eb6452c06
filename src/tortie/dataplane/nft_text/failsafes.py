"""Failsafe ports as nft sets, and the matches that look them up.

A stage asks one or two legs: a list of failsafe ports, the field that names the port, and the one of the remote end.
Entries for everyone share one hash set for each leg; entries with a net have interval sets, one for each protocol and
family.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tortie.dataplane.alternatives import outermost
from tortie.dataplane.nft_text.sets import ADDRESS_TYPE
from tortie.model.address import Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED, Direction


class Leg(NamedTuple):
    """Failsafe packets of one sort. Legs of one `name` share their sets, so they have the same entries."""

    name: str
    port_field: str
    address_field: str
    entries: tuple[FailsafePort, ...]


class FixedSet(NamedTuple):
    """A named nft set that settings make, with its elements as text."""

    name: str
    type_text: str
    elements: tuple[str, ...]


def opening_leg(failsafes: Failsafes, direction: Direction) -> Leg:
    """Packets to a failsafe port."""
    if direction is Direction.INGRESS:
        return Leg("failsafe_inbound", "dport", "saddr", failsafes.inbound)
    return Leg("failsafe_outbound", "dport", "daddr", failsafes.outbound)


def reply_leg(failsafes: Failsafes, direction: Direction) -> Leg:
    """Packets that come back from one."""
    if direction is Direction.INGRESS:
        return Leg("failsafe_outbound", "sport", "saddr", failsafes.outbound)
    return Leg("failsafe_inbound", "sport", "daddr", failsafes.inbound)


def failsafe_sets(legs: Iterable[Leg]) -> list[FixedSet]:
    """The sets that `failsafe_matches` of these legs refers to."""
    declared: dict[str, FixedSet] = {}
    for leg in legs:
        open_to_all = _open_to_all(leg.entries)
        if open_to_all:
            elements = tuple(f"{protocol} . {port}" for protocol, port in open_to_all)
            declared[leg.name] = FixedSet(leg.name, "type inet_proto . inet_service;", elements)
        for protocol, version, members in _restricted(leg.entries):
            name = _restricted_name(leg, protocol, version)
            kind = f"type inet_service . {ADDRESS_TYPE[version]}; flags interval;"
            declared[name] = FixedSet(name, kind, tuple(f"{port} . {net}" for port, net in members))
    return list(declared.values())


def failsafe_matches(legs: Iterable[Leg]) -> list[str]:
    """nft matches of packets with ports that a failsafe protects."""
    matches: list[str] = []
    for leg in legs:
        if _open_to_all(leg.entries):
            matches.append(f"meta l4proto . th {leg.port_field} @{leg.name}")
        for protocol, version, _ in _restricted(leg.entries):
            # The protocol is no part of the key: nft 1.0.6 swaps the bytes of `meta l4proto` in an interval set's
            # concatenation, so that the set never matches (a byteorder expression in `nft --debug=netlink`).
            address = f"{'ip' if version == 4 else 'ip6'} {leg.address_field}"
            name = _restricted_name(leg, protocol, version)
            matches.append(f"meta l4proto {protocol} th {leg.port_field} . {address} @{name}")
    return matches


def _restricted_name(leg: Leg, protocol: int, version: int) -> str:
    return f"{leg.name}_{protocol}_v{version}"


def _open_to_all(entries: tuple[FailsafePort, ...]) -> list[tuple[int, int]]:
    return sorted({(e.protocol, e.port) for e in entries if e.net is None and e.protocol in PORTED})


def _restricted(entries: tuple[FailsafePort, ...]) -> Iterator[tuple[int, int, list[tuple[int, Net]]]]:
    """Protocol, family, and the (port, net) pairs without overlap, which interval sets refuse."""
    everyone = set(_open_to_all(entries))
    for protocol in PORTED:
        nets: dict[int, set[Net]] = {}
        for entry in entries:
            if entry.protocol == protocol and entry.net is not None and (protocol, entry.port) not in everyone:
                nets.setdefault(entry.port, set()).add(entry.net)
        for version in (4, 6):
            pairs = [
                (port, net)
                for port in sorted(nets)
                for net in outermost(net for net in nets[port] if net.version == version)
            ]
            if pairs:
                yield protocol, version, pairs
