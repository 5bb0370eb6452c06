import errno
import socket
import struct
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.kernel import dump
from tortie.kernel.errors import KernelError

ANSWER, ERROR, DONE, OVERRUN = 20, 2, 3, 4
REQUEST = dump.Request(door="door", thing="list things", family=4, kind=20, answer=ANSWER, body=b"")


def message(kind: int, body: bytes = b"", *, flags: int = 2, sequence: int = 1, length: int | None = None) -> bytes:
    size = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", size, kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def code(number: int) -> bytes:
    return struct.pack("=i", number)


def listed(*attempts: list[bytes]) -> list[bytes]:
    """The bodies that are read from chunks, attempt by attempt; the last attempt is repeated."""
    left = iter(attempts)

    def ask() -> Iterator[memoryview]:
        nonlocal last
        last = next(left, last)
        return (memoryview(chunk) for chunk in last)

    last: list[bytes] = []
    return dump.complete(REQUEST, ask, bytes)


def test_answers_come_from_all_chunks_until_the_end_is_told() -> None:
    first = message(ANSWER, b"a") + message(ANSWER, b"four") + message(ANSWER)
    last = message(ANSWER, b"last") + message(DONE, code(0)) + message(ANSWER, b"not ours")
    assert listed([first, last, message(ANSWER, b"never read")]) == [b"a", b"four", b"", b"last"]


def test_other_messages_and_answers_to_other_requests_are_passed_over() -> None:
    assert listed([message(7, b"x") + message(ANSWER, b"y", sequence=9) + message(DONE)]) == []


def test_what_parse_makes_none_of_is_left_out() -> None:
    chunk = memoryview(message(ANSWER, b"a") + message(ANSWER, b"b") + message(DONE))
    assert dump.complete(REQUEST, lambda: [chunk], lambda body: body[0] if body == b"b" else None) == [ord("b")]


@pytest.mark.parametrize(
    "interruption",
    [message(ANSWER, b"old", flags=0x12), message(DONE, flags=0x12), message(OVERRUN), message(DONE, code(-105))],
)
def test_an_interrupted_list_is_read_again_from_its_beginning(interruption: bytes) -> None:
    assert listed([message(ANSWER, b"old"), interruption], [message(ANSWER, b"new") + message(DONE)]) == [b"new"]


def test_a_list_that_does_not_fit_the_socket_is_read_again() -> None:
    attempts = count()

    def ask() -> Iterator[memoryview]:
        yield memoryview(message(ANSWER, b"a"))
        if not next(attempts):
            raise dump.Interrupted
        yield memoryview(message(DONE))

    assert dump.complete(REQUEST, ask, bytes) == [b"a"]


def test_a_list_that_is_interrupted_always_is_given_up() -> None:
    attempts = []

    def ask() -> Iterator[memoryview]:
        attempts.append(1)
        yield memoryview(message(ANSWER, flags=0x12))

    with pytest.raises(KernelError, match=r"^door: list things: EAGAIN .*in each of 5 attempts"):
        dump.complete(REQUEST, ask, bytes)
    assert len(attempts) == 5


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_the_kernels_refusal_is_a_kernel_error_with_its_code(kind: int) -> None:
    with pytest.raises(KernelError, match=r"^door: list things: EPERM ") as caught:
        listed([message(ANSWER, b"a") + message(kind, code(-errno.EPERM))])
    assert caught.value.code == errno.EPERM


@pytest.mark.parametrize(
    "chunk",
    [
        b"short",
        message(ANSWER, length=0),
        message(ANSWER, length=15),
        message(ANSWER, length=17),
        message(ANSWER, length=0xFFFFFFFF),
        message(ANSWER, b"body")[:-1],
        message(ERROR, b"abc"),
        message(DONE, b"abc"),
        message(ANSWER, b"no end"),
        b"",
    ],
)
def test_malformed_answers_are_kernel_errors(chunk: bytes) -> None:
    with pytest.raises(KernelError, match=r"^door: list things: EBADMSG .*malformed answer"):
        listed([chunk])


@given(st.lists(st.binary(max_size=80) | st.builds(message, st.sampled_from([2, 3, 4, 20]), st.binary(max_size=9))))
def test_no_bytes_do_worse_than_a_kernel_error(chunks: list[bytes]) -> None:
    try:
        listed([b"".join(chunks)])
    except KernelError as error:
        assert error.door == "door"


def test_a_netlink_family_that_the_kernel_lacks_is_a_kernel_error() -> None:
    missing = dump.Request(door="door", thing="list things", family=31, kind=1, answer=1, body=b"")
    with pytest.raises(KernelError, match=r"^door: list things: EPROTONOSUPPORT"):
        dump.read(missing, bytes)


def test_a_real_list_of_many_chunks_is_complete() -> None:
    """Interfaces' addresses over rtnetlink: RTM_GETLINK is answered without privileges."""
    links = dump.Request(door="door", thing="list links", family=0, kind=18, answer=16, body=bytes(16))
    indexes = {struct.unpack_from("=i", body, 4)[0] for body in dump.read(links, bytes)}
    assert indexes == {index for index, _ in socket.if_nameindex()}
