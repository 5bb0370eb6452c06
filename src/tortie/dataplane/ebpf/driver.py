"""The eBPF driver: XDP (or tc) for what arrives, tc for what leaves, nft for untracked egress and notrack.

    take(delta) ─▶ desired, dirty interfaces ─▶ apply ─▶ refusals: the last good state stays
                                                  ├─▶ nft table (a child process, meanwhile:)
                                                  ├─▶ connection table, host addresses
                                                  └─▶ each dirty interface: in place, or new generations and flips

Everything it makes is in a bpffs folder of this network namespace and in the table `inet tortie`; nothing else is
touched.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tortie.dataplane.driver import (
    Acceleration,
    ApplyReport,
    ConnectionStatus,
    Established,
    InstalledVerdict,
    InterfaceStatus,
    LogEvent,
    ReasonCount,
    RuleCount,
    Unsupported,
)
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.folder import PinFolder
from tortie.dataplane.ebpf.hooks import Traits
from tortie.dataplane.ebpf.interface import InterfacePlane
from tortie.dataplane.ebpf.plan import Planner, refusals
from tortie.dataplane.ebpf.sets import Sets
from tortie.dataplane.ebpf.table import EgressTable
from tortie.dataplane.ebpf.takeover import of_sockets
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT, ReasonKey, RuleKey
from tortie.kernel import features
from tortie.kernel.errors import KernelError
from tortie.kernel.sockets import read_connections
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import Delta, EndpointState, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.packet import Direction, Packet
from tortie.model.policy import PolicyKey, Stage
from tortie.model.verdict import Reason

BPFFS = Path("/run/tortie/bpf")
TABLE = "table inet tortie"
FLOWS = "connection table"
TAKE_OVER = "connections that existed before"
_NFT_DROPS = (Reason.FRAGMENT, Reason.MALFORMED)
"""What ends a packet's way in the nft table; every other packet goes on to the egress program, and is counted there."""


