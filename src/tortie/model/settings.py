"""Settings of the agent that documents give: failsafe ports, and which interfaces are the host's own.

Levels, weakest first: built-in, the object `default`, the one selector-scoped object that applies, `node.<name>`.
None means that a level says nothing, so that a weaker one shows through.
Source: reference config.md sections 1 and 4.
"""

from dataclasses import dataclass

from tortie.model.failsafe import FailsafePort
from tortie.model.selector import Selector

DEFAULT_NAME = "default"
NODE_PREFIX = "node."


@dataclass(frozen=True, slots=True, kw_only=True)
class FelixSettings:
    """One FelixConfiguration. An empty failsafe tuple means none at all, which differs from None."""

    name: str
    node_selector: Selector | None = None
    failsafe_inbound: tuple[FailsafePort, ...] | None = None
    failsafe_outbound: tuple[FailsafePort, ...] | None = None
    interface_prefixes: tuple[str, ...] | None = None
    interface_exclude: tuple[str, ...] | None = None
