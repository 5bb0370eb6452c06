"""Log events as the programs write them -> packets. The layout is read from the objects: nothing is kept in sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf
from tortie.model.address import WIDTH
from tortie.model.packet import ICMP, ICMPV6, PORTED, Fragment, Packet


class Event(NamedTuple):
    """A packet that met a Log rule, the counter it fell under, the pages whose counter that is, and the lane."""

    packet: Packet
    counter: int
    pages_id: int
    lane: int


class _Layout(NamedTuple):
    fields: Mapping[str, tuple[int, int]]
    fragments: Mapping[int, Fragment]


@cache
def _layout() -> _Layout:
    with bpf.ObjectFile(OBJECTS / "xdp.bpf.o") as obj:
        fragments = {number: Fragment[name] for name, number in obj.enum("fragment").items()}
        return _Layout(obj.layout("log_event"), fragments)


def decode(record: bytes) -> Event:
    """The event that a record of the ring buffer is. Source: struct log_event in bpf/include/tortie/packet.h."""
    layout = _layout()

    def words(name: str) -> Sequence[int]:
        offset, size = layout.fields[name]
        return memoryview(record)[offset : offset + size].cast("I")

    def word(name: str) -> int:
        return words(name)[0]

    version, protocol, dport = word("packet.version"), word("packet.protocol"), word("packet.dport")
    fragment = layout.fragments[word("packet.fragment")]

    def address(name: str) -> int:
        return int.from_bytes(b"".join(part.to_bytes(4, "big") for part in words(name)[: WIDTH[version] // 32]), "big")

    has_ports = protocol in PORTED and fragment is not Fragment.LATER
    is_icmp = protocol in (ICMP, ICMPV6) and fragment is not Fragment.LATER
    packet = Packet(
        version=version,
        protocol=protocol,
        source=address("packet.source"),
        destination=address("packet.destination"),
        source_port=word("packet.sport") if has_ports else None,
        destination_port=dport if has_ports else None,
        icmp_type=dport >> 8 if is_icmp else None,
        icmp_code=dport & 255 if is_icmp else None,
        fragment=fragment,
    )
    return Event(packet, word("result"), word("generation"), word("lane"))
