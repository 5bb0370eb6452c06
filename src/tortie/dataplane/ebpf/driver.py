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
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tortie.dataplane.driver import (
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
from tortie.dataplane.ebpf import layout, replacing
from tortie.dataplane.ebpf.choice import choose
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.folder import PinFolder, host_folder_in, left_in
from tortie.dataplane.ebpf.generation import TrackingPlan
from tortie.dataplane.ebpf.handover import TRACKING, noticing
from tortie.dataplane.ebpf.interface import Change, InterfacePlane, Plans
from tortie.dataplane.ebpf.plan import Planner, refusals
from tortie.dataplane.ebpf.planes import Planes
from tortie.dataplane.ebpf.programs import Programs, Traits
from tortie.dataplane.ebpf.reconsider import reconsider
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.ebpf.table import EgressTable
from tortie.dataplane.ebpf.takeover import of_conntrack, of_forwarded, of_others, of_sockets
from tortie.dataplane.ebpf.telling import counts, logged, statuses
from tortie.dataplane.ebpf.worked import Worked, put_each
from tortie.dataplane.intent import Intent
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.dataplane.sets import Sets
from tortie.kernel import features, nft
from tortie.kernel.ctnetlink import read_entries
from tortie.kernel.errors import KernelError
from tortie.kernel.sockets import read_connections
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import Delta, DesiredState, EndpointState, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage

BPFFS = Path("/run/tortie/bpf")
TABLE = "table inet tortie"
FLOWS = "connection table"
TAKE_OVER = "connections that existed before"


def leftovers(bpffs: Path = BPFFS) -> Sequence[str]:
    """What an earlier agent of this network namespace left, whether it enforces or not; asking changes nothing."""
    found = [f"interface index {index}" for index in left_in(bpffs)]
    return [
        *found,
        *(f"table {name}" for name in (TABLE.removeprefix("table "), TRACKING) if nft.has_table(*name.split())),
    ]


def unreadable(bpffs: Path = BPFFS) -> Sequence[str]:
    """Why this version cannot go on from what an earlier agent of this network namespace left; nothing is changed."""
    folder = host_folder_in(bpffs)
    if folder is None:
        return ()
    try:
        layout.require_known(folder)
    except KernelError as error:
        return (str(error),)
    return ()


class EbpfDriver:
    """See the module, and the protocol `Driver`."""

    name = "ebpf"
    resync_s = 3.0

    def __init__(self, bpffs: Path = BPFFS, *, mark_bit: int = DEFAULT_MARK_BIT) -> None:
        found = features.probe()
        self._traits = Traits(has_tcx=found.has("tcx"), has_frags=found.has("xdp-frags"), mark_bit=mark_bit)
        self._folder = PinFolder(bpffs, self._traits)
        self._planner = Planner()
        self._flows = FlowTables(self._folder.host)
        self._programs = Programs(self._traits, self._folder.host)
        self._rehearsal: Rehearsal | None = None
        self._tracking = TrackingSettings()
        self._addresses = HostAddresses()
        self._sets = Sets()
        self._failsafes = Failsafes()
        self._intent = Intent(refusals)
        self._planes = Planes(self._folder, self._programs)
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
        self._joins = False
        """Another driver enforces too, and the kernel tracks what it allowed."""
        self._is_leaving = False
        """Another driver enforces too, and this one is to go without a packet that notices."""

    # ---- desired state

    def take(self, delta: Delta) -> None:
        """Note a change."""
        for set_id, change in delta.sets.items():
            self._sets.change(set_id, change)
        self._intent.take(delta.endpoints)
        if delta.failsafes is not None:
            self._failsafes = delta.failsafes
            self._intent.touch_all()
        if delta.tracking is not None:
            self._tracking = delta.tracking
            self._intent.touch_all()
        if delta.addresses is not None:
            self._addresses = delta.addresses
            self._addresses_are_dirty = True
        self._table_is_dirty = self._table_is_dirty or bool(delta)

    # ---- making it so

    def apply(self) -> ApplyReport:
        """Make the kernel so; what failed stays dirty, and what is enforced stays."""
        return self._apply(repaired=())

    def resync(self, *, is_thorough: bool = True) -> ApplyReport:
        """Check everything against the kernel, repair, then apply."""
        begun = time.monotonic()
        repaired: list[str] = []
        self._repair_bpffs(repaired)
        try:
            repaired += self._flows.repair()
            if self._programs.repair():
                repaired.append("pins of the host's programs")
            if self._programs.lanes.repair():
                repaired.append("counters")
            self._programs.load_spare()
        except KernelError as error:
            self._failed[FLOWS] = str(error)
            self._addresses_are_dirty = True
        for name, plane in self._planes.items():
            try:
                repaired += [f"{name}: {what}" for what in plane.repair()]
                if plane.is_tampered:
                    self._intent.dirty.add(name)
                if plane.could_have_xdp():
                    self._intent.dirty.add(name)
                    repaired.append(f"{name}: XDP is free again")
            except KernelError as error:
                if error.code == errno.ENODEV:  # the interface is gone, and with it what was on it
                    plane.release()
                    self._intent.dirty.add(name)
                else:
                    self._failed[name] = str(error)
                    self._unrepaired.add(name)
            else:
                if name in self._unrepaired:
                    self._unrepaired.discard(name)
                    self._failed.pop(name, None)
        try:
            if not self._table.check(is_thorough=is_thorough):
                self._table.distrust()
                self._table_is_dirty = True
                repaired.append(TABLE)
            if not self._table_is_dirty:
                self._failed.pop(TABLE, None)
        except KernelError as error:
            self._failed[TABLE] = str(error)
        looked_s = time.monotonic() - begun
        report = self._apply(repaired=tuple(repaired))
        return replace(report, looked_s=looked_s) if report.changed else report

    def _repair_bpffs(self, repaired: list[str]) -> None:
        if not self._folder.renew():
            return
        self._planes.renew_pins()
        self._flows.move(self._folder.host)
        self._programs.maps.folder = self._folder.host
        repaired.append("bpffs")

    def _apply(self, *, repaired: tuple[str, ...]) -> ApplyReport:
        if self._is_first:
            # on interfaces that nothing wants policed any more
            self._folder.sweep({state.interface.index for state in self._intent.newest.values()})
        self._follow_renames()  # raises, and then changes of sets are told again: no table may have taken them yet
        in_place = self._change_in_place()
        changed = list(in_place)
        self._intent.judge()
        self._held &= self._intent.newest.keys()
        self._keep_left()
        dirty = sorted(self._intent.dirty)
        has_table_work = self._begin_table()
        if has_table_work and self._joins:  # what the programs ask for of its mark is there before they are
            self._finish_table()
            has_table_work = False
        try:
            refused_late = self._enforce_dirty(dirty, changed) if self._tell_addresses() else False
        finally:
            if has_table_work:
                self._finish_table()
        if refused_late:  # only now is it known that the table should hold the last good state of these too
            self._table_is_dirty = True
            if self._begin_table():
                self._finish_table()
        self._sets.forget_dropped(kept=self._intent.last_good_sets() if self._sets.dropped() else ())
        self._sets.changes.clear()
        if self._is_first:
            self._programs.sweep()
        if (self._is_first or replacing.TRACKING_TABLE in self._failed) and not (self._joins or self._is_leaving):
            self._stop_tracking()
        self._is_first = False
        if not self._planes:  # nobody is left who would use it
            self._remove_shared()
            self._addresses_are_dirty = True
        if dirty:
            self._planner.forget(self._intent.policies(), self._sets)
        return ApplyReport(
            changed=tuple(changed), repaired=repaired, refused=dict(self._intent.refused), failed=dict(self._failed)
        )

    def _stop_tracking(self) -> None:
        """Have the kernel not track for a change that an earlier agent began, and that nobody wants any more."""
        try:
            replacing.stop_tracking()
        except KernelError as error:
            self._failed[replacing.TRACKING_TABLE] = str(error)
        else:
            self._failed.pop(replacing.TRACKING_TABLE, None)

    def _remove_shared(self) -> None:
        """Let go of what all interfaces share, and of its pins."""
        if self._rehearsal is not None:
            self._rehearsal.close()
            self._rehearsal = None
        self._programs.close()
        self._flows.remove()

    def _tell_addresses(self) -> bool:
        """Have the connection table, and the host's addresses in it; False where that failed, and nothing can go on."""
        try:
            if self._planes or any(self._intent.wanted(name) is not None for name in self._intent.newest):
                self._programs.use(self._flows.open(self._tracking).maps)
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
        for name in dirty:  # before any new interface: which ones are protected already decides what is taken over
            state = self._intent.wanted(name)
            if state is not None:
                self._plane(name).adopt(state.interface.index)
        worked = Worked()
        if self._joins:
            for name in dirty:
                with worked.on(name):
                    worked.has_changed(name, changes=self._join(name))
        else:
            self._enforce_together(dirty, worked)
        for name in dirty:
            if name in worked.refused:
                self._intent.refused[name] = (worked.refused[name],)
            if name in worked.failed:
                self._failed[name] = worked.failed[name]
                continue
            if name not in worked.refused:
                self._failed.pop(name, None)
            self._intent.dirty.discard(name)
        changed += worked.changed
        return bool(worked.refused)

    def _enforce_together(self, dirty: Sequence[str], worked: Worked) -> None:
        """Prepare all, have packets find it with one wait of the kernel, and attach what is new."""
        changes: dict[str, Change] = {}
        for name in dirty:
            with worked.on(name):
                state = self._intent.wanted(name)
                if state is None:
                    worked.has_changed(name, changes=self._let_go(name))
                else:
                    plans = self._plans(state, self._flows.open(self._tracking))
                    changes[name] = self._plane(name).prepare(state.interface.index, plans, choose(state))
        firsts = [name for name, change in changes.items() if change.is_new]
        if firsts:
            self._take_over(firsts, with_kernels_own=True)
        for name, change in put_each(self._programs, changes, worked).items():
            with worked.on(name):
                worked.has_changed(name, changes=self._plane(name).commit(change))
                self._intent.done(name, self._intent.wanted(name))
        if firsts:  # and what has begun meanwhile
            self._take_over(firsts, with_kernels_own=False)

    def _change_in_place(self) -> Sequence[str]:
        """Interfaces whose tables took all changes of members; those that could not become dirty."""
        done, failed = self._planes.generations.change(self._sets.changes)
        found = {name: set(plane.generations()) for name, plane in self._planes.items()}
        self._intent.dirty |= {name for name, its in found.items() if its & failed}
        return [name for name, its in found.items() if its & done and name not in self._intent.dirty]

    def _follow_renames(self) -> None:
        newest = self._intent.newest
        self._intent.rename(
            self._planes.follow_renames({name: newest[name].interface for name in self._intent.dirty & newest.keys()})
        )

    def _keep_left(self) -> None:
        """Where policy is refused and an earlier agent's programs enforce, they stay; and so does its nft table.

        The table of then holds that interface's last good egress, which nobody can render any more. Interfaces that
        need a new table for their own egress have to wait, and are told so.
        """
        left = []
        for name in (
            self._intent.refused.keys() & self._intent.newest.keys() - self._intent.enforced.keys() - self._held
        ):
            plane = self._plane(name)
            if plane.adopt(self._intent.newest[name].interface.index):
                left.append(name)
            else:
                self._planes.forget(name)
        self._keeps_table = bool(left) and self._table.is_from_before()
        if not self._keeps_table:
            for name in self._held:
                self._intent.refused.pop(name, None)
            self._intent.dirty |= self._held & self._intent.newest.keys()
            self._held.clear()
            return
        for name in self._intent.newest.keys() - self._intent.refused.keys():
            if self._intent.newest[name].stage(Stage.UNTRACKED, Direction.EGRESS):
                self._held.add(name)
                others = ", ".join(sorted(left))
                self._intent.refused[name] = (
                    f"the earlier agent's nft table stays until the policy of {others} can be enforced",
                )

    def _plane(self, name: str) -> InterfacePlane:
        return self._planes.at(self._intent.newest[name].interface)

    def _let_go(self, name: str) -> bool:
        """Nothing is wanted on the interface any more; whether there was anything."""
        if self._intent.is_unknown(name):
            return False
        self._intent.done(name, None)
        return self._planes.release(name)

    def _plans(self, state: EndpointState, tracking: TrackingPlan) -> Plans:
        self._programs.use(tracking.maps)
        return {
            direction: self._planner.plan(state, direction, self._sets, self._failsafes, tracking)
            for direction in Direction
        }

    def _join(self, name: str) -> bool:
        """Make one interface so beside another driver; whether anything changed. Raises: KernelError, Unsupported."""
        state = self._intent.wanted(name)
        if state is None:
            return self._let_go(name)
        tracking = self._flows.open(self._tracking)
        plans, plane, index = self._plans(state, tracking), self._plane(name), state.interface.index
        # also where an agent died between two hooks: what leaves must be seen before what arrives is asked about
        if not plane.adopt(index) or plane.hooks is None or not plane.hooks.has_out:
            plane.enforce(index, self._noticing(state, tracking), choose(state))
        tracked = read_entries()
        self._flows.store([*of_conntrack(tracked, self._addresses), *of_forwarded(tracked, self._addresses)])
        changed = plane.enforce(index, plans, choose(state))
        self._intent.done(name, state)
        return changed

    def _noticing(self, state: EndpointState, tracking: TrackingPlan) -> Plans:
        """What the programs enforce while another driver decides."""
        return self._plans(noticing(state), replace(tracking, drops_invalid=False))

    def _take_over(self, names: Collection[str], *, with_kernels_own: bool) -> None:
        """Let connections of these interfaces that exist go on: store them before they meet policy as if they were
        new."""
        newest = self._intent.newest
        policed = {
            (net.version, net.address)
            for other, plane in self._planes.items()
            if other not in names and other in newest and plane.hooks is not None
            for net in newest[other].interface.addresses
        } - {(net.version, net.address) for name in names for net in newest[name].interface.addresses}
        try:
            found = [*of_sockets(read_connections())]
            if with_kernels_own:
                tracked = read_entries()
                found += [*of_conntrack(tracked, self._addresses), *of_forwarded(tracked, self._addresses)]
            self._flows.store(of_others(found, policed))
            self._failed.pop(TAKE_OVER, None)
        except KernelError as error:  # better cut connections than leave the host open
            self._failed[TAKE_OVER] = str(error)

    def _begin_table(self) -> bool:
        """Start on the nft table for every endpoint, with the last good state of those refused."""
        if not self._table_is_dirty or self._keeps_table:
            return False
        try:
            states = self._intent.untracked()
            return self._table.begin(states, self._sets, self._failsafes, self._sets.changes) or self._table_done()
        except (KernelError, Unsupported) as error:
            self._table_failed(error)
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
            self._table_failed(error)

    def _table_failed(self, error: KernelError | Unsupported) -> None:
        self._failed[TABLE] = str(error)
        self._table.distrust()  # the changes of sets that it was to take are not told again

    # ---- in another driver's place, and another in ours

    def hand_over(self, *, to_newcomer: bool) -> None:
        """See ReplaceableDriver."""
        self._is_leaving = True
        if to_newcomer:
            replacing.hand_over(self._flows, self._tracking.timeouts)

    def join(self) -> None:
        """Notice connections before deciding about them."""
        self._joins = True

    def settle(self) -> None:
        """Forget connections that were noticed and that the driver before did not allow."""
        replacing.settle(self._flows)
        replacing.stop_tracking()  # where a change to the other one was taken back
        self._joins = self._is_leaving = False

    # ---- telling

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""
        return statuses(self._intent, self._planes, self._failed)

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals."""
        return counts(self._planes, self._table)

    def connections(self) -> ConnectionStatus:
        """The connection table and how full it is."""
        return self._flows.status()

    def expire(self) -> Iterator[int]:
        """Take out expired flows, a batch for each step."""
        return self._flows.expire()

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        """Apply newly enforced policy to flows that exist."""
        desired = DesiredState(
            endpoints={name: state for name, state in self._intent.enforced.items() if name in interfaces},
            sets=self._sets,
            failsafes=self._failsafes,
            addresses=self._addresses,
        )
        return reconsider(self._flows, choice, desired)

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """The installed program's verdict on the first packet of a flow."""
        plane = self._planes.get(interface)
        if plane is None:
            return None
        if self._rehearsal is None:
            maps = self._flows.open(self._tracking).maps
            self._rehearsal = Rehearsal(self._traits, {"local": maps["local"]})
        return plane.probe(direction, packet, self._rehearsal)

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call."""
        return logged(self._planes, self._programs)

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here. Raises: KernelError, see the protocol."""
        self._flows.require_known()
        found = [f"interface index {index}" for index in self._folder.left()]
        return [*found, TABLE] if self._table.is_from_before() else found

    def cleanup(self) -> Sequence[str]:
        """Remove exactly what is ours in this network namespace; names of what was removed."""
        removed = []
        if self._is_leaving:
            replacing.only_notice(self._folder, self._programs, self._planes, self._flows, self._noticing)
        self._folder.fall_silent()
        for name in tuple(self._planes):
            self._planes.release(name)
            removed.append(f"programs of {name}")
        if self._table.remove():
            removed.append(TABLE)
        if replacing.stop_tracking():
            removed.append(replacing.TRACKING_TABLE)
        self._remove_shared()
        removed += [f"programs and pins of interface index {index}" for index in self._folder.remove()]
        return removed
