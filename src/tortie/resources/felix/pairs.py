"""The value types of parameters that hold keys and values: in text key=value by commas, in documents objects mostly.

Source: reference config.md sections 2, 3 and 7.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from tortie.resources.felix.lists import items, joined
from tortie.resources.felix.syntax import Syntax, misshapen, plain, unreadable
from tortie.resources.fields import Decoder, Field, Json, list_of, map_of, object_of
from tortie.resources.nodes import Scalar
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import AUTO, duration, pattern, seconds, text, timeout

TIMEOUTS = {
    key.lower(): key
    for key in (
        "creationGracePeriod",
        "tcpSynSent",
        "tcpEstablished",
        "tcpFinsSeen",
        "tcpResetSeen",
        "udpTimeout",
        "genericTimeout",
        "icmpTimeout",
    )
}
"""Keys of bpfConntrackTimeouts, by themselves in lower case."""
MOST_DOUBTS = 5
_COMPONENT = r"[a-zA-Z0-9_ -]+\Z"


def _pairs(key: str, value: Callable[[str], object], what: str) -> Callable[[str], Mapping[str, str]]:
    def read(text: str) -> Mapping[str, str]:
        found = {}
        for item in items(text):
            name, equals, rest = (part.strip() for part in item.partition("="))
            if not equals or not re.match(key, name) or not value(rest):
                raise unreadable(item, f"no {what}")
            found[name] = rest
        return found

    return read


def _flat_map(value: Json) -> str:
    if not isinstance(value, dict):
        raise misshapen(value)
    return ",".join(f"{key}={each}" for key, each in value.items())


def _flat_override(value: Json) -> str:
    match value:
        case {"name": str(name), "timeout": str(length)}:
            return f"{name}={length}"
        case _:
            raise misshapen(value)


def key_values(
    what: str, field: Decoder, values: Callable[[str], object] = lambda text: True
) -> Syntax[Mapping[str, str]]:
    """A list of key=value."""
    read = _pairs(r"(?a:\w+)\Z", values, what)  # documents hold them as text, too
    return Syntax(f"a list of {what}", read, field, zero={}, flatten=plain(str))


def _check_interface(key: Scalar, path: str, problems: Problems) -> None:
    if not re.match(r"[a-zA-Z0-9_.-]{1,15}\Z", key.text):
        expected = "an interface, all, weps or heps"
        problems.add("TT1115", key, path, "invalid interface name", found=shorten(key.text), expected=expected)


HEALTH_TIMEOUTS: Syntax[Mapping[str, str]] = Syntax(
    "a list of component=duration, such as InternalDataplaneMainLoop=5m",
    _pairs(_COMPONENT, lambda text: seconds(text) is not None, "component=duration"),
    list_of(
        object_of(
            {
                "name": Field(pattern("TT1116", _COMPONENT, "a component's name"), "The component.", is_required=True),
                "timeout": Field(duration(), "How long it may be silent.", is_required=True),
            }
        )
    ),
    zero={},
    flatten=joined(_flat_override),
)
LOG_FILTERS: Syntax[Mapping[str, str]] = Syntax(
    "a list of interface=expression",
    _pairs(r"[a-zA-Z0-9_.-]{1,15}\Z", bool, "interface=expression"),
    map_of(_check_interface, text),
    zero={},
    flatten=_flat_map,
)


# ---- timeouts of connections


def _known(text: str) -> tuple[dict[str, float | None], list[str]]:
    """The timeouts by the API's keys, and what of the text does not count."""
    values: dict[str, float | None] = {}
    doubts = []
    for item in items(text):
        name, _, length = (part.strip() for part in item.partition("="))
        key, length_s = TIMEOUTS.get(name.lower()), seconds(length)
        if key is None:
            doubts.append(f"{shorten(name)!r} is no timeout; there are {', '.join(TIMEOUTS.values())}")
        elif length_s is None and length != AUTO:
            doubts.append(f"{key}: {shorten(length)!r} is no duration and not {AUTO}: the built-in value holds")
        else:
            values[key] = length_s
    return values, doubts


def _read_timeouts(text: str) -> Mapping[str, float | None]:
    return _known(text)[0]


def _doubt_timeouts(text: str) -> Sequence[str]:
    doubts = _known(text)[1]
    rest = len(doubts) - MOST_DOUBTS
    return doubts if rest <= 0 else [*doubts[:MOST_DOUBTS], f"and {rest} more"]


CONNTRACK_TIMEOUTS: Syntax[Mapping[str, float | None]] = Syntax(
    "a list of name=duration or name=Auto, such as UDPTimeout=60s",
    _read_timeouts,
    object_of(
        {key: Field(timeout, f"Idle time of the state {key}; {AUTO}: the kernel's own.") for key in TIMEOUTS.values()}
    ),
    zero={},
    flatten=_flat_map,
    doubts=_doubt_timeouts,
)
