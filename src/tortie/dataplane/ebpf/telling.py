"""What the driver says of itself: what is enforced on which interface, and how many packets met what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tortie.dataplane.driver import Acceleration, InterfaceStatus, LogEvent, ReasonCount, RuleCount
from tortie.dataplane.ebpf.events import decode
from tortie.dataplane.ebpf.hooks import Hooks
from tortie.dataplane.ebpf.planes import Planes
from tortie.dataplane.ebpf.programs import Programs
from tortie.dataplane.ebpf.table import EgressTable
from tortie.dataplane.intent import Intent
from tortie.dataplane.nft_egress import ReasonKey, RuleKey
from tortie.kernel.errors import KernelError
from tortie.model.packet import Direction
from tortie.model.verdict import Reason

_NFT_DROPS = (Reason.FRAGMENT, Reason.MALFORMED)
"""What ends a packet's way in the nft table; every other packet goes on to the egress program, and is counted there."""


def statuses(intent: Intent, planes: Planes, failed: Mapping[str, str]) -> Sequence[InterfaceStatus]:
    """One entry for each interface with an endpoint."""
    found = []
    for name, state in sorted(intent.newest.items()):
        plane = planes.get(name)
        hooks = plane.hooks if plane is not None else None
        program_id, program = _attached(hooks)
        found.append(
            InterfaceStatus(
                interface=name,
                endpoint=state.endpoint,
                acceleration=hooks.placement.acceleration if hooks is not None else Acceleration.NONE,
                reason=hooks.placement.reason if hooks is not None else failed.get(name, "nothing is enforced"),
                program_id=program_id,
                program_name=program,
                refused=intent.refused.get(name, ()),
                is_enforced=hooks is not None,
                backend=plane.backend if plane is not None else "",
                xdp=state.xdp.use,
                unmet=hooks.placement.unmet if hooks is not None else "",
                table_bytes=sum(one.pages.memory_bytes for one in plane.generations()) if plane is not None else 0,
            )
        )
    return found


def _attached(hooks: Hooks | None) -> tuple[int | None, str | None]:
    """Id and name of the root that an interface runs; None where there is none, or the interface has just gone."""
    if hooks is None:
        return None, None
    try:
        return hooks.attached_program()
    except KernelError:
        return None, None


def counts(planes: Planes, table: EgressTable) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
    """Exact totals: from the programs, and from nft where untracked policy decided what leaves."""
    rules: list[RuleCount] = []
    reasons: list[ReasonCount] = []
    for name, plane in sorted(planes.items()):
        for direction in Direction:
            for what, count in plane.counts(direction).items():
                if isinstance(what, Reason):
                    reasons.append(ReasonCount(name, direction, what, count))
                else:
                    rules.append(RuleCount(name, direction, what, count))
    for key, count in table.counts().items():
        if key.interface not in planes:  # policy of an endpoint that is gone
            continue
        match key:
            case RuleKey(interface=interface, rule=rule):
                rules.append(RuleCount(interface, Direction.EGRESS, rule, count))
            case ReasonKey(interface=interface, reason=reason) if reason in _NFT_DROPS:
                reasons.append(ReasonCount(interface, Direction.EGRESS, reason, count))
    return rules, reasons


def logged(planes: Planes, programs: Programs) -> Sequence[LogEvent]:
    """Packets that met Log rules since the last call."""
    found = []
    for event in (decode(record) for record in programs.maps.log_records()):
        where = planes.running(event.lane, event.pages_id)
        if where is not None:  # else it met pages that were replaced meanwhile
            name, running = where
            found.append(LogEvent(name, event.packet, *running.met(event.counter)))
    return found
