"""The value types of parameters that hold several things: in text separated by commas, in documents mostly lists.

Blanks around items do not count, empty items are skipped.
Source: reference config.md sections 2, 3, 4 and 7.
"""

import re
from collections.abc import Callable

from tortie.model.address import InvalidAddress, parse_net
from tortie.model.failsafe import FailsafePort
from tortie.model.packet import SCTP, TCP, UDP
from tortie.model.settings import InvalidPattern, interface_pattern
from tortie.resources.addresses import net
from tortie.resources.felix.syntax import Syntax, Unreadable, V, matching, misshapen, plain, read_span, unreadable
from tortie.resources.fields import Field, Json, list_of, object_of
from tortie.resources.values import enum, integer, optional_text, pattern, port

PORTED = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
MOST_INTERFACES = 250
_ENTRY = r"(?:(?P<protocol>[A-Za-z]+):(?:(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9./]+)):)?)?(?P<port>[0-9]{1,5})\Z"
_INTERFACE = r"[a-zA-Z0-9_-]{1,15}\Z"
_INTERFACE_FILTER = r"[a-zA-Z0-9:._+-]{1,15}\Z"
_URL = r"(https?)://[^/?#@\s]+/?\Z"


def items(text: str) -> tuple[str, ...]:
    """The items of a list."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def each(read: Callable[[str], V]) -> Callable[[str], tuple[V, ...]]:
    """Reader of a list, by the reader of an item."""
    return lambda text: tuple(map(read, items(text)))


def joined(item: Callable[[Json], str]) -> Callable[[Json], str]:
    """The flattening of a list, by that of an item."""

    def flatten(value: Json) -> str:
        if not isinstance(value, list):
            raise misshapen(value)
        return ",".join(map(item, value))

    return flatten


# ---- failsafe ports


def _read_failsafe(item: str) -> FailsafePort:
    found = re.match(_ENTRY, item)
    protocol = PORTED.get((found["protocol"] or "tcp").upper()) if found else None
    if found is None or protocol is None or int(found["port"]) > 65535:
        raise unreadable(item, "no failsafe port such as tcp:22 or udp:10.0.0.0/8:53")
    remote = found["six"] or found["four"]
    try:
        return FailsafePort(protocol, int(found["port"]), parse_net(remote, strict=False) if remote else None)
    except InvalidAddress as error:
        raise Unreadable(str(error)) from None


def _flat_failsafe(entry: Json) -> str:
    match entry:
        case {"protocol": str(protocol), "port": int(port), **rest} if rest.keys() <= {"net"} and protocol in PORTED:
            remote = rest.get("net", "")
        case _:
            raise misshapen(entry)
    if not isinstance(remote, str) or isinstance(port, bool) or ("net" in rest and not is_net(remote)):
        raise misshapen(entry)
    middle = f"[{remote}]:" if ":" in remote else f"{remote}:" if remote else ""
    return f"{protocol.lower()}:{middle}{port}"


def _flat_failsafes(value: Json) -> str:
    return joined(_flat_failsafe)(value) or "none"  # none at all, which differs from nothing said


FAILSAFES: Syntax[tuple[FailsafePort, ...]] = Syntax(
    "a list of protocol:port or protocol:net:port, such as tcp:22,udp:10.0.0.0/8:53,tcp:[fd00::/8]:22",
    each(_read_failsafe),
    list_of(
        object_of(
            {
                "protocol": Field(enum(*PORTED), "Protocol of the port.", is_required=True),
                "port": Field(integer(0, 65535), "Destination port.", is_required=True),
                "net": Field(net(strict=False, may_be_address=True), "Only with these others; absent: with everyone."),
            }
        ),
        is_empty_kept=True,  # an empty list closes every failsafe port; an absent one leaves the defaults
    ),
    zero=(),
    flatten=_flat_failsafes,
)


# ---- interfaces and networks


def _read_prefixes(text: str) -> tuple[str, ...]:
    found = items(text)
    if not found:
        raise unreadable(text, "a list without an item")
    return found


def _read_interface(item: str) -> str:
    try:
        interface_pattern(item)
    except InvalidPattern as error:
        raise Unreadable(str(error)) from None
    is_expression = len(item) > 2 and item[0] == item[-1] == "/"
    if not (re.match(_INTERFACE, item) or (is_expression and " " not in item)):
        raise unreadable(item, "no interface name and no /expression/")
    return item


def _read_interfaces(text: str) -> tuple[str, ...]:
    # Because: each may be an expression, and every interface is held against all of them.
    if text.count(",") > MOST_INTERFACES:
        raise unreadable(text, f"a list of more than {MOST_INTERFACES} interfaces")
    return each(_read_interface)(text)


def _read_filter(item: str) -> str:
    if not re.match(_INTERFACE_FILTER, item):
        raise unreadable(item, "no interface, and not the beginning of one with +")
    return item


def is_net(text: str, *, version: int | None = None) -> bool:
    """Whether the text is a network or address (of that version)."""
    try:
        return version in (None, parse_net(text, strict=False).version)
    except InvalidAddress:
        return False


def _nets(form: str, version: int | None = None) -> Syntax[tuple[str, ...]]:
    def read(item: str) -> str:
        if not is_net(item, version=version):
            raise unreadable(item, f"not {form}")
        return item

    field = (
        net(strict=False, may_be_address=True)
        if version is None
        else pattern("TT1106", lambda text: is_net(text, version=version), form)
    )
    return Syntax(f"a list; each item {form}", each(read), list_of(field), zero=(), flatten=joined(plain(str)))


PREFIXES: Syntax[tuple[str, ...]] = Syntax(
    "a list of beginnings of interface names", _read_prefixes, optional_text, zero=(), flatten=plain(str)
)
INTERFACES: Syntax[tuple[str, ...]] = Syntax(
    "a list of interface names and /expressions/", _read_interfaces, optional_text, zero=(), flatten=plain(str)
)
_FILTER = "an interface, or its beginning and +"
INTERFACE_FILTERS: Syntax[tuple[str, ...]] = Syntax(
    f"a list; each item {_FILTER}",
    each(_read_filter),
    list_of(pattern("TT1115", _INTERFACE_FILTER, _FILTER)),
    zero=(),
    flatten=joined(plain(str)),
)
INTERFACE_FILTER = Syntax(_FILTER, _read_filter, matching(_INTERFACE_FILTER, _FILTER), zero="", flatten=plain(str))
NETS = _nets("a network or address")
IPV4_NETS = _nets("an IPv4 network or address", 4)


# ---- ranges


def _read_tables(item: str) -> tuple[int, int]:
    low, _, high = (part.strip() for part in item.partition("-"))
    if not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit() and len(low + high) <= 20):
        raise unreadable(item, "no range of numbers first-last")
    if not 1 <= int(low) <= int(high) <= 2**32 - 1:
        raise unreadable(item, "no range of route tables first-last from 1 on")
    return int(low), int(high)


def _read_ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = each(_read_tables)(text)
    if sum(last - first + 1 for first, last in found) > 65535:
        raise unreadable(text, "more than 65535 route tables")
    return found


def _read_old_range(text: str) -> tuple[int, int]:
    found = _read_tables(text)
    if found[1] > 250:
        raise unreadable(text, "not within 1-250")
    return found


def _flat_range(value: Json) -> str:
    match value:
        case {"min": int(first), "max": int(last)}:
            return f"{first}-{last}"
        case _:
            raise misshapen(value)


def _read_spans(text: str) -> tuple[tuple[int, int], ...]:
    found = each(read_span)(text)
    if len(found) > 7:
        raise unreadable(text, "a list of more than 7 ranges")
    return found


_BOUND = integer(1, 2**32 - 1)
_RANGE = object_of(
    {
        "min": Field(_BOUND, "First route table.", is_required=True),
        "max": Field(_BOUND, "Last route table.", is_required=True),
    }
)
OLD_TABLE_RANGE = Syntax("first-last within 1-250", _read_old_range, _RANGE, zero=(0, 0), flatten=_flat_range)
TABLE_RANGES: Syntax[tuple[tuple[int, int], ...]] = Syntax(
    "a list of first-last, together at most 65535 tables",
    _read_ranges,
    list_of(_RANGE),
    zero=(),
    flatten=joined(_flat_range),
)
PORT_RANGES: Syntax[tuple[tuple[int, int], ...]] = Syntax(
    "a list of ports and first:last, at most 7",
    _read_spans,
    list_of(port, limit=7),
    zero=(),
    flatten=joined(plain(int, str)),
)


# ---- addresses of servers


def _read_urls(text: str) -> tuple[str, ...]:
    found = items(text)
    schemes = {match[1] for item in found if (match := re.match(_URL, item))}
    if not all(re.match(_URL, item) for item in found) or len(schemes) > 1:
        raise unreadable(text, "no list of http://host:port, all of one scheme")
    return found


URLS: Syntax[tuple[str, ...]] = Syntax(
    "a list of http://host:port or https://host:port", _read_urls, optional_text, zero=(), flatten=plain(str)
)
