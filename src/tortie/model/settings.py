"""Settings of the agent that documents give: failsafe ports, which interfaces are the host's own, connection tracking.

Levels, weakest first: built-in, the object `default`, the one selector-scoped object that applies, `node.<name>`, then
what the agent was told where it runs: its configuration file, its environment. None means that a level says nothing, so
that a weaker one shows through.
Source: reference config.md sections 1, 4 and 7.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tortie.model.failsafe import FailsafePort
from tortie.model.host import ToHost
from tortie.model.selector import Selector
from tortie.model.tables import Backend
from tortie.model.xdp import XdpUse

DEFAULT_NAME = "default"
NODE_PREFIX = "node."

LONGEST_PATTERN = 100
MOST_REPEATS = 4
_READ_DIFFERENTLY = re.compile(r"\[[^\]]*(\[|--|&&|\|\||~~)|\{,")
"""What RE2 and Python's matcher do not understand in the same way: `[[:alpha:]]`, `[+--]`, `{,3}`."""


class InvalidPattern(ValueError):
    """An interface pattern that is no regular expression, or one that could take long to match."""


class NodeLabels(NamedTuple):
    """What a node's document says of it that settings look at."""

    name: str
    labels: Mapping[str, str]


class Scope(NamedTuple):
    """Which nodes a document is for: by its name, or by the labels of nodes. `created` is its time as text."""

    name: str
    node_selector: Selector | None = None
    created: str = ""


def applying(scopes: Iterable[Scope], node: str, labels: Mapping[str, str] | None) -> list[Scope]:
    """The documents that hold for the node, strongest first. `labels` None: the node's labels are not known.

    Of those that select the node by its labels only the oldest holds; where the age is not known, it is the youngest.
    """
    listed = list(scopes)
    by_name = {scope.name: scope for scope in listed}
    chosen = [by_name.get(NODE_PREFIX + node), *_selecting(listed, labels)[:1], by_name.get(DEFAULT_NAME)]
    return [scope for scope in chosen if scope is not None]


def overlaps(scopes: Iterable[Scope], labels: Mapping[str, str] | None) -> list[str]:
    """A sentence where several documents select a node with these labels."""
    oldest, *others = _selecting(scopes, labels) or [Scope("")]
    if not others:
        return []
    names = ", ".join(scope.name for scope in others)
    return [f"several FelixConfigurations select this node: {oldest.name} holds, and {names} do not; let one select it"]


def _selecting(scopes: Iterable[Scope], labels: Mapping[str, str] | None) -> list[Scope]:
    """The documents whose selector takes these labels, oldest first."""
    if labels is None:
        return []
    found = [
        scope
        for scope in scopes
        if scope.name != DEFAULT_NAME
        and not scope.name.startswith(NODE_PREFIX)
        and scope.node_selector is not None
        and scope.node_selector.matches(labels)
    ]
    return sorted(found, key=lambda scope: (not scope.created, scope.created, scope.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class FelixSettings:
    """What one level says. An empty failsafe tuple means none at all, which differs from None.

    An entry of `interface_exclude` is a name, or a regular expression between slashes (`interface_pattern`).
    `conntrack_timeouts` goes from the API's key to seconds, or to None for `Auto`; a key that is not there, or whose
    value nobody could read, has its built-in value. A `conntrack_size` of 0 or less stands for the built-in one.
    `uses_ebpf` and `nftables_mode` choose the dataplane (`model.dataplane`).
    `problems`: what the level says and does not count as it was said.
    `iptables_rejects`, `nftables_rejects`: the deny action of that filter is Reject. `iptables_backend`,
    `iptables_mark_mask`, `appends_rules`: see `model.tables`.
    """

    name: str
    node_selector: Selector | None = None
    created: str = ""
    failsafe_inbound: tuple[FailsafePort, ...] | None = None
    failsafe_outbound: tuple[FailsafePort, ...] | None = None
    interface_prefixes: tuple[str, ...] | None = None
    interface_exclude: tuple[str, ...] | None = None
    conntrack_timeouts: Mapping[str, float | None] | None = None
    conntrack_size: int | None = None
    drops_invalid: bool | None = None
    xdp: XdpUse | None = None
    may_use_generic_xdp: bool | None = None
    to_host: ToHost | None = None
    iptables_rejects: bool | None = None
    nftables_rejects: bool | None = None
    uses_ebpf: bool | None = None
    nftables_mode: str | None = None
    iptables_backend: Backend | None = None
    iptables_mark_mask: int | None = None
    appends_rules: bool | None = None
    problems: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        """Which nodes it is for, where it is a document."""
        return Scope(self.name, self.node_selector, self.created)


def interface_pattern(entry: str) -> re.Pattern[str]:
    """What to search interface names for: the whole name, or the expression between the slashes anywhere in it.

    Raises: InvalidPattern.
    Because: Python's matcher backtracks, so repeated groups and many repeats are refused; interface names are short.
    """
    if not (len(entry) > 2 and entry[0] == entry[-1] == "/"):
        return re.compile(rf"\A{re.escape(entry)}\Z")
    from tortie.model.regex import InvalidExpression, check_expression  # few lists hold one

    text = entry[1:-1]
    if len(text) > LONGEST_PATTERN or len(re.findall(r"[*+?{]", text)) > MOST_REPEATS:
        raise InvalidPattern(f"{entry[:40]!r} is too long or repeats too often; use at most {MOST_REPEATS} of * + ? {{")
    try:
        check_expression(text)
    except InvalidExpression as error:
        raise InvalidPattern(f"{entry!r} is no regular expression: {error}") from None
    if re.search(r"\)[*+?{]|\(\?|\\[0-9]", text):
        raise InvalidPattern(f"{entry!r} repeats a group, looks around or refers back; list the names one by one")
    if _READ_DIFFERENTLY.search(text):
        raise InvalidPattern(f"{entry!r} has a class or a repeat that cannot be matched here; write it out")
    try:
        return re.compile(text, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidPattern(f"{entry!r} cannot be matched here: {error}; list the names one by one") from None
