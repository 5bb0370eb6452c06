"""The value types of the API: one decoder, or maker of a decoder, for each. Addresses are in `addresses.py`.

Source: reference resources.md section 2.
"""

import re
from collections.abc import Callable

from tortie.model.names import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from tortie.resources.fields import ABSENT, BAD, Decoder, Json, Missing, decoder, describe, refuse_type, suggest
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Place, Problems, shorten
from tortie.resources.scalars import NotFinite, Value, resolve

PROTOCOLS = {"TCP": TCP, "UDP": UDP, "ICMP": ICMP, "ICMPv6": ICMPV6, "SCTP": SCTP, "UDPLite": UDPLITE}
# Source: RFC 2474, RFC 2597, RFC 3246.
DSCP_VALUES = {
    "DF": 0,
    "EF": 46,
    **{f"AF{group}{drop}": 8 * group + 2 * drop for group in (1, 2, 3, 4) for drop in (1, 2, 3)},
    **{f"CS{group}": 8 * group for group in range(7)},
}
MAX_SELECTOR = 1024
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z"
_PORT_NAME = r"(?=.{1,15}\Z)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z"
_NUMERIC_PORT = r"([0-9]{1,8})(?::([0-9]{1,8}))?\Z"
# Source: YAML 1.1, type int, base 60; docs/decisions/0009.
_SEXAGESIMAL = r"[1-9][0-9]*:[0-5]?[0-9]\Z"
_INTERFACE = r"[a-zA-Z0-9_.-]{1,15}\Z"
# Source: Go, package time, ParseDuration; the sign of a thousandth of a millisecond has two code points.
_DURATION_PATTERN = r"(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)"
_PLAIN_DURATION_PATTERN = r"(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)"
_DURATION = rf"\+?{_DURATION_PATTERN}\Z"
_DURATION_PART = r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
AUTO = "Auto"
PLACEHOLDER = r"<[^<>]{1,60}>\Z"
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
"""Bounds and patterns may stand beside it: each concerns the values of its own type."""


def protocol_number(protocol: int | str | None) -> int | None:
    """The number of a protocol that was validated."""
    return PROTOCOLS[protocol] if isinstance(protocol, str) else protocol


@decoder(type="string")
def text(node: Node, path: str, problems: Problems) -> Json | Missing:
    """Any text."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    remedy = f'quote it: "{shorten(node.text, 40)}"' if isinstance(node, Scalar) else ""
    return refuse_type(node, path, problems, "text", remedy)


@decoder(type="string")
def optional_text(node: Node, path: str, problems: Problems) -> Json | Missing:
    """Any text; empty text counts as absent."""
    return text(node, path, problems) or ABSENT


def anchored(form: str, *, may_be_empty: bool = False) -> str:
    """The pattern of a schema that all of the text has to match."""
    return f"^(?:{form})?$" if may_be_empty else f"^(?:{form})$"


def any_case(*words: str, may_be_empty: bool = False) -> str:
    """The pattern of one of the words in any letter case, which not every dialect can ignore for itself."""
    forms = ("".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else re.escape(c) for c in word) for word in words)
    return anchored("|".join(forms), may_be_empty=may_be_empty)


def or_empty(inner: Decoder) -> Decoder:
    """The decoder, to which empty text counts as absent."""
    schema = dict(inner.schema)
    if "pattern" in schema:
        schema["pattern"] = f"^$|{schema['pattern']}"
    for key, empty in (("enum", ""), ("anyOf", {"enum": [""]})):
        if isinstance(choices := schema.get(key), list):
            schema[key] = [*choices, empty]

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        return ABSENT if isinstance(node, Scalar) and node.value == "" else inner(node, path, problems)

    return decode


def pattern(
    code: str,
    form: str | Callable[[str], object],
    expected: str,
    *,
    may_be_empty: bool = False,
    limit: int | None = None,
) -> Decoder:
    """Decoder of text of a certain form; `may_be_empty`: empty text counts as absent.

    Because: a form is the text of a regular expression, which `re` compiles, and keeps, when it is held against the
    first value. The kinds have some forty of them, of which a command needs few, and compiling them took it 3 ms.
    """
    schema: dict[str, object] = {"type": "string"}
    # Go's expressions, which API servers use, have no look-ahead
    if isinstance(form, str) and "(?" not in form.replace("(?:", ""):
        schema["pattern"] = anchored(form.removesuffix(r"\Z"), may_be_empty=may_be_empty)
    if limit is not None:
        schema["maxLength"] = limit

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = text(node, path, problems)
        if not isinstance(value, str):
            return value
        if not value and may_be_empty:
            return ABSENT
        if limit is not None and len(value) > limit:
            problems.add(code, node, path, "too long", found=f"{len(value)} characters", expected=f"at most {limit}")
            return BAD
        if not (re.match(form, value) if isinstance(form, str) else form(value)):
            if re.match(PLACEHOLDER, value):
                return refuse_placeholder(node, path, problems, value, expected)
            problems.add(code, node, path, "invalid value", found=describe(node), expected=expected)
            return BAD
        return value

    return decode


def refuse_placeholder(node: Node, path: str, problems: Problems, value: str, expected: str) -> Missing:
    """BAD, with the problem that a document's template was not filled in."""
    problems.add(
        "TT1109",
        node,
        path,
        f"{value} is a placeholder",
        expected=expected,
        remedy="replace it by the real value",
    )
    return BAD


