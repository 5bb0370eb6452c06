"""What a request asks: bodies and parameters, read with limits and checked before anything is done.

Raises everywhere: Failure USAGE, or TimeoutError for a body that does not arrive.
"""

import asyncio
import json
from collections.abc import Callable, Sequence

from aiohttp import web

from tortie.apps.answers import ConfigQuery, SourceText
from tortie.apps.explain.answers import ExplainQuery
from tortie.apps.failure import Code, Failure
from tortie.apps.policyassert.answers import AssertQuery
from tortie.apps.requests import WriteOptions, from_parameters
from tortie.apps.trace.answers import TraceQuery
from tortie.dataplane.driver import Established

REQUEST_S = 30.0
"""A body has to arrive within this time."""
MOST_REVISION = (1 << 63) - 1
"""More than a datastore can count."""
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
    """The question that a JSON object holds; an interface and a direction are the older way to say where."""
    match found:
        case {"source": str(source), "destination": str(destination), "protocol": str(protocol)}:
            arrives, leaves = _way(found)
            return {
                "source": source,
                "destination": destination,
                "protocol": protocol,
                "source_port": _number_in(found, "source_port", 65535),
                "flags": _text_in(found, "flags"),
                "is_established": _truth_in(found, "is_established"),
                "relation": _text_in(found, "relation"),
                "arrives": arrives,
                "leaves": leaves,
                "revision": _number_in(found, "revision", MOST_REVISION),
                "at": _text_in(found, "at"),
                "everything": _truth_in(found, "everything"),
                "files": _source_texts(found.get("files") or []),
            }
        case _:
            raise Failure(Code.USAGE, "expected source, destination and protocol, all text")


def explain_query(found: dict[str, object]) -> ExplainQuery:
    """What a JSON object wants to have explained."""
    match found:
        case {"subject": str(subject), "name": str(name)}:
            return {
                "subject": subject,
                "name": name,
                "namespace": _text_in(found, "namespace") or "",
                "node": _text_in(found, "node"),
                "revision": _number_in(found, "revision", MOST_REVISION),
                "at": _text_in(found, "at"),
                "files": _source_texts(found.get("files") or []),
            }
        case _:
            raise Failure(Code.USAGE, "expected subject and name, both text")


def _way(found: dict[str, object]) -> tuple[str | None, str | None]:
    interface, direction = _text_in(found, "interface"), _text_in(found, "direction")
    if interface is None:
        return _text_in(found, "arrives"), _text_in(found, "leaves")
    if direction not in ("ingress", "egress"):
        raise Failure(Code.USAGE, f"{direction!r} is no direction; use ingress or egress")
    return (interface, None) if direction == "ingress" else (None, interface)


def _text_in(found: dict[str, object], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise Failure(Code.USAGE, f"{key}: expected text")
    return value


def _truth_in(found: dict[str, object], key: str) -> bool:
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise Failure(Code.USAGE, f"{key}: expected true or false")
    return value


def _number_in(found: dict[str, object], key: str, most: int) -> int | None:
    value = found.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most):
        raise Failure(Code.USAGE, f"{key}: expected a number from 0 to {most}")
    return value


def assert_query(found: dict[str, object]) -> AssertQuery:
    """The assertions that a JSON object holds."""
    (file,) = _source_texts([found.get("file")])
    return {"file": file, "files": _source_texts(found.get("files") or [])}


def config_query(found: dict[str, object]) -> ConfigQuery:
    """Which parameters a JSON object asks for."""
    words = found.get("parameters", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Failure(Code.USAGE, "parameters: expected a list of names")
    return {
        "parameters": words,
        "everything": _truth_in(found, "everything"),
        "node": _text_in(found, "node"),
        "files": _source_texts(found.get("files") or []),
    }


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
