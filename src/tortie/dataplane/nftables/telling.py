"""What the driver says of itself: what is enforced on which interface, and how many packets met what."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from tortie.dataplane.driver import (
    Acceleration,
    ConnectionStatus,
    InterfaceStatus,
    ReasonCount,
    RuleCount,
    TableFill,
)
from tortie.dataplane.intent import Intent
from tortie.dataplane.nftables.table import CountKey
from tortie.kernel import sysctl
from tortie.kernel.ctnetlink import ConntrackEntry
from tortie.model.verdict import Reason

_WHERE = "nftables decides, in the kernel's hooks behind the interface"


def statuses(
    intent: Intent, policed: Collection[str], refused: Mapping[str, tuple[str, ...]], failed: Mapping[str, str]
) -> Sequence[InterfaceStatus]:
    """One entry for each interface with an endpoint."""
    problem = next(iter(failed.values()), "nothing is enforced")
    return [
        InterfaceStatus(
            interface=name,
            endpoint=state.endpoint,
            acceleration=Acceleration.NETFILTER if name in policed else Acceleration.NONE,
            reason=_WHERE if name in policed else problem,
            refused=refused.get(name, ()),
            is_enforced=name in policed,
            backend="nftables",
        )
        for name, state in sorted(intent.newest.items())
    ]


def counts(totals: Counter[CountKey], interfaces: Collection[str]) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
    """Totals by rule and by reason; a policy in two classes has its counts in one number."""
    rules: list[RuleCount] = []
    reasons: list[ReasonCount] = []
    for (interface, direction, what), packets in totals.items():
        if interface not in interfaces:  # policy of an endpoint that is gone
            continue
        if isinstance(what, Reason):
            reasons.append(ReasonCount(interface, direction, what, packets))
        else:
            rules.append(RuleCount(interface, direction, what, packets))
    return rules, reasons


def connection_status(entries: Iterable[ConntrackEntry]) -> ConnectionStatus:
    """How full the kernel's table is. Both families share it, and each is shown with the size of all of it."""
    size = sysctl.read_integer("net", "netfilter", "nf_conntrack_max") or 0
    found = Counter((entry.original.version, entry.is_assured) for entry in entries)
    tables = [TableFill(version, found[version, True], size, found[version, False], size) for version in (4, 6) if size]
    return ConnectionStatus(tables=tables)
