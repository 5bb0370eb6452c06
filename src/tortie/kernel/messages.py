"""Pieces of netlink messages: attributes, written and read, and what the kernel answers to requests that change
something. Who asks for lists has `dump`.

Source: linux/netlink.h, struct nlmsghdr, nlattr and nlmsgerr.
"""

import errno
import struct
from collections.abc import Iterator

from tortie.kernel.errors import KernelError

HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number, port id."""
NESTED = 0x8000  # NLA_F_NESTED
_TYPE = 0x3FFF  # NLA_TYPE_MASK
_ATTRIBUTE = struct.Struct("=HH")
ERROR = 2  # NLMSG_ERROR
CODE = struct.Struct("=i")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, attributes)


def text(kind: int, value: str) -> bytes:
    """An attribute that holds text, with the zero behind it."""
    return attribute(kind, value.encode() + b"\0")


def attributes(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The kinds of attributes, and what they hold. Raises: ValueError, struct.error."""
    offset = 0
    while offset < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not 4 <= length <= len(body) - offset:
            raise ValueError(f"an attribute of {length} bytes")
        yield kind & _TYPE, body[offset + 4 : offset + length]
        offset += length + 3 & ~3


def codes(door: str, thing: str, answer: bytes) -> Iterator[tuple[int, int]]:
    """The sequence number that each acknowledgement is for, and its error number; 0 for success.

    Raises: KernelError, EBADMSG, in the name of that door.
    """
    offset = 0
    while offset < len(answer):
        left = len(answer) - offset
        length, kind, _, number, _ = HEADER.unpack_from(answer, offset) if left >= HEADER.size else (left, 0, 0, 0, 0)
        if not HEADER.size + CODE.size <= length <= left:
            raise KernelError(door, thing, errno.EBADMSG, f"a message of {length} bytes")
        if kind == ERROR:
            yield number, -CODE.unpack_from(answer, offset + HEADER.size)[0]
        offset += length + 3 & ~3
