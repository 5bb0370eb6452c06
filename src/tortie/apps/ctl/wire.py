"""The agent's API from the client's side: one HTTP/1.1 request over a unix socket.

Own code because http.client costs 17 ms at start-up, a third of a whole command. It speaks to our own server only,
which answers each request and closes the connection.
"""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tortie.apps.answers import ErrorAnswer
from tortie.apps.failure import Code, Failure, failure_from

if TYPE_CHECKING:
    from socket import socket

CONNECT_S = 2.0
ANSWER_S = 60.0
_CHUNK = 1 << 18


def quote(text: str) -> str:
    """The text as a part of a URL (RFC 3986, section 2)."""
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in b"-._~" else f"%{byte:02X}" for byte in _raw(text)
    )


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def answers(path: str) -> bool:
    """Whether somebody accepts connections on the socket, or would if it were root who asked."""
    try:
        _connect(path).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def request(path: str, method: str, target: str, body: object = None, content_type: str = "application/json") -> object:
    """The JSON answer. Raises: Failure as the agent tells it, or UNREACHABLE."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: tortie\r\nConnection: close\r\nContent-Type: {content_type}\r\n"
    try:
        with _connect(path) as channel:
            channel.settimeout(ANSWER_S)
            # A server that refuses a body in the middle has answered why.
            with suppress(BrokenPipeError):
                channel.sendall(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
            raw = _read(channel)
    except TimeoutError:
        raise Failure(
            Code.UNREACHABLE, f"the agent at {path} did not answer within {ANSWER_S:.0f} s; see its log"
        ) from None
    except OSError as error:
        raise Failure(
            Code.UNREACHABLE, f"no agent answers at {path}: {error.strerror or error}; {_remedy(error)}"
        ) from None
    return _judge(path, raw)


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "only root may speak to the agent: use sudo"
    return "start one with `tortie agent run`, or give --socket or --datastore"


def _connect(path: str) -> "socket":
    import socket  # commands on a file do without

    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        channel.settimeout(CONNECT_S)
        channel.connect(path)
    except BaseException:
        channel.close()
        raise
    return channel


def _read(channel: "socket") -> bytes:
    chunks = []
    while chunk := channel.recv(_CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)


def _judge(path: str, raw: bytes) -> object:
    head, blank, body = raw.partition(b"\r\n\r\n")
    try:
        status = int(head.split(b" ", 2)[1])
        answer: object = json.loads(body)
    except (ValueError, IndexError, RecursionError):
        cut = "broke off" if blank or not raw else "is no HTTP"
        raise Failure(Code.UNREACHABLE, f"the answer from {path} {cut}; is it a tortie agent? see its log") from None
    if status >= 300:
        if isinstance(answer, dict) and "error" in answer:
            raise failure_from(cast(ErrorAnswer, answer))
        raise Failure(Code.FAILED, f"the agent at {path} answered {status}; see its log")
    return answer
