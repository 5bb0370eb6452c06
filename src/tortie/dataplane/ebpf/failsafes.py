"""Failsafe ports as the programs read them (bpf/include/tortie/failsafe.h). Pure."""

from __future__ import annotations

from array import array
from functools import lru_cache

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf._tables import lib
from tortie.model.address import WIDTH, Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED

MAX_FAILSAFE_NETS = 255
FAILSAFE_BLOCKS: int = lib.FAILSAFE_BLOCKS
"""Numbers of blocks in front of the blocks themselves."""
NET_BYTES = 64
"""Size of struct failsafe_net."""


@lru_cache(maxsize=2)
def failsafe_tables(failsafes: Failsafes) -> tuple[bytes, bytes]:
    """fs_ports and fs_nets (maps.h): a byte for each (list, protocol, port), in blocks, and the nets of the lists.

    Kept, because all generations of a host have the same ones, and each asks where they are, how many, and what.

    An entry for everyone makes the nets of the same port superfluous.
    """
    ports = bytearray(6 * 65536)
    nets: list[bytes] = []
    lists: dict[tuple[int, int, int], int] = {}
    for direction, entries in enumerate((failsafes.inbound, failsafes.outbound)):
        for entry in entries:
            if entry.net is None:
                ports[_place(direction, entry)] = 1
    for direction, entries in enumerate((failsafes.inbound, failsafes.outbound)):
        for entry in entries:
            place = _place(direction, entry)
            if entry.net is None or ports[place] == 1:
                continue
            key = (direction, entry.protocol, entry.port)
            number = lists.setdefault(key, len(lists) + 2)
            if number > 255 or len(nets) == MAX_FAILSAFE_NETS:
                raise Unsupported(f"more than {MAX_FAILSAFE_NETS} failsafe ports with nets; give fewer, wider nets")
            ports[place] = number
            nets.append(_net_record(number, entry.net))
    return _in_blocks(bytes(ports)), b"".join(nets)


def _in_blocks(ports: bytes) -> bytes:
    """The table of 256 ports each, every block once, as failsafe.h reads it: the first one has no port."""
    blocks = {bytes(256): 0}
    assert len(ports) == 256 * FAILSAFE_BLOCKS
    numbers = [blocks.setdefault(ports[at : at + 256], len(blocks)) for at in range(0, len(ports), 256)]
    return array("H", numbers).tobytes() + b"".join(blocks)


def _place(direction: int, entry: FailsafePort) -> int:
    return (direction * 3 + PORTED.index(entry.protocol)) << 16 | entry.port


def _net_record(number: int, net: Net) -> bytes:
    width = WIDTH[net.version]
    mask = ((1 << net.length) - 1) << (width - net.length)
    words = [number, net.version]
    for value in (net.address, mask):
        parts = [value >> (width - 32 - 32 * i) & 0xFFFFFFFF for i in range(width // 32)]
        words += parts + [0] * (4 - len(parts))
    return array("I", words).tobytes().ljust(NET_BYTES, b"\0")
