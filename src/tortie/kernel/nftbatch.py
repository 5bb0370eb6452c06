"""Single elements of nf_tables' sets, without nft: one transaction of netlink messages.

Because: before it changes a set of intervals, nft reads the whole of it, and any other of the table: a second for one
more of 100,000 addresses. What is in the table is known here, so that nobody has to read it.

    Batch(table) ─▶ delete_elements, add_elements, delete_chain, add_chain ─▶ commit(generation)

Source of numbers: linux/netfilter/nfnetlink.h, nf_tables.h.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from tortie.kernel.errors import KernelError
from tortie.kernel.messages import HEADER, attribute, codes, nested, text

DOOR = "nf_tables"
_THING = "change elements"
_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_BEGIN, _END = 16, 17  # NFNL_MSG_BATCH_BEGIN, END
_NEW_CHAIN, _DELETE_CHAIN, _NEW_ELEMENTS, _DELETE_ELEMENTS = 3, 5, 12, 14
_INET = 1  # NFPROTO_INET
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400  # NLM_F_REQUEST, ACK, EXCL, CREATE
_BATCH_GENERATION = 1  # NFNL_BATCH_GENID
_CHAIN_TABLE, _CHAIN_NAME = 1, 3  # NFTA_CHAIN_
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_
_LIST_ELEMENT = 1  # NFTA_LIST_ELEM
_KEY, _FLAGS, _VALUE = 1, 3, 1  # NFTA_SET_ELEM_KEY, FLAGS, NFTA_DATA_VALUE
_INTERVAL_END = 1  # NFT_SET_ELEM_INTERVAL_END
_IN_ONE_MESSAGE = 1_000
"""Elements: an attribute has 64 KiB at most."""
_TIMEOUT_S = 30
_BUFFER_BYTES = 1 << 16


class Element(NamedTuple):
    """A key in the kernel's bytes. `ends`: it is the first one behind an interval."""

    key: bytes
    ends: bool = False


class Batch:
    """Changes of one table of family inet, which come all at once or not at all."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._messages: list[tuple[int, int, bytes]] = []
        """Kinds, flags and attributes."""

    def add_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Add elements to a set, none of which is in it: else nothing of the batch is done."""
        self._note_elements(_NEW_ELEMENTS, _CREATE | _EXCLUSIVE, name, elements)

    def delete_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Take elements out of a set, all of which are in it: else nothing of the batch is done."""
        self._note_elements(_DELETE_ELEMENTS, 0, name, elements)

    def add_chain(self, name: str) -> None:
        """Add an empty chain that is no hook's."""
        self._note(_NEW_CHAIN, _CREATE, text(_CHAIN_TABLE, self._table) + text(_CHAIN_NAME, name))

    def delete_chain(self, name: str) -> None:
        """Take away an empty chain."""
        self._note(_DELETE_CHAIN, 0, text(_CHAIN_TABLE, self._table) + text(_CHAIN_NAME, name))

    def _note_elements(self, kind: int, flags: int, name: str, elements: Iterable[Element]) -> None:
        names = text(_LIST_TABLE, self._table) + text(_LIST_SET, name)
        for some in _chunks(elements):
            listed = b"".join(nested(_LIST_ELEMENT, _element(one)) for one in some)
            self._note(kind, flags, names + nested(_LIST_ELEMENTS, listed))

    def _note(self, kind: int, flags: int, attributes: bytes) -> None:
        self._messages.append((kind, flags, attributes))

    def commit(self, generation: int) -> None:
        """Carry it out, if the kernel has counted so many transactions of the calling thread's network namespace.

        Raises: KernelError, ERESTART where others came first; nothing was changed then.
        """
        if not self._messages:
            return
        counted = attribute(_BATCH_GENERATION, struct.pack(">I", generation))
        last = len(self._messages)
        # Only the last one is answered where all goes well: a socket does not hold many answers.
        changes = (
            _message(_SUBSYSTEM << 8 | kind, flags | (_ACK if number == last else 0), _INET, 0, attributes, number)
            for number, (kind, flags, attributes) in enumerate(self._messages, 1)
        )
        begin = _message(_BEGIN, 0, 0, _SUBSYSTEM, counted, 0)
        sent = b"".join((begin, *changes, _message(_END, 0, 0, _SUBSYSTEM, b"", last + 1)))
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asked:
                asked.settimeout(_TIMEOUT_S)
                asked.bind((0, 0))
                asked.sendto(sent, (0, 0))
                _await_answer(asked, last)
        except TimeoutError as error:
            raise KernelError(DOOR, _THING, errno.ETIMEDOUT) from error
        except OSError as error:
            raise KernelError(DOOR, _THING, error.errno or 0) from error


def _await_answer(asked: socket.socket, last: int) -> None:
    """Wait for the answer to the last message; errors of others come before. Raises: OSError, KernelError."""
    while True:
        answers, sender = asked.recvfrom(_BUFFER_BYTES)
        if sender[0] != 0:  # not the kernel
            continue
        for number, code in codes(DOOR, _THING, answers):
            if code:
                raise KernelError(DOOR, _THING, code)
            if number == last:
                return


def _chunks(elements: Iterable[Element]) -> Iterator[Sequence[Element]]:
    left = iter(elements)
    while some := tuple(islice(left, _IN_ONE_MESSAGE)):
        yield some


def _element(element: Element) -> bytes:
    key = nested(_KEY, attribute(_VALUE, element.key))
    return key + (attribute(_FLAGS, struct.pack(">I", _INTERVAL_END)) if element.ends else b"")


def _message(kind: int, flags: int, family: int, resource: int, attributes: bytes, number: int) -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return HEADER.pack(HEADER.size + len(body), kind, _REQUEST | flags, number, 0) + body
