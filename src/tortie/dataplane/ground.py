"""A network namespace of its own where packets meet rules, and what comes out behind all hooks.

    eth0 ──▶ ┌───────────────── ground ─────────────────┐
    eth1 ──▶ │ hooks of a driver ─▶ catcher: notes the   │
    ...      │ packet's number in a set, and drops it    │
             └───────────────────────────────────────────┘

Packets are written to tun devices that are called like the interfaces of the host that is tried, or sent by raw sockets
bound to one. What gets through meets the catcher, which notes the number that the packet carries in its header (IPv4's
identification, IPv6's flow label) in one of two sets: tracked or not. The catcher drops it, so that no connection is
ever confirmed. Answers to denials are counted where they are made. Raises everywhere: KernelError.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack, unpack
from typing import NamedTuple

from tortie.dataplane.frames import ETHERNET_BYTES, frame
from tortie.kernel import injection, nft, sysctl
from tortie.kernel.netlink import configure
from tortie.kernel.netns import fresh
from tortie.model.address import format_address
from tortie.model.packet import ICMP, ICMPV6, TCP, UDP, Packet
from tortie.model.passage import Way

MOST = 65_535
"""Packets at a time: IPv4's identification tells as many apart."""
_FAMILY, _TABLE, _ANSWERS = "inet", "tortie-catcher", "answers"
_SETS = {(4, True): "tracked4", (4, False): "untracked4", (6, True): "tracked6", (6, False): "untracked6"}
_NUMBER = {4: "ip id", 6: "ip6 flowlabel"}
_SENT = 1
"""Mark of what raw sockets send: no driver looks at this bit, and answers do not have it."""
_CHECKSUM_OFFSET = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_OWN = {4: "192.0.0.8/32", 6: "100::1/128"}
"""Answers come from somewhere. Source: RFC 7600 section 4.8, RFC 6666."""


def _catcher() -> str:
    sets = [
        f"set {name} {{ typeof {_NUMBER[version]}; size {MOST + 1}; flags dynamic; }}"
        for (version, _), name in _SETS.items()
    ]
    notes = [
        f"{'ct state untracked ' * (not is_tracked)}add @{name} {{ {_NUMBER[version]} }} drop"
        for (version, is_tracked), name in sorted(_SETS.items(), key=lambda item: item[0][1])
    ]
    answers = [
        f"meta mark & {_SENT} == 0 {what} counter name {_ANSWERS}"
        for what in ("tcp flags & rst != 0", "icmp type destination-unreachable", "icmpv6 type destination-unreachable")
    ]
    chains = {
        "note": notes,
        "input": ["type filter hook input priority 300", "iifname != lo goto note"],
        "postrouting": ["type filter hook postrouting priority 300", "oifname != lo goto note"],
        "output": ["type filter hook output priority -500", *answers, f"meta mark & {_SENT} == 0 drop"],
    }
    listed = "".join(f"chain {name} {{\n" + "\n".join(lines) + "\n}\n" for name, lines in chains.items())
    return f"table {_FAMILY} {_TABLE} {{\ncounter {_ANSWERS} {{ }}\n" + "\n".join(sets) + f"\n{listed}}}\n"


class Outcome(NamedTuple):
    """What came of packets: by IP version and number whether it is tracked, of those that got through; answers."""

    through: dict[tuple[int, int], bool]
    answers: int


