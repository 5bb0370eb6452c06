"""What drivers behind the interface say of themselves: what is enforced where, and how many packets met what. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tortie.dataplane.driver import (
    Acceleration,
    ConnectionStatus,
    InterfaceStatus,
    ReasonCount,
    RuleCount,
    TableFill,
)
from tortie.dataplane.intent import Intent
from tortie.kernel import sysctl
from tortie.kernel.ctnetlink import ConntrackEntry
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey
from tortie.model.verdict import Reason, RuleRef


class CountKey(NamedTuple):
    """What a named counter counts: packets of that interface and direction."""

    interface: str
    direction: Direction
    what: RuleRef | Reason


def statuses(
    intent: Intent,
    policed: Collection[str],
    refused: Mapping[str, tuple[str, ...]],
    failed: Mapping[str, str],
    *,
    backend: str,
    remark: str = "",
) -> Sequence[InterfaceStatus]:
    """One entry for each interface with an endpoint. `remark` is added to who decides."""
    where = f"{backend} decides, in the kernel's hooks behind the interface{remark}"
    problem = next(iter(failed.values()), "nothing is enforced")
    return [
        InterfaceStatus(
            interface=name,
            endpoint=state.endpoint,
            acceleration=Acceleration.NETFILTER if name in policed else Acceleration.NONE,
            reason=where if name in policed else problem,
            refused=refused.get(name, ()),
            is_enforced=name in policed,
            backend=backend,
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


def policy_name(key: PolicyKey) -> str:
    """A policy as part of a path: the capitals of its kind, its namespace, its name."""
    kind = "".join(character for character in key.kind if character.isupper()).lower()
    return ".".join(part for part in (kind, key.namespace, key.name) if part)


def described(ref: RuleRef) -> str:
    """What a rule of the kernel is for, in a few words."""
    if ref.index < 0:
        text = {"Tier": "end of tier {}", "Profile": "there is no profile {}"}.get(
            ref.policy.kind, "default deny of {}"
        )
        return text.format(ref.policy.name)
    return f"{ref.policy} rule {ref.index}" + (f" in tier {ref.tier}" if ref.tier else "")
