"""The settings that hold for this host: the node's own document, field by field, over the default one.

Documents with a `node_selector` never apply: it asks for the labels of Node documents, which a plain host has none of.
Source: reference config.md section 1 (unknown node labels: none applies).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from tortie.model.failsafe import Failsafes
from tortie.model.settings import DEFAULT_NAME, NODE_PREFIX, FelixSettings, InvalidPattern, interface_pattern

Value = TypeVar("Value")

WORKLOAD_PREFIXES = ("cali",)
EXCLUDED_INTERFACES = ("kube-ipvs0",)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What is in force. Defaults: reference config.md sections 4 and 5."""

    failsafes: Failsafes = field(default_factory=Failsafes)
    interface_prefixes: tuple[str, ...] = WORKLOAD_PREFIXES
    interface_exclude: tuple[str, ...] = EXCLUDED_INTERFACES

    def excludes(self, interface: str) -> bool:
        """Whether an interface is excluded from being a host endpoint."""
        patterns = (_pattern(entry) for entry in self.interface_exclude)
        return any(pattern is not None and pattern.search(interface) for pattern in patterns)


@lru_cache(maxsize=256)
def _pattern(entry: str) -> re.Pattern[str] | None:
    """None for an entry that documents cannot hold: it excludes nothing, because excluding is the weaker choice."""
    try:
        return interface_pattern(entry)
    except InvalidPattern:
        return None


def merge(documents: Mapping[str, FelixSettings], node: str) -> HostSettings:
    """`node.<node>` over `default` over the built-in defaults; documents of other names never apply."""
    levels = [documents[name] for name in (NODE_PREFIX + node, DEFAULT_NAME) if name in documents]
    host = HostSettings()
    return HostSettings(
        Failsafes(
            _first((level.failsafe_inbound for level in levels), host.failsafes.inbound),
            _first((level.failsafe_outbound for level in levels), host.failsafes.outbound),
        ),
        _first((level.interface_prefixes for level in levels), host.interface_prefixes),
        _first((level.interface_exclude for level in levels), host.interface_exclude),
    )


def _first(values: Iterable[Value | None], fallback: Value) -> Value:
    return next((value for value in values if value is not None), fallback)
