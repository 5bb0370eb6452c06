"""Networks as records that the classifier's compiler reads (tables.h): those of rules, and members of sets. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from struct import Struct
from typing import NamedTuple

from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.address import Net
from tortie.model.ipset import AddressSet, IPSet, PortSet

_64 = (1 << 64) - 1


class Members(NamedTuple):
    """The addresses of an atom as records of tables.h: (address, length, 0) and (high, low, length, 0)."""

    nets4: bytes
    nets6: bytes


def records4(nets: Iterable[tuple[Net, int]]) -> bytes:
    """The IPv4 ones of the networks, each with the number of its atom."""
    return array("I", chain.from_iterable((n.address, n.length, atom) for n, atom in nets if n.version == 4)).tobytes()


def records6(nets: Iterable[tuple[Net, int]]) -> bytes:
    """The IPv6 ones."""
    fields = ((n.address >> 64, n.address & _64, n.length | atom << 32) for n, atom in nets if n.version == 6)
    return array("Q", chain.from_iterable(fields)).tobytes()


def members_of(atom: SetAtom, members: IPSet) -> Members:
    """The records of a set atom, in an order that depends on the members only."""
    if isinstance(members, AddressSet) and members.packed is not None:
        return Members(_packed4(members.packed.four), _packed6(members.packed.six))
    chosen: Iterable[Net] = members.members if isinstance(members, AddressSet) else ()
    if isinstance(members, PortSet):
        chosen = {
            Net(m.version, m.address, 32 if m.version == 4 else 128)
            for m in members.members
            if m.protocol == atom.protocol and atom.port in (None, m.port)
        }
    nets = [(net, 0) for net in sorted(chosen)]
    return Members(records4(nets), records6(nets))


def _packed4(keys: Sequence[int]) -> bytes:
    """Records of packed networks, which are in order: byte by byte of all of them, as no value is made for each."""
    data, records = array("Q", keys).tobytes(), bytearray(12 * len(keys))
    for place in range(4):
        records[place::12] = data[place + 1 :: 8]
    records[4::12] = data[0::8]
    return bytes(records)


def _packed6(keys: Sequence[int]) -> bytes:
    fields = ((key >> 72, key >> 8 & _64, key & 255) for key in keys)
    return array("Q", chain.from_iterable(fields)).tobytes()


FEW = 64
"""Members that are put into their places among those of a large set, instead of sorting all again."""


def members_after(known: AddressSet, records: Members, members: AddressSet) -> Members | None:
    """The records of those members, made from those of known ones; None where too many differ."""
    added, removed = members.members - known.members, known.members - members.members
    if len(added) + len(removed) > FEW:
        return None
    return Members(_moved(records.nets4, 4, added, removed), _moved(records.nets6, 6, added, removed))


def _moved(records: bytes, version: int, added: Iterable[Net], removed: Iterable[Net]) -> bytes:
    size, write, key = _RECORDS[version]
    found = bytearray(records)

    def place(net: Net) -> tuple[int, bytes]:
        """Where the record of the net is, or has to be, and the record."""
        record = write([(net, 0)])
        count = len(found) // size
        return size * bisect_left(range(count), key(record), key=lambda at: key(found, at * size)), record

    for net in removed:
        if net.version == version:
            at, _ = place(net)
            del found[at : at + size]
    for net in added:
        if net.version == version:
            at, record = place(net)
            found[at:at] = record
    return bytes(found)


_RECORDS = {
    4: (12, records4, Struct("=2I").unpack_from),
    6: (24, records6, Struct("=3Q").unpack_from),
}
"""By IP version: the size of a record, how it is written, and what records are sorted by."""
