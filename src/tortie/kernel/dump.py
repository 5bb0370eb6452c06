"""What the kernel lists in answer to one netlink request: asked, read until it is complete, asked again if interrupted.

Which request and what an answer means is the caller's: this is `sockets` and `ctnetlink`'s way to a netlink socket.
What arrives is not trusted: a message of a wrong length is a KernelError, and no list takes longer than a deadline.
"""

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tortie.kernel.errors import KernelError
from tortie.kernel.messages import CODE, ERROR, HEADER

_Answer = TypeVar("_Answer")

_ATTEMPTS = 5
_TIMEOUT_S = 30
# The kernel fills at most 32 KiB for one answer. Source: linux/net/netlink/af_netlink.c, netlink_recvmsg.
_CHUNK_BYTES = 1 << 16
_SEQUENCE = 1
# Source: linux/netlink.h
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x4, 0x300, 0x10
_NLMSG_DONE, _NLMSG_OVERRUN = 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to list. `family`: of netlink; `kind`, `answer`: the types of the request's and the answers' messages.

    `door` and `thing` are for messages about what failed. `is_single`: there is one answer, and no list of them.
    """

    door: str
    thing: str
    family: int
    kind: int
    answer: int
    body: bytes
    is_single: bool = False


class Interrupted(Exception):
    """The kernel could not list everything as of one moment, or had more to tell than the socket holds."""


def read(request: Request, parse: Callable[[memoryview], _Answer | None]) -> list[_Answer]:
    """What `parse` makes of each answer's body, without None; of the calling thread's network namespace.

    `parse` gets a view that is good until it returns, and may raise struct.error, ValueError or LookupError for a body
    that is none.
    Raises: KernelError with the kernel's code, EBADMSG for what is malformed, EAGAIN if every attempt was interrupted.
    """
    return complete(request, lambda: _chunks(request), parse)


def complete(
    request: Request, ask: Callable[[], Iterable[memoryview]], parse: Callable[[memoryview], _Answer | None]
) -> list[_Answer]:
    """As `read`, of the chunks that each call of `ask` begins anew."""
    for _ in range(_ATTEMPTS):
        try:
            return _collect(request, ask(), parse)
        except Interrupted:
            continue
        except (struct.error, ValueError, LookupError) as error:
            raise KernelError(request.door, request.thing, errno.EBADMSG, f"malformed answer: {error}") from error
    detail = f"it was interrupted in each of {_ATTEMPTS} attempts"
    raise KernelError(request.door, request.thing, errno.EAGAIN, detail)


def _collect(
    request: Request, chunks: Iterable[memoryview], parse: Callable[[memoryview], _Answer | None]
) -> list[_Answer]:
    found: list[_Answer] = []
    unpack, size = HEADER.unpack_from, HEADER.size
    for chunk in chunks:
        offset, end = 0, len(chunk)
        while offset < end:
            length, kind, flags, sequence, _ = unpack(chunk, offset)
            if not size <= length <= end - offset:
                raise ValueError(f"a message of {length} bytes in {end - offset}")
            body = chunk[offset + size : offset + length]
            offset += length + 3 & ~3
            if sequence != _SEQUENCE:
                continue
            if flags & _NLM_F_DUMP_INTR or kind == _NLMSG_OVERRUN:
                raise Interrupted
            if kind == request.answer:
                if (answer := parse(body)) is not None:
                    found.append(answer)
            elif kind in (_NLMSG_DONE, ERROR):
                # Source: linux/net/netlink/af_netlink.c, netlink_dump_done: what stopped the list is told at its end.
                (code,) = CODE.unpack_from(body) if kind == ERROR or body else (0,)
                if code == -errno.ENOBUFS:
                    raise Interrupted
                if code < 0:
                    raise KernelError(request.door, request.thing, -code)
                return found
    raise ValueError("it ends before its end is told")


def _chunks(request: Request) -> Iterator[memoryview]:
    """The kernel's answers, some messages at a time; each view is good until the next."""
    deadline = time.monotonic() + _TIMEOUT_S
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, request.family) as asked:
            asked.bind((0, 0))
            size = HEADER.size + len(request.body)
            # A list has an end of its own; behind a single answer stands the acknowledgement.
            flags = _NLM_F_REQUEST | (_NLM_F_ACK if request.is_single else _NLM_F_DUMP)
            asked.sendto(HEADER.pack(size, request.kind, flags, _SEQUENCE, 0) + request.body, (0, 0))
            while (left_s := deadline - time.monotonic()) > 0:
                asked.settimeout(left_s)
                # With MSG_TRUNC the size is the message's, not that of what fitted.
                got, _, _, sender = asked.recvmsg_into([buffer], 0, socket.MSG_TRUNC)
                if got > len(buffer):
                    raise KernelError(request.door, request.thing, errno.EMSGSIZE, f"the kernel sent {got} bytes")
                # Port id 0 is the kernel: another process with privileges could write to this socket too.
                if sender[0] == 0:
                    yield buffer[:got]
    except TimeoutError:
        pass
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise Interrupted from error
        raise KernelError(request.door, request.thing, error.errno or 0) from error
    raise KernelError(request.door, request.thing, errno.ETIMEDOUT, f"not complete after {_TIMEOUT_S} s")