class Ground:
    """See the module; made by `ground`, in whose block everything is done."""

    def __init__(self, interfaces: Sequence[str], ways: Iterable[Way]) -> None:
        self._names = tuple(interfaces)
        self._tuns = {name: injection.open_tun(name) for name in self._names}
        self._senders = {
            (version, name): injection.open_sender(version, name, _SENT) for version in (4, 6) for name in self._names
        }
        self._led: dict[str, Way] = {}
        self._answers = 0
        nft.run(_catcher())
        self._set_up()
        arriving = [way for way in dict.fromkeys(ways) if way.arrives is not None]
        self._places = {way: 1000 + number for number, way in enumerate(arriving)}
        for version, everywhere in _EVERYWHERE.items():
            configure(version, [*self._links(version), *self._routes(everywhere)])

    def _set_up(self) -> None:
        for value, *parts in (
            (0, "netfilter", "nf_conntrack_checksum"),  # not all protocols' are computed here
            (1, "netfilter", "nf_conntrack_tcp_be_liberal"),
            (1, "ipv4", "ip_forward"),
            (0, "ipv4", "icmp_ratemask"),
            (1, "ipv6", "conf", "all", "forwarding"),
            (0, "ipv6", "icmp", "ratelimit"),
        ):
            sysctl.write_integer(int(value), "net", *map(str, parts))
        for name in ("all", *self._names):
            sysctl.write_integer(1, "net", "ipv4", "conf", name, "accept_local")
            sysctl.write_integer(0, "net", "ipv4", "conf", name, "rp_filter")
        for name in self._names:
            sysctl.write_integer(1, "net", "ipv6", "conf", name, "addr_gen_mode")  # no traffic of its own

    def _links(self, version: int) -> Iterator[str]:
        if version == 4:
            yield from (f"link set {name} up" for name in ("lo", *self._names))
        yield f"address add {_OWN[version]} dev lo"

    def _routes(self, everywhere: str) -> Iterator[str]:
        for number, name in enumerate(self._names):
            yield f"route add {everywhere} dev {name} metric {number + 1}"
        for way, table in self._places.items():
            where = f"{everywhere} dev {way.leaves}" if way.leaves is not None else f"local {everywhere} dev lo"
            yield f"route add {where} table {table}"

    def close(self) -> None:
        """Close devices and sockets."""
        for descriptor in self._tuns.values():
            os.close(descriptor)
        for one in self._senders.values():
            one.close()

    def lead(self, way: Way) -> None:
        """Have what arrives where the way begins take that way."""
        if way.arrives is None or self._led.get(way.arrives) == way:
            return
        before = self._led.get(way.arrives)
        gone = [f"rule del iif {way.arrives} lookup {self._places[before]}"] if before is not None else []
        for version in _EVERYWHERE:
            configure(version, [*gone, f"rule add iif {way.arrives} lookup {self._places[way]}"])
        self._led[way.arrives] = way

    def send(self, way: Way, packet: Packet, number: int) -> None:
        """Have the packet arrive, or leave, as that way says; it carries the number."""
        data = _numbered(packet, number)
        if way.arrives is not None:
            injection.deliver(self._tuns[way.arrives], data)
        elif way.leaves is not None:
            to = format_address(packet.version, packet.destination)
            injection.send(self._senders[packet.version, way.leaves], to, data)

    def outcome(self) -> Outcome:
        """What came of the packets since the last call."""
        listing = nft.list_table(_FAMILY, _TABLE, terse=False)
        entries = listing["nftables"] if listing is not None else []
        members = {entry["set"]["name"]: entry["set"].get("elem", ()) for entry in entries if "set" in entry}
        (total,) = (entry["counter"]["packets"] for entry in entries if "counter" in entry)
        if any(members.values()):
            nft.run("".join(f"flush set {_FAMILY} {_TABLE} {name}\n" for name in members))
        answers, self._answers = total - self._answers, total
        through = {
            (version, number): is_tracked for (version, is_tracked), name in _SETS.items() for number in members[name]
        }
        return Outcome(through, answers)


@contextmanager
def ground(interfaces: Sequence[str], ways: Iterable[Way]) -> Iterator[Ground]:
    """A block in a network namespace that has these interfaces; other threads stay where they are."""
    with fresh():
        made = Ground(interfaces, ways)
        try:
            yield made
        finally:
            made.close()


def _numbered(packet: Packet, number: int) -> bytes:
    """The packet's bytes from its IP header on, carrying the number, with checksums.

    Because: what has a wrong one is not answered. Source: linux/net/ipv4/netfilter/nf_reject_ipv4.c.
    """
    raw = bytearray(frame(packet)[ETHERNET_BYTES:])
    if packet.version == 4:
        raw[4:6] = pack("!H", number)
        raw[10:12] = _checksum(raw[:20])
        ends, start = raw[12:20], 20
    else:
        raw[0:4] = pack("!I", 6 << 28 | number)
        ends, start = raw[8:40], 40
    if packet.protocol in _CHECKSUM_OFFSET:
        at = start + _CHECKSUM_OFFSET[packet.protocol]
        pseudo = b"" if packet.protocol == ICMP else ends + pack("!II", len(raw) - start, packet.protocol)
        raw[at : at + 2] = _checksum(pseudo + raw[start:])
    return bytes(raw)


def _checksum(data: bytes | bytearray) -> bytes:
    """Source: RFC 1071."""
    total = sum(unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return pack("!H", ~total & 0xFFFF)
