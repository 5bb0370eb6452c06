"""Failsafes of the untracked egress stage as nft sets, and the matches that look them up.

Local packets to an outbound failsafe port, and replies from an inbound one: in both the remote end is the destination.
Entries for everyone share one hash set for each port field; entries with a net have interval sets, one for each
protocol and family.
"""

from collections.abc import Iterator

from tortie.dataplane.nft_egress.sets import ADDRESS_TYPE, outermost, set_text
from tortie.model.address import Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED


def failsafe_sets(failsafes: Failsafes) -> list[str]:
    """The set declarations that `failsafe_matches` refers to."""
    declared: list[str] = []
    for port_field, entries in _legs(failsafes):
        open_to_all = _open_to_all(entries)
        if open_to_all:
            elements = [f"{protocol} . {port}" for protocol, port in open_to_all]
            declared.append(set_text(f"fs_{port_field}", "type inet_proto . inet_service;", elements))
        for protocol, version, members in _restricted(entries):
            kind = f"type inet_service . {ADDRESS_TYPE[version]}; flags interval;"
            elements = [f"{port} . {net}" for port, net in members]
            declared.append(set_text(f"fs_{port_field}_{protocol}_v{version}", kind, elements))
    return declared


def failsafe_matches(failsafes: Failsafes) -> list[str]:
    """nft matches of packets with ports that a failsafe protects."""
    matches: list[str] = []
    for port_field, entries in _legs(failsafes):
        if _open_to_all(entries):
            matches.append(f"meta l4proto . th {port_field} @fs_{port_field}")
        for protocol, version, _ in _restricted(entries):
            # The protocol is no part of the key: nft 1.0.6 swaps the bytes of `meta l4proto` in an interval set's
            # concatenation, so that the set never matches (a byteorder expression in `nft --debug=netlink`).
            address = {4: "ip daddr", 6: "ip6 daddr"}[version]
            name = f"fs_{port_field}_{protocol}_v{version}"
            matches.append(f"meta l4proto {protocol} th {port_field} . {address} @{name}")
    return matches


def _legs(failsafes: Failsafes) -> tuple[tuple[str, tuple[FailsafePort, ...]], ...]:
    return ("dport", failsafes.outbound), ("sport", failsafes.inbound)


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
