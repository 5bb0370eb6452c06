"""Settings of the agent that documents give: failsafe ports, which interfaces are the host's own, connection tracking.

Levels, weakest first: built-in, the object `default`, the one selector-scoped object that applies, `node.<name>`.
None means that a level says nothing, so that a weaker one shows through.
Source: reference config.md sections 1, 4 and 7.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tortie.model.failsafe import FailsafePort
from tortie.model.selector import Selector

DEFAULT_NAME = "default"
NODE_PREFIX = "node."

LONGEST_PATTERN = 100
MOST_REPEATS = 4


class InvalidPattern(ValueError):
    """An interface pattern that is no regular expression, or one that could take long to match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FelixSettings:
    """One FelixConfiguration. An empty failsafe tuple means none at all, which differs from None.

    An entry of `interface_exclude` is a name, or a regular expression between slashes (`interface_pattern`).
    `conntrack_timeouts` goes from the API's key to seconds, or to None for `Auto`; a key that is not there, or whose
    value nobody could read, has its built-in value. A `conntrack_size` of 0 or less stands for the built-in one.
    """

    name: str
    node_selector: Selector | None = None
    failsafe_inbound: tuple[FailsafePort, ...] | None = None
    failsafe_outbound: tuple[FailsafePort, ...] | None = None
    interface_prefixes: tuple[str, ...] | None = None
    interface_exclude: tuple[str, ...] | None = None
    conntrack_timeouts: Mapping[str, float | None] | None = None
    conntrack_size: int | None = None
    drops_invalid: bool | None = None
    may_use_xdp: bool | None = None


def interface_pattern(entry: str) -> re.Pattern[str]:
    """What to search interface names for: the whole name, or the expression between the slashes anywhere in it.

    Raises: InvalidPattern.
    Because: Python's matcher backtracks, so repeated groups and many repeats are refused; interface names are short.
    """
    if not (len(entry) > 2 and entry[0] == entry[-1] == "/"):
        return re.compile(rf"\A{re.escape(entry)}\Z")
    text = entry[1:-1]
    if len(text) > LONGEST_PATTERN or len(re.findall(r"[*+?{]", text)) > MOST_REPEATS:
        raise InvalidPattern(f"{entry[:40]!r} is too long or repeats too often; use at most {MOST_REPEATS} of * + ? {{")
    if re.search(r"\)[*+?{]|\(\?|\\[0-9]", text):
        raise InvalidPattern(f"{entry!r} repeats a group, looks around or refers back; list the names one by one")
    try:
        return re.compile(text, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidPattern(f"{entry!r} is no regular expression: {error}") from None
