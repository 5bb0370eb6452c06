"""Takes connections out of nf_conntrack, so that their next packets are first ones again."""

import errno
import socket
import struct
from collections.abc import Sequence

from tortie.kernel.ctnetlink import ConntrackEntry, ConntrackTuple
from tortie.kernel.errors import KernelError
from tortie.kernel.messages import HEADER, NESTED, attribute, codes, nested

DOOR = "ctnetlink"
_TIMEOUT_S = 10
# Source: linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nfnetlink_conntrack.h.
_NETLINK_NETFILTER, _SUBSYSTEM, _CT_DELETE = 12, 1 << 8, 2
_NLM_F_REQUEST, _NLM_F_ACK = 0x1, 0x4
_TUPLE_ORIGINAL, _TUPLE_IP, _TUPLE_PROTO, _ZONE = 1, 1, 2, 18
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ADDRESSES = {4: (1, 2, 4), 6: (3, 4, 16)}
"""Attributes of source and destination, and their bytes."""
_ICMP = {4: (4, 5, 6), 6: (7, 8, 9)}
"""Attributes of identifier, type and code."""
_BATCH = 100
"""Answers of one batch fit into a socket's buffer."""


def forget(entries: Sequence[ConntrackEntry]) -> int:
    """Take the entries out; how many were still there. Of the calling thread's network namespace.

    Raises: KernelError; some may be gone then.
    """
    bodies = (nested(_TUPLE_ORIGINAL, tuple_of(entry.original)) for entry in entries)
    messages = [
        message(_CT_DELETE, entry, body, number)
        for number, (entry, body) in enumerate(zip(entries, bodies, strict=True))
    ]
    return exchange("delete connections", messages, tolerated=(errno.ENOENT,))


# ---- what every change of nf_conntrack is made of


def exchange(thing: str, messages: Sequence[bytes], *, tolerated: Sequence[int]) -> int:
    """Send the messages and wait for their acknowledgements; how many were carried out.

    Raises: KernelError for an error that is not tolerated; messages before it were carried out then.
    """
    done = 0
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asked:
            asked.bind((0, 0))
            asked.settimeout(_TIMEOUT_S)
            for start in range(0, len(messages), _BATCH):
                batch = messages[start : start + _BATCH]
                asked.sendto(b"".join(batch), (0, 0))
                left = len(batch)
                while left:
                    for _, code in codes(DOOR, thing, asked.recv(1 << 16)):
                        left -= 1
                        done += not code
                        if code and code not in tolerated:
                            raise KernelError(DOOR, thing, code)
    except TimeoutError as error:
        raise KernelError(DOOR, thing, errno.ETIMEDOUT) from error
    except OSError as error:
        raise KernelError(DOOR, thing, error.errno or 0) from error
    return done


def message(kind: int, entry: ConntrackEntry, attributes: bytes, number: int, *, flags: int = 0) -> bytes:
    """A request about the entry, which asks to be acknowledged."""
    body = bytes((_FAMILIES[entry.original.version], 0, 0, 0)) + attributes
    if entry.zone:
        body += attribute(_ZONE, struct.pack(">H", entry.zone))
    flags |= _NLM_F_REQUEST | _NLM_F_ACK
    return HEADER.pack(HEADER.size + len(body), _SUBSYSTEM | kind, flags, number, 0) + body


def tuple_of(one: ConntrackTuple) -> bytes:
    """The attributes of a tuple."""
    if one.source_port is not None and one.destination_port is not None:
        return _with_ports(one, one.source_port, one.destination_port)
    source, destination, width = _ADDRESSES[one.version]
    ip = attribute(source, one.source.to_bytes(width)) + attribute(destination, one.destination.to_bytes(width))
    protocol = attribute(_NUMBER, bytes((one.protocol,)))
    if one.icmp_id is not None and one.icmp_type is not None and one.icmp_code is not None:
        identity, kind, code = _ICMP[one.version]
        protocol += attribute(identity, struct.pack(">H", one.icmp_id))
        protocol += attribute(kind, bytes((one.icmp_type,))) + attribute(code, bytes((one.icmp_code,)))
    return nested(_TUPLE_IP, ip) + nested(_TUPLE_PROTO, protocol)


_PORTED = {
    version: struct.Struct(f"=HH HH{width}s HH{width}s HH HHB3x HH2s2x HH2s2x")
    for version, (_, _, width) in _ADDRESSES.items()
}


def _with_ports(one: ConntrackTuple, source_port: int, destination_port: int) -> bytes:
    """The attributes of a tuple that has ports. Because: it is what there are thousands of, and one piece is made ten
    times as fast as its seven attributes."""
    source, destination, width = _ADDRESSES[one.version]
    return _PORTED[one.version].pack(
        *(4 + 2 * (4 + width), _TUPLE_IP | NESTED),
        *(4 + width, source, one.source.to_bytes(width)),
        *(4 + width, destination, one.destination.to_bytes(width)),
        *(4 + 3 * 8, _TUPLE_PROTO | NESTED),
        *(5, _NUMBER, one.protocol),
        *(6, _SOURCE_PORT, source_port.to_bytes(2)),
        *(6, _DESTINATION_PORT, destination_port.to_bytes(2)),
    )