def enum(*values: str, ignore_case: bool = False, may_be_empty: bool = False) -> Decoder:
    """Decoder of one of the words."""
    accepted = {value.lower() for value in values} if ignore_case else set(values)
    expected = ", ".join(values[:-1]) + " or " + values[-1] if len(values) > 1 else values[0]
    schema: dict[str, object] = {"type": "string"}
    if ignore_case:
        # The words alone are for editors, which offer them.
        schema["anyOf"] = [{"enum": [*values]}, {"pattern": any_case(*values, may_be_empty=may_be_empty)}]
    else:
        schema["enum"] = [*values, ""] if may_be_empty else [*values]

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = text(node, path, problems)
        if not isinstance(value, str):
            return value
        if not value and may_be_empty:
            return ABSENT
        if (value.lower() if ignore_case else value) not in accepted:
            hint = "" if problems.is_full else suggest(value, list(values))
            problems.add("TT1104", node, path, "unknown value", found=describe(node), expected=expected, remedy=hint)
            return BAD
        return value

    return decode


@decoder(type="boolean")
def boolean(node: Node, path: str, problems: Problems) -> Json | Missing:
    """True or false."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    return refuse_type(node, path, problems, "true or false")


@decoder(type="boolean")
def flag(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A boolean whose default is false; false counts as absent."""
    return boolean(node, path, problems) or ABSENT


def _plain(text: str) -> Value:
    """What the text would be without quotes."""
    try:
        return resolve(text)
    except NotFinite:
        return None


@decoder(type="number")
def number(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A finite number; whole ones as integers, so that equal documents have equal text."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        is_quoted = (
            isinstance(node, Scalar) and isinstance(node.value, str) and isinstance(_plain(node.text), int | float)
        )
        remedy = "remove the quotes" if is_quoted else ""
        return refuse_type(node, path, problems, "a number", remedy)
    value = node.value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, int) and abs(value) >= 2**53:
        return float(value)  # the API's orders are 64-bit floats
    return value


def integer(first: int | None = None, last: int | None = None) -> Decoder:
    """Decoder of a whole number in that range; `4.0` is one."""
    if first is not None and last is not None:
        expected = f"{first} to {last}"
    elif first is not None:
        expected = f"at least {first}"
    else:
        expected = "a 64-bit number"
    low = -(2**63) if first is None else first
    high = 2**63 - 1 if last is None else last
    schema: dict[str, object] = {"type": "integer", "format": "int64"}
    if first is not None:
        schema["minimum"] = first
    if last is not None:
        schema["maximum"] = last

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            remedy = "remove the quotes" if isinstance(value, str) and value.isdigit() else ""
            return refuse_type(node, path, problems, "a whole number", remedy)
        if not low <= value <= high:
            problems.add("TT1105", node, path, "number out of range", found=shorten(str(value)), expected=expected)
            return BAD
        return value

    return decode


