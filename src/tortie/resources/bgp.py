"""The value types of the kinds that configure BGP.

Source: reference resources.md sections 2 and 8.16 to 8.18.
"""

import re

from tortie.resources.addresses import net
from tortie.resources.fields import BAD, Field, Json, Missing, decoder, describe, object_of, refuse_type
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import INT_OR_STRING, boolean, integer, optional_text, pattern, text

MAX_AS_NUMBER, DEFAULT_AS_NUMBER = 2**32 - 1, 64512
_AS_NUMBER = r"([0-9]{1,10})(?:\.([0-9]{1,10}))?\Z"
_COMMUNITY = r"[0-9]{1,10}:[0-9]{1,10}(?::[0-9]{1,10})?\Z"
INTERFACE = r"[a-zA-Z0-9_.*-]{1,15}\Z"
"""An interface name in which `*` stands for any text."""


@decoder(**INT_OR_STRING)
def as_number(node: Node, path: str, problems: Problems) -> Json | Missing:
    """The number of an autonomous system as an integer; text may be decimal, or dotted as in RFC 5396."""
    expected = f'0 to {MAX_AS_NUMBER}, or dotted as in "1.10"'
    value = node.value if isinstance(node, Scalar) else None
    number: int | None
    if isinstance(value, str):
        if not re.match(_AS_NUMBER, value):
            problems.add("TT1116", node, path, "invalid AS number", found=describe(node), expected=expected)
            return BAD
        number = _as_number_of(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        number = int(value)
    else:
        remedy = (
            f'quote it: "{shorten(node.text, 20)}"' if isinstance(value, float) and isinstance(node, Scalar) else ""
        )
        return refuse_type(node, path, problems, expected, remedy)
    if number is None or not 0 <= number <= MAX_AS_NUMBER:
        problems.add("TT1105", node, path, "number out of range", found=describe(node), expected=expected)
        return BAD
    return number


def _as_number_of(text: str) -> int | None:
    """The number that the text stands for; None where one half of a dotted one is too large."""
    high, dot, low = text.partition(".")
    if not dot:
        return int(high)
    return int(high) << 16 | int(low) if max(int(high), int(low)) <= 0xFFFF else None


def is_community(value: str) -> bool:
    """Whether the text is a standard community (RFC 1997) or a large one (RFC 8092), its parts in their ranges."""
    if not re.match(_COMMUNITY, value):
        return False
    parts = [int(part) for part in value.split(":")]
    return max(parts) < (2**16 if len(parts) == 2 else 2**32)


_COMMUNITY_FORM = "aa:nn with numbers below 65536, or aa:nn:mm with numbers below 4294967296"
community = pattern("TT1334", is_community, _COMMUNITY_FORM)
"""Decoder of a community's value."""
priority = integer(1, 2**31 - 2)
"""Decoder of the metric that the kernel gives a route."""
network = net(strict=True, may_be_address=False)
"""Decoder of a network that is announced; of either IP version."""
secret = object_of(
    {
        "secretKeyRef": Field(
            object_of(
                {
                    "name": Field(optional_text, "The name of the Kubernetes Secret."),
                    "key": Field(text, "Which of its keys holds the password.", is_required=True),
                    "optional": Field(boolean, "Whether the Secret, or its key, may be missing."),
                }
            ),
            "The key of a Kubernetes Secret in the namespace of the agents.",
        )
    }
)
"""Decoder of a password that a Kubernetes Secret holds."""
