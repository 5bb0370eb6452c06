"""Puts connections into nf_conntrack that it did not see begin, so that their next packets belong to them."""

import errno
import struct
from collections.abc import Sequence
from functools import lru_cache

from tortie.kernel.ctforget import exchange, message, tuple_of
from tortie.kernel.ctnetlink import ConntrackEntry, TcpState
from tortie.kernel.messages import attribute, nested

# Source: linux/netfilter/nfnetlink_conntrack.h, linux/netfilter/nf_conntrack_common.h, nf_conntrack_tcp.h.
_CT_NEW = 0
_NLM_F_CREATE = 0x400
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS, _PROTOCOL_STATE, _TIMEOUT = 1, 2, 3, 4, 7
_TCP, _TCP_STATE, _FLAGS_ORIGINAL, _FLAGS_REPLY = 1, 1, 4, 5
_CONFIRMED = 1 << 3
_LIBERAL = bytes((0x08, 0x08))
"""Flags and their mask: sequence numbers are not looked at. Nobody tells the kernel the windows of before."""
_UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
"""What the kernel says of protocols whose connections it cannot be told."""
_KNOWN_BETTER = (errno.EBUSY,)
"""What it says where the entry was answered meanwhile, and is told that it was not."""


def remember(entries: Sequence[ConntrackEntry]) -> int:
    """Have the entries in the calling thread's network namespace; how many the kernel took.

    One that is there already, turned round or not, becomes answered where the given one is. Raises: KernelError; some
    may be there then.
    """
    messages = [
        message(_CT_NEW, entry, _body(entry), number, flags=_NLM_F_CREATE) for number, entry in enumerate(entries)
    ]
    return exchange("store connections", messages, tolerated=(*_UNKNOWN, *_KNOWN_BETTER))


def _body(entry: ConntrackEntry) -> bytes:
    tuples = nested(_TUPLE_ORIGINAL, tuple_of(entry.original)) + nested(_TUPLE_REPLY, tuple_of(entry.reply))
    return tuples + _state(entry.status, entry.timeout_s, entry.tcp_state)


@lru_cache(maxsize=256)
def _state(status: int, timeout_s: int, tcp_state: TcpState | None) -> bytes:
    """The attributes that many entries have alike."""
    body = attribute(_STATUS, struct.pack(">I", status | _CONFIRMED))
    body += attribute(_TIMEOUT, struct.pack(">I", timeout_s))
    if tcp_state is not None:
        state = attribute(_TCP_STATE, bytes((tcp_state,)))
        state += attribute(_FLAGS_ORIGINAL, _LIBERAL) + attribute(_FLAGS_REPLY, _LIBERAL)
        body += nested(_PROTOCOL_STATE, nested(_TCP, state))
    return body