@decoder(**INT_OR_STRING, minimum=0, maximum=63, pattern=any_case(*DSCP_VALUES))
def dscp(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A value of the Differentiated Services field: 0 to 63, or its name in any letter case."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return enum(*DSCP_VALUES, ignore_case=True)(node, path, problems)
    return integer(0, 63)(node, path, problems)


@decoder(**INT_OR_STRING, minimum=1, maximum=255, pattern=anchored("|".join([*PROTOCOLS, "[0-9]{1,4}"])))
def protocol(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A protocol name in its exact case, or a number from 1 to 255, also as text."""
    expected = f"{', '.join(PROTOCOLS)}, or 1 to 255"
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return refuse_type(node, path, problems, expected)
    if isinstance(value, int):
        if 1 <= value <= 255:
            return value
        problems.add("TT1108", node, path, "protocol number invalid", found=shorten(str(value)), expected=expected)
        return BAD
    if value in PROTOCOLS:
        return value
    hint = "" if problems.is_full else suggest(value, PROTOCOLS)
    problems.add("TT1108", node, path, "protocol name invalid", found=describe(node), expected=expected, remedy=hint)
    return BAD


@decoder(
    **INT_OR_STRING,
    minimum=1,
    maximum=65535,
    pattern=anchored("[0-9]{1,8}(:[0-9]{1,8})?|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?"),
)
def port(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A port number, a range `first:last`, or a port name; single ports as numbers."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return refuse_type(node, path, problems, 'a port, a range "first:last", or a port name')
    words = str(value)
    numeric = re.match(_NUMERIC_PORT, words)
    if numeric is None:
        if re.match(_PORT_NAME, words):
            return words
        expected = 'a port (1 to 65535), a range "first:last", or a name (1-15 of a-z, 0-9, -)'
        problems.add("TT1107", node, path, "invalid port", found=describe(node), expected=expected)
        return BAD
    if isinstance(node, Scalar) and node.verbatim == 0 and re.match(_SEXAGESIMAL, node.text):
        ones, sixties = int(numeric[2]), int(numeric[1])
        message = f"an unquoted range that tools of YAML 1.1 read as the number {sixties * 60 + ones}"
        problems.add("TT1107", node, path, message, found=describe(node), remedy=f'quote it: "{node.text}"')
        return BAD
    first = int(numeric[1])
    last = first if numeric[2] is None else int(numeric[2])
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        problems.add("TT1107", node, path, "port out of range", found=describe(node), expected="1 to 65535")
        return BAD
    if first > last:
        message = f"minimum port number {first} is greater than maximum {last}"
        problems.add("TT1107", node, path, message, remedy=f"write {last}:{first}")
        return BAD
    return first if first == last else f"{first}:{last}"


@decoder(type="string", maxLength=15, pattern=anchored("[a-z0-9]([-a-z0-9]*[a-z0-9])?"))
def port_name(node: Node, path: str, problems: Problems) -> Json | Missing:
    """The name of a port."""
    expected = "1 to 15 of a-z, 0-9 and -, with a letter, no - at an end, no --"
    return pattern("TT1107", _PORT_NAME, expected)(node, path, problems)


def selector(*, limit: int | None = MAX_SELECTOR, is_global_refused: bool = False) -> Decoder:
    """Decoder of a selector, kept as it was written; empty text counts as absent."""
    schema: dict[str, object] = {"type": "string"} if limit is None else {"type": "string", "maxLength": limit}

    @decoder(**schema)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = text(node, path, problems)
        if not isinstance(value, str):
            return value
        if not value:
            return ABSENT
        if limit is not None and len(value) > limit:
            found = f"{len(value)} characters"
            problems.add("TT1110", node, path, "selector is too long", found=found, expected=f"at most {limit}")
            return BAD
        from tortie.model.selector import InvalidSelector, parse_selector  # only who reads text needs it

        try:
            parse_selector(value)
        except InvalidSelector as error:
            message = f"invalid selector: {shorten(str(error), 120)}"
            found = f'"{shorten(value)}", wrong at its character {error.column}'
            problems.add("TT1201", _inside(node, error.column), path, message, found=found)
            return BAD
        if is_global_refused and "global(" in value:
            message = "global() can only be used in an EntityRule namespaceSelector"
            problems.add("TT1202", node, path, message, found=describe(node), remedy="remove it")
            return BAD
        return value

    return decode


def _inside(node: Node, column: int) -> Place:
    """The place of a character of a text; that of the whole text where quoting or line breaks hide it."""
    if isinstance(node, Scalar) and node.verbatim is not None:
        return Place(node.line, node.column + node.verbatim + column - 1)
    return Place(node.line, node.column)


@decoder(type="string", pattern=anchored(r"\*|[a-zA-Z0-9_.-]{1,15}", may_be_empty=True))
def interface(node: Node, path: str, problems: Problems) -> Json | Missing:
    """An interface name or `*`; empty text counts as absent."""
    expected = "1 to 15 of a-z, A-Z, 0-9, _, ., -; or * alone"
    known = pattern("TT1115", lambda value: value == "*" or re.match(_INTERFACE, value), expected, may_be_empty=True)
    return known(node, path, problems)


name = pattern("TT1112", SUBDOMAIN, "lower case alphanumeric characters, '-' or '.'", may_be_empty=True, limit=253)
"""A lower-case DNS subdomain; empty text counts as absent."""


def duration(*, may_be_negative: bool = False, is_plain: bool = False) -> Decoder:
    """Decoder of a duration such as `90s` or `1m30s`; a bare `0` is one. `is_plain`: of ms, s, m and h alone."""
    sign = "[-+]?" if may_be_negative else r"\+?"
    form = _PLAIN_DURATION_PATTERN if is_plain else sign + _DURATION_PATTERN
    notes = ", of ms, s, m and h" if is_plain else "", "" if may_be_negative else ", not negative"
    expected = f"a duration such as 90s or 1m30s{''.join(notes)}"

    @decoder(**INT_OR_STRING, minimum=0, maximum=0, pattern=anchored(form), maxLength=64)
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        if isinstance(node, Scalar) and node.value == 0 and type(node.value) is int:  # false is none
            return "0s"
        known = pattern("TT1116", lambda value: re.match(rf"{form}\Z", value), expected, limit=64)
        return known(node, path, problems)

    return decode


@decoder(type="string", pattern=anchored(f"{AUTO}|{_DURATION_PATTERN}"), maxLength=64)
def timeout(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A duration that is not negative, or `Auto`."""
    known = pattern("TT1116", lambda value: value == AUTO or seconds(value) is not None, "90s, 1m30s or Auto", limit=64)
    return known(node, path, problems)


def seconds(value: str) -> float | None:
    """The length of a duration such as `1m30s`; None for other text, and for a negative one. Units: s."""
    if len(value) > 64 or not re.match(_DURATION, value):
        return None
    return sum(float(count) * _SECONDS[unit] for count, unit in re.findall(_DURATION_PART, value))


@decoder(type="string", maxLength=1024)
def regex(node: Node, path: str, problems: Problems) -> Json | Missing:
    """A regular expression, as RE2 has them; empty text counts as absent."""
    expected = "a regular expression (RE2)"
    value = pattern("TT1116", lambda text: True, expected, may_be_empty=True, limit=1024)(node, path, problems)
    if isinstance(value, str):
        from tortie.model.regex import InvalidExpression, check_expression  # few documents hold one

        try:
            check_expression(value)
        except InvalidExpression as error:
            problems.add("TT1116", node, path, f"invalid value: {error}", found=describe(node), expected=expected)
            return BAD
    return value