class EbpfDriver:
    """See the module, and the protocol `Driver`."""

    name = "ebpf"

    def __init__(self, bpffs: Path = BPFFS, *, mark_bit: int = DEFAULT_MARK_BIT) -> None:
        found = features.probe()
        self._traits = Traits(has_tcx=found.has("tcx"), has_frags=found.has("xdp-frags"), mark_bit=mark_bit)
        self._folder = PinFolder(bpffs, self._traits)
        self._planner = Planner()
        self._flows = FlowTables(self._folder.host)
        self._tracking = TrackingSettings()
        self._addresses = HostAddresses()
        self._sets = Sets()
        self._failsafes = Failsafes()
        self._states: dict[str, EndpointState] = {}
        self._enforced: dict[str, EndpointState] = {}
        self._planes: dict[str, InterfacePlane] = {}
        self._dirty: set[str] = set()
        self._refused: dict[str, tuple[str, ...]] = {}
        self._failed: dict[str, str] = {}
        self._held: set[str] = set()
        """Interfaces that wait because the nft table of an earlier agent has to stay."""
        self._keeps_table = False
        self._unrepaired: set[str] = set()
        """Interfaces that the last check could not repair; what is still attached stays, the next check tries again."""
        self._is_first = True
        self._table = EgressTable(mark_bit, has_shortcuts=found.has("nft-fragments"))
        self._table_is_dirty = True
        self._addresses_are_dirty = True

    # ---- desired state

    def take(self, delta: Delta) -> None:
        """Note a change."""
        for set_id, change in delta.sets.items():
            self._sets.change(set_id, change)
        for name, state in delta.endpoints.items():
            self._dirty.add(name)
            if state is None:
                self._states.pop(name, None)
            else:
                self._states[name] = state
        if delta.failsafes is not None:
            self._failsafes = delta.failsafes
            self._dirty |= self._states.keys()
        if delta.tracking is not None:
            self._tracking = delta.tracking
            self._dirty |= self._states.keys()
        if delta.addresses is not None:
            self._addresses = delta.addresses
            self._addresses_are_dirty = True
        self._table_is_dirty = self._table_is_dirty or bool(delta)

    # ---- making it so

    def apply(self) -> ApplyReport:
        """Make the kernel so; what failed stays dirty, and what is enforced stays."""
        return self._apply(repaired=())

    def resync(self) -> ApplyReport:
        """Check everything against the kernel, repair, then apply."""
        repaired: list[str] = []
        self._repair_bpffs(repaired)
        try:
            repaired += self._flows.repair()
        except KernelError as error:
            self._failed[FLOWS] = str(error)
        for name, plane in self._planes.items():
            try:
                repaired += [f"{name}: {what}" for what in plane.repair()]
                if plane.could_have_xdp():
                    plane.release()
                    self._dirty.add(name)
                    repaired.append(f"{name}: XDP is free again")
            except KernelError as error:
                if error.code == errno.ENODEV:  # the interface is gone, and with it what was on it
                    plane.release()
                    self._dirty.add(name)
                else:
                    self._failed[name] = str(error)
                    self._unrepaired.add(name)
            else:
                if name in self._unrepaired:
                    self._unrepaired.discard(name)
                    self._failed.pop(name, None)
        try:
            if not self._table.check():
                self._table.distrust()
                self._table_is_dirty = True
                repaired.append(TABLE)
            if not self._table_is_dirty:
                self._failed.pop(TABLE, None)
        except KernelError as error:
            self._failed[TABLE] = str(error)
        return self._apply(repaired=tuple(repaired))

    def _repair_bpffs(self, repaired: list[str]) -> None:
        if not self._folder.renew():
            return
        for plane in self._planes.values():
            if plane.hooks is not None:
                plane.move(self._folder.of(plane.hooks.index))
        self._flows.move(self._folder.host)
        repaired.append("bpffs")

    def _apply(self, *, repaired: tuple[str, ...]) -> ApplyReport:
        if self._is_first:
            # on interfaces that nothing wants policed any more
            self._folder.sweep({state.interface.index for state in self._states.values()})
        in_place = self._change_in_place()
        changed = list(in_place)
        self._follow_renames()
        self._refuse()
        dirty = sorted(self._dirty)
        has_table_work = self._begin_table()
        try:
            refused_late = self._enforce_dirty(dirty, changed) if self._tell_addresses() else False
        finally:
            if has_table_work:
                self._finish_table()
        if refused_late:  # only now is it known that the table should hold the last good state of these too
            self._table_is_dirty = True
            if self._begin_table():
                self._finish_table()
        self._sets.forget_dropped(kept=self._sets_of_last_good())
        self._sets.changes.clear()
        self._is_first = False
        for plane in self._planes.values():
            plane.settle()
        if dirty:
            self._planner.forget(self._policies(), self._sets)
        return ApplyReport(
            changed=tuple(changed), repaired=repaired, refused=dict(self._refused), failed=dict(self._failed)
        )

    def _tell_addresses(self) -> bool:
        """Have the connection table, and the host's addresses in it; False where that failed, and nothing can go on."""
        try:
            if self._states:
                self._flows.open(self._tracking)
                if self._addresses_are_dirty:
                    self._flows.set_addresses(self._addresses)
                    self._addresses_are_dirty = False
        except KernelError as error:
            self._failed[FLOWS] = str(error)
            return False
        self._failed.pop(FLOWS, None)
        return True

    def _enforce_dirty(self, dirty: Sequence[str], changed: list[str]) -> bool:
        """Work off the interfaces; whether one of them turned out to be refused. What is not done stays dirty."""
        refused_late = False
        for name in dirty:
            try:
                if self._enforce(name, self._last_good(name) if name in self._refused else self._states.get(name)):
                    changed.append(name)
                self._failed.pop(name, None)
            except Unsupported as error:
                self._refused[name] = (str(error),)
                refused_late = True
            except KernelError as error:
                self._failed[name] = str(error)
                continue
            self._dirty.discard(name)
        return refused_late

    def _last_good(self, name: str) -> EndpointState | None:
        """What to go on enforcing where the newest policy is refused, on the interface as it is now."""
        known = self._enforced.get(name)
        return None if known is None else replace(known, interface=self._states[name].interface)

    def _sets_of_last_good(self) -> Collection[str]:
        """Sets that only the last good state of an interface still needs."""
        if not self._sets.dropped():
            return ()
        return {
            source.set_id
            for name in self._refused.keys() & self._enforced.keys()
            for rule in self._enforced[name].rules()
            for source in rule.set_sources()
        }

    def _change_in_place(self) -> Sequence[str]:
        """Interfaces whose tables took all changes of members; those that could not become dirty."""
        changed = []
        for name, plane in self._planes.items():
            for lane in plane.lanes.values():
                if lane.running is None or name in self._dirty:
                    continue
                for set_id, change in self._sets.changes.items():
                    if not lane.running.uses(set_id):
                        continue
                    if change is None or not lane.running.change(set_id, change):
                        self._dirty.add(name)
                        break
                    changed.append(name)
        return list(dict.fromkeys(name for name in changed if name not in self._dirty))

    def _follow_renames(self) -> None:
        """An interface that has another name keeps its programs, and its counts go on under the new one."""
        for name in self._dirty & self._states.keys() - self._planes.keys():
            index = self._states[name].interface.index
            for old, plane in self._planes.items():
                is_gone = old not in self._states or self._states[old].interface.index != index
                if plane.hooks is not None and plane.hooks.index == index and is_gone:
                    self._planes[name] = self._planes.pop(old)
                    if old in self._enforced:
                        self._enforced[name] = self._enforced.pop(old)
                    break

    def _keep_left(self) -> None:
        """Where policy is refused and an earlier agent's programs enforce, they stay; and so does its nft table.

        The table of then holds that interface's last good egress, which nobody can render any more. Interfaces that
        need a new table for their own egress have to wait, and are told so.
        """
        left = []
        for name in self._refused.keys() & self._states.keys() - self._enforced.keys() - self._held:
            plane = self._plane(name)
            if plane.adopt(self._states[name].interface.index):
                left.append(name)
            else:
                del self._planes[name]
        self._keeps_table = bool(left) and self._table.is_from_before()
        if not self._keeps_table:
            for name in self._held:
                self._refused.pop(name, None)
            self._dirty |= self._held & self._states.keys()
            self._held.clear()
            return
        for name in self._states.keys() - self._refused.keys():
            if self._states[name].stage(Stage.UNTRACKED, Direction.EGRESS):
                self._held.add(name)
                others = ", ".join(sorted(left))
                self._refused[name] = (
                    f"the earlier agent's nft table stays until the policy of {others} can be enforced",
                )

    def _plane(self, name: str) -> InterfacePlane:
        index = self._states[name].interface.index
        folder = self._folder.of(index)
        plane = self._planes.setdefault(name, InterfacePlane(folder, self._traits))
        plane.place(index, folder)
        return plane

    def _refuse(self) -> None:
        for name in self._dirty:
            state = self._states.get(name)
            found = refusals(state) if state is not None else ()
            if found:
                self._refused[name] = found
            else:
                self._refused.pop(name, None)
        for name in self._refused.keys() - self._states.keys():
            del self._refused[name]
        self._held &= self._states.keys()
        self._keep_left()

    def _enforce(self, name: str, state: EndpointState | None) -> bool:
        if state is None and name in self._states:
            return False  # refused, and there is no state before that we know
        if state is None:
            plane = self._planes.pop(name, None)
            self._enforced.pop(name, None)
            if plane is None:
                return False
            plane.release()
            return True
        tracking = self._flows.open(self._tracking)
        plans = {
            direction: self._planner.plan(state, direction, self._sets, self._failsafes, tracking)
            for direction in Direction
        }
        plane, index = self._plane(name), state.interface.index
        is_first = not plane.adopt(index)
        if is_first:
            self._take_over_connections()
        changed = plane.enforce(index, plans)
        if is_first:  # and what has begun meanwhile
            self._take_over_connections()
        self._enforced[name] = state
        return changed

    def _take_over_connections(self) -> None:
        """Let connections that exist go on: store them before they meet policy as if they were new."""
        try:
            self._flows.store(of_sockets(read_connections()))
            self._failed.pop(TAKE_OVER, None)
        except KernelError as error:  # better cut connections than leave the host open
            self._failed[TAKE_OVER] = str(error)

    def _begin_table(self) -> bool:
        """Start on the nft table for every endpoint, with the last good state of those refused."""
        if not self._table_is_dirty or self._keeps_table:
            return False
        states = [
            state
            for name, newest in sorted(self._states.items())
            if (state := self._enforced.get(name) if name in self._refused else newest) is not None
            and any(state.stage(Stage.UNTRACKED, direction) for direction in Direction)
        ]
        try:
            return self._table.begin(states, self._sets, self._failsafes, self._sets.changes) or self._table_done()
        except (KernelError, Unsupported) as error:
            self._failed[TABLE] = str(error)
            return False

    def _table_done(self) -> bool:
        self._table_is_dirty = False
        self._failed.pop(TABLE, None)
        return False

    def _finish_table(self) -> None:
        try:
            self._table.finish()
            self._table_done()
        except KernelError as error:
            self._failed[TABLE] = str(error)
            self._table.forget()

    def _policies(self) -> Sequence[PolicyKey]:
        """Policies and profiles that are wanted or enforced."""
        states = (*self._states.values(), *self._enforced.values())
        profiles = [PolicyKey("Profile", "", profile.name) for state in states for profile in state.profiles]
        return profiles + [
            policy.key
            for state in states
            for tiers in state.tiers.values()
            for group in tiers
            for policy in group.policies
        ]

    # ---- telling

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        found = []
        for name, state in sorted(self._states.items()):
            plane = self._planes.get(name)
            hooks = plane.hooks if plane is not None else None
            program_id, program = hooks.attached_program() if hooks is not None else (None, None)
            found.append(
                InterfaceStatus(
                    interface=name,
                    endpoint=state.endpoint,
                    acceleration=hooks.acceleration if hooks is not None else Acceleration.NONE,
                    reason=hooks.reason if hooks is not None else self._failed.get(name, "nothing is enforced"),
                    program_id=program_id,
                    program_name=program,
                    refused=self._refused.get(name, ()),
                    is_enforced=hooks is not None,
                    backend=plane.backend if plane is not None else "",
                )
            )
        return found

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals: from the programs, and from nft where untracked policy decided what leaves."""
        rules: list[RuleCount] = []
        reasons: list[ReasonCount] = []
        for name, plane in sorted(self._planes.items()):
            for direction in Direction:
                for what, count in plane.counts(direction).items():
                    if isinstance(what, Reason):
                        reasons.append(ReasonCount(name, direction, what, count))
                    else:
                        rules.append(RuleCount(name, direction, what, count))
        for key, count in self._table.counts().items():
            match key:
                case RuleKey(interface=interface, rule=rule):
                    rules.append(RuleCount(interface, Direction.EGRESS, rule, count))
                case ReasonKey(interface=interface, reason=reason) if reason in _NFT_DROPS:
                    reasons.append(ReasonCount(interface, Direction.EGRESS, reason, count))
        return rules, reasons

    def connections(self) -> ConnectionStatus:
        """The connection table and how full it is."""
        return self._flows.status()

    def expire(self) -> Iterator[int]:
        """Take out expired flows, a batch for each step."""
        return self._flows.expire()

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        """Apply newly enforced policy to flows that exist."""
        if choice is Established.KEEP:
            return iter(())
        raise NotImplementedError

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """The installed program's verdict on the first packet of a flow."""
        plane = self._planes.get(interface)
        return plane.probe(direction, packet) if plane is not None else None

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        return [event for name, plane in self._planes.items() for event in plane.log_events(name)]

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here."""
        found = [f"interface index {index}" for index in self._folder.left()]
        return [*found, TABLE] if self._table.is_from_before() else found

    def cleanup(self) -> Sequence[str]:
        """Remove exactly what is ours in this network namespace; names of what was removed."""
        removed = []
        for name, plane in self._planes.items():
            plane.release()
            removed.append(f"programs of {name}")
        self._planes.clear()
        if self._table.remove():
            removed.append(TABLE)
        self._flows.close()
        removed += [f"programs and pins of interface index {index}" for index in self._folder.remove()]
        return removed
