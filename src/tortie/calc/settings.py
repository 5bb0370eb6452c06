"""The settings that hold for this host: field by field, what the strongest level says.

Source: reference config.md sections 1 and 7 (timeouts).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

from tortie.model.conntrack import DEFAULT_TABLE_SIZE, Timeouts, TrackingSettings
from tortie.model.dataplane import WHATEVER, DataplaneWish, wish_of
from tortie.model.endpoint import HostEndpoint
from tortie.model.failsafe import Failsafes
from tortie.model.host import ToHost
from tortie.model.settings import FelixSettings, InvalidPattern, applying, interface_pattern, overlaps
from tortie.model.tables import TablesUse
from tortie.model.xdp import XdpWish

Value = TypeVar("Value")

WORKLOAD_PREFIXES = ("cali",)
EXCLUDED_INTERFACES = ("kube-ipvs0",)

TIMEOUTS: Mapping[str, tuple[str, str | None]] = {
    "tcpSynSent": ("tcp_syn_sent_s", "nf_conntrack_tcp_timeout_syn_sent"),
    "tcpEstablished": ("tcp_established_s", "nf_conntrack_tcp_timeout_established"),
    "tcpFinsSeen": ("tcp_fins_seen_s", "nf_conntrack_tcp_timeout_time_wait"),
    "tcpResetSeen": ("tcp_reset_seen_s", None),
    "udpTimeout": ("udp_s", None),
    "genericTimeout": ("generic_s", "nf_conntrack_generic_timeout"),
    "icmpTimeout": ("icmp_s", "nf_conntrack_icmp_timeout"),
}
"""By the API's key: the timeout it sets, and the kernel's setting that `Auto` stands for."""
KERNEL_TIMEOUTS = tuple(setting for _, setting in TIMEOUTS.values() if setting is not None)
"""What a kernel may be asked for, below net.netfilter."""
UNSAID_TIMEOUTS: Mapping[str, float | None] = {"tcpFinsSeen": None}
"""What holds where no document says anything about timeouts; every other key has its built-in value."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What is in force. Defaults: reference config.md sections 4 and 5."""

    failsafes: Failsafes = field(default_factory=Failsafes)
    interface_prefixes: tuple[str, ...] = WORKLOAD_PREFIXES
    interface_exclude: tuple[str, ...] = EXCLUDED_INTERFACES
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    xdp: XdpWish = field(default_factory=XdpWish)
    to_host: ToHost = ToHost.DROP
    rejects: bool = False
    dataplane: DataplaneWish = WHATEVER
    tables: TablesUse = field(default_factory=TablesUse)

    def xdp_of(self, endpoint: HostEndpoint) -> XdpWish:
        """What holds for interfaces of the endpoint: what it says itself counts before what is said of the host."""
        return self.xdp if endpoint.xdp is None else replace(self.xdp, use=endpoint.xdp, is_own=True)

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


def levels(
    documents: Mapping[str, FelixSettings], node: str, labels: Mapping[str, str] | None
) -> tuple[list[FelixSettings], list[str]]:
    """The documents that hold for the node, strongest first, and what of theirs does not count as it was said."""
    scopes = [one.scope for one in documents.values()]
    found = [documents[scope.name] for scope in applying(scopes, node, labels)]
    problems = [problem for one in found for problem in one.problems]
    return found, problems + overlaps(scopes, labels)


def merge(levels: Sequence[FelixSettings], kernel: Mapping[str, float]) -> HostSettings:
    """What the levels say, strongest first, over the built-in defaults.

    `kernel`: the values of those of KERNEL_TIMEOUTS that are known.
    """
    host = HostSettings()
    return HostSettings(
        Failsafes(
            _first((level.failsafe_inbound for level in levels), host.failsafes.inbound),
            _first((level.failsafe_outbound for level in levels), host.failsafes.outbound),
        ),
        _first((level.interface_prefixes for level in levels), host.interface_prefixes),
        _first((level.interface_exclude for level in levels), host.interface_exclude),
        TrackingSettings(
            timeouts=_timeouts(_first((level.conntrack_timeouts for level in levels), UNSAID_TIMEOUTS), kernel),
            size=_size(_first((level.conntrack_size for level in levels), DEFAULT_TABLE_SIZE)),
            drops_invalid=_first((level.drops_invalid for level in levels), host.tracking.drops_invalid),
        ),
        XdpWish(
            _first((level.xdp for level in levels), host.xdp.use),
            may_be_generic=_first((level.may_use_generic_xdp for level in levels), False),
        ),
        _first((level.to_host for level in levels), host.to_host),
        # Either deny action is enough, whatever the dataplane (semantics.md, row "Reject").
        _first((level.iptables_rejects for level in levels), False)
        or _first((level.nftables_rejects for level in levels), False),
        wish_of(
            next((one.uses_ebpf for one in levels if one.uses_ebpf is not None), None),
            next((one.nftables_mode for one in levels if one.nftables_mode is not None), None),
        ),
        TablesUse(
            _first((level.iptables_backend for level in levels), host.tables.backend),
            _first((level.iptables_mark_mask for level in levels), host.tables.mark_mask),
            appends=_first((level.appends_rules for level in levels), host.tables.appends),
        ),
    )


def _timeouts(said: Mapping[str, float | None], kernel: Mapping[str, float]) -> Timeouts:
    """The built-in timeouts with what was said in place, and where that is `Auto`, what the kernel has."""
    values: dict[str, float] = {}
    for key, seconds in said.items():
        name, setting = TIMEOUTS.get(key, ("", None))
        value = kernel.get(setting or "") if seconds is None else seconds
        if name and value is not None:
            values[name] = value
    return replace(Timeouts(), **values)


def _size(said: int) -> int:
    return said if said > 0 else DEFAULT_TABLE_SIZE


def _first(values: Iterable[Value | None], fallback: Value) -> Value:
    return next((value for value in values if value is not None), fallback)
