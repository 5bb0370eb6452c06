"""Patches of a document: JSON merge patch, strategic merge patch, JSON patch. Pure; nothing is changed in place.

Every list of a `projectcalico.org/v3` kind is replaced as a whole, so a strategic merge patch is a merge patch that
knows the directive `$patch`. Source: RFC 7396, RFC 6902, RFC 6901; Kubernetes API conventions, "strategic merge patch".
"""

from typing import cast

from tortie.apps.answers import Document
from tortie.apps.failure import Code, Failure
from tortie.resources.plain import Plain

_ESCAPES = (("~1", "/"), ("~0", "~"))
MOST_BYTES = 16 * 1024 * 1024
"""Of what the operations of one JSON patch copy together."""


class Unfit(ValueError):
    """A patch that cannot be applied to this document; the message says which part of it and why."""


def patched(document: Document, patch: Plain, form: str) -> Document:
    """The document with the patch applied; `form`: strategic, merge or json. Raises: Failure INVALID."""
    try:
        before = cast(Plain, document)
        found = _json_patch(before, patch) if form == "json" else _merge(before, patch, form == "strategic", "")
        if not isinstance(found, dict):
            raise Unfit("the patch leaves no document; write a mapping such as {spec: {order: 10}}")
    except (Unfit, RecursionError) as error:
        why = str(error) if isinstance(error, Unfit) else "it nests the document too deeply"
        raise Failure(Code.INVALID, f"performing {form} patch: TT1908 {why}; nothing was changed") from None
    return {**found}


def _merge(target: Plain, patch: Plain, is_strategic: bool, path: str) -> Plain:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    given = dict(patch)
    if is_strategic:
        match given.pop("$patch", "merge"):
            case "merge":
                pass
            case "replace":
                return given
            case "delete":
                return None
            case other:
                raise Unfit(f"{path or '/'}: unknown $patch {other!r:.60}; use merge, replace or delete")
        if directive := next((key for key in given if key.startswith("$")), None):
            remedy = "lists are replaced as a whole here: give the whole list, or use --type=json"
            raise Unfit(f"{path or '/'}: {directive[:60]} is not supported; {remedy}")
    for key, value in given.items():
        merged = None if value is None else _merge(result.get(key), value, is_strategic, f"{path}/{key}")
        if merged is None:
            result.pop(key, None)
        else:
            result[key] = merged
    return result


def _json_patch(document: Plain, patch: Plain) -> Plain:
    if not isinstance(patch, list):
        raise Unfit('a json patch is a list such as [{"op": "replace", "path": "/spec/order", "value": 10}]')
    left = MOST_BYTES
    for number, operation in enumerate(patch):
        try:
            if not isinstance(operation, dict):
                raise Unfit("expected a mapping with op and path")
            if operation.get("op") == "copy":
                # What copies itself doubles with each operation.
                left -= len(repr(_at(document, _pointer(operation, "from"))))
                if left < 0:
                    raise Unfit(f"the copies hold more than {MOST_BYTES >> 20} MiB")
            document = _operate(document, operation)
        except Unfit as error:
            raise Unfit(f"operation {number}: {error}") from None
    return document


def _operate(document: Plain, operation: dict[str, Plain]) -> Plain:
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _added(document, path, _value(operation))
        case "replace":
            _at(document, path)
            return _put(document, path, _value(operation), is_new=False)
        case "remove":
            return _without(document, path)
        case "copy":
            return _added(document, path, _at(document, _pointer(operation, "from")))
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise Unfit("from is a part of path: nothing can be moved into itself")
            value = _at(document, source)
            return _added(_without(document, source), path, value)
        case "test":
            if not _is_equal(_at(document, path), _value(operation)):
                raise Unfit(f"test: {operation['path']!r:.80} has another value")
            return document
        case other:
            raise Unfit(f"unknown op {other!r:.60}; use add, remove, replace, move, copy or test")


def _pointer(operation: dict[str, Plain], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str) or (text and text[0] != "/"):
        raise Unfit(f"{name}: expected a pointer such as /spec/order, got {text!r:.60}")
    tokens = text.split("/")[1:]
    for escape, meaning in _ESCAPES:
        tokens = [token.replace(escape, meaning) for token in tokens]
    return tokens


def _value(operation: dict[str, Plain]) -> Plain:
    if "value" not in operation:
        raise Unfit(f"{operation.get('op')} needs a value")
    return operation["value"]


def _index(token: str, limit: int) -> int:
    is_number = token.isascii() and token.isdigit() and (token == "0" or token[0] != "0") and len(token) < 10
    if not is_number or int(token) > limit:
        raise Unfit(f"{token[:60]!r} is no index of a list with {limit + 1} places")
    return int(token)


def _at(document: Plain, path: list[str]) -> Plain:
    for token in path:
        match document:
            case dict() if token in document:
                document = document[token]
            case list():
                document = document[_index(token, len(document) - 1)]
            case _:
                raise Unfit(f"/{'/'.join(path)[:80]} does not exist")
    return document


def _added(document: Plain, path: list[str], value: Plain) -> Plain:
    _at(document, path[:-1])  # what it is to be a part of has to be there, and is named as a whole if it is not
    return _put(document, path, value, is_new=True)


def _put(document: Plain, path: list[str], value: Plain, *, is_new: bool) -> Plain:
    """The document with the value at that path; in a list a new one goes before what is there."""
    if not path:
        return value
    token, rest = path[0], path[1:]
    match document:
        case dict():
            if rest:
                return {**document, token: _put(_at(document, [token]), rest, value, is_new=is_new)}
            return {**document, token: value}
        case list():
            if rest:
                place = _index(token, len(document) - 1)
                changed = _put(document[place], rest, value, is_new=is_new)
                return [*document[:place], changed, *document[place + 1 :]]
            place = len(document) if token == "-" and is_new else _index(token, len(document) - (not is_new))
            return [*document[:place], value, *document[place + (not is_new) :]]
        case _:
            raise Unfit(f"{token[:60]!r} has no place in a value that is no mapping and no list")


def _without(document: Plain, path: list[str]) -> Plain:
    if not path:
        raise Unfit("the whole document cannot be removed; use tortie delete")
    _at(document, path)
    parent, token = _at(document, path[:-1]), path[-1]
    match parent:
        case dict():
            kept: Plain = {key: value for key, value in parent.items() if key != token}
        case _:
            members = cast(list[Plain], parent)
            kept = [value for place, value in enumerate(members) if place != _index(token, len(members) - 1)]
    return _put(document, path[:-1], kept, is_new=False)


def _is_equal(one: Plain, other: Plain) -> bool:
    """Equality of JSON: `true` is not 1 (RFC 6902, section 4.6)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_is_equal, one, other))
        case _:
            return one == other
