"""What a request asks: bodies and parameters, read with limits and checked before anything is done.

Raises everywhere: Failure USAGE, or TimeoutError for a body that does not arrive.
"""

import asyncio
import json
from collections.abc import Callable, Sequence

from aiohttp import web

from tortie.apps.answers import AssertQuery, ConfigQuery, SourceText, TraceQuery
from tortie.apps.failure import Code, Failure
from tortie.apps.requests import WriteOptions, from_parameters
from tortie.dataplane.driver import Established

REQUEST_S = 30.0
"""A body has to arrive within this time."""
FILES = "application/vnd.tortie.files+json"
"""`{"files": [SourceText, ...]}`: several files in one transaction."""


async def _body(request: web.Request) -> bytes:
    async with asyncio.timeout(REQUEST_S):
        return await request.read()


async def json_object(request: web.Request) -> dict[str, object]:
    """The body as a JSON object."""
    try:
        found = json.loads(await _body(request))
    except (ValueError, RecursionError):
        raise Failure(Code.USAGE, "the request's body is not JSON") from None
    if not isinstance(found, dict):
        raise Failure(Code.USAGE, "the request's body is not a JSON object")
    return found


async def files(request: web.Request) -> Sequence[SourceText]:
    """The documents of the body: several files, or the body itself as one."""
    if request.content_type == FILES:
        return _source_texts((await json_object(request)).get("files"))
    text = (await _body(request)).decode("utf-8", "surrogateescape")
    return [{"source": request.query.get("source", "request"), "text": text}]


def _source_texts(found: object) -> list[SourceText]:
    files: list[SourceText] = []
    for one in found if isinstance(found, list) else [None]:
        match one:
            case {"source": str(source), "text": str(text)}:
                files.append({"source": source, "text": text})
            case _:
                raise Failure(Code.USAGE, "files: expected a list of {source, text}")
    return files


def trace_query(found: dict[str, object]) -> TraceQuery:
    """The question that a JSON object holds."""
    match found:
        case {
            "source": str(source),
            "destination": str(destination),
            "protocol": str(protocol),
            "interface": str(interface),
            "direction": str(direction),
        }:
            port = found.get("source_port")
            if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535):
                raise Failure(Code.USAGE, "source_port: expected a number from 0 to 65535")
            flags, is_established = found.get("flags"), found.get("is_established", False)
            if flags is not None and not isinstance(flags, str):
                raise Failure(Code.USAGE, "flags: expected letters of FSRPAU")
            if not isinstance(is_established, bool):
                raise Failure(Code.USAGE, "is_established: expected true or false")
            return {
                "source": source,
                "destination": destination,
                "protocol": protocol,
                "source_port": port,
                "flags": flags,
                "is_established": is_established,
                "interface": interface,
                "direction": direction,
                "files": _source_texts(found.get("files") or []),
            }
        case _:
            raise Failure(Code.USAGE, "expected source, destination, protocol, interface and direction, all text")


def assert_query(found: dict[str, object]) -> AssertQuery:
    """The assertions that a JSON object holds."""
    (file,) = _source_texts([found.get("file")])
    return {"file": file, "files": _source_texts(found.get("files") or [])}


def config_query(found: dict[str, object]) -> ConfigQuery:
    """Which parameters a JSON object asks for."""
    words, everything, node = found.get("parameters", []), found.get("everything", False), found.get("node")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Failure(Code.USAGE, "parameters: expected a list of names")
    if not isinstance(everything, bool):
        raise Failure(Code.USAGE, "everything: expected true or false")
    if node is not None and not isinstance(node, str):
        raise Failure(Code.USAGE, "node: expected a name")
    files = _source_texts(found.get("files") or [])
    return {"parameters": words, "everything": everything, "node": node, "files": files}


def number(request: web.Request, name: str, default: int) -> int:
    """A parameter of the address."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Failure(Code.USAGE, f"{name}: expected a number, got {text[:40]!r}")
    return int(text)


def parameter(request: web.Request) -> Callable[[str], Sequence[str]]:
    """What gives every value of a parameter of the address."""
    return lambda name: request.query.getall(name, [])


def write_options(request: web.Request) -> WriteOptions:
    """How to write, and what the change means for connections that exist."""
    options = from_parameters(WriteOptions, parameter(request))
    if all(options.established != one.value for one in Established):
        known = ", ".join(one.value for one in Established)
        raise Failure(Code.USAGE, f"established: {options.established[:40]!r} is unknown; use one of {known}")
    if options.established != Established.KEEP.value and not options.wait:
        text = f"established={options.established} has to wait until the change is enforced; leave out wait=0"
        raise Failure(Code.USAGE, text)
    return options
