"""One generation of policy for an interface and direction: what it compiles to, complete before any packet meets it.

    EndpointState + sets ──▶ Plan (blocks, members, digest) ──▶ Classifiers ──▶ Generation (pages filled)

A generation is memory only: the programs are the host's (`programs.py`), and find it through the lanes it is put into.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from tortie.dataplane.ebpf.classifiers import LIVE, Classifiers, Counts, RuleIndex
from tortie.dataplane.ebpf.compile import Block, digest
from tortie.dataplane.ebpf.counters import Counters, Run, stride_of
from tortie.dataplane.ebpf.failsafes import FAILSAFE_BLOCKS, NET_BYTES, failsafe_tables
from tortie.dataplane.ebpf.members import Members
from tortie.dataplane.ebpf.pages import PAGE, Arrangement, Extent, Pages, arrange, encode_config
from tortie.dataplane.ebpf.seal import Seal
from tortie.dataplane.ebpf.shared import SharedMap, object_digest
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.conntrack import FlowState, Timeouts
from tortie.model.desired import SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.packet import TCP
from tortie.model.policy import Stage

_MANY = 10_000
"""Members that change at a time, from which on they are not put into the tables one by one."""
CLOCK_SHIFT = 26
"""The coarse clock counts units of 2^26 ns. Source: flows.h; a test compares."""


class Rejects(IntEnum):
    """What becomes of denials of the forward and normal classes: nothing; the sender is told, where XDP denies by the
    interface's driver; or by way of tc, because the driver cannot be counted upon. Source: config.h; a test compares.
    """

    NOT = 0
    YES = 1
    THROUGH_TC = 2


@dataclass(frozen=True, slots=True)
class TrackingPlan:
    """How connections are tracked: the host's table, which the programs use, and what generations say of it."""

    maps: Mapping[str, SharedMap]
    timeouts: Timeouts = field(default_factory=Timeouts)
    drops_invalid: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything a generation is made of. Equal digests mean equal pages, but for what came later.

    `stages` has the normal class exactly where `tracking` is given. `trusts_mark`: untracked policy of leaving packets
    is decided elsewhere, and the mark bit says what it allowed. `passes_own`: packets for this host, or from it, meet
    no normal policy.
    """

    stages: Mapping[Stage, tuple[tuple[Block, ...], ...]]
    members: Mapping[SetAtom, Members]
    failsafes: Failsafes
    vlans: frozenset[int]
    tracking: TrackingPlan | None
    trusts_mark: bool
    passes_own: bool
    rejects: Rejects
    digest: bytes

    @classmethod
    def of(
        cls,
        stages: Mapping[Stage, Sequence[Sequence[Block]]],
        members: Mapping[SetAtom, Members],
        failsafes: Failsafes,
        vlans: frozenset[int] = frozenset(),
        tracking: TrackingPlan | None = None,
        *,
        trusts_mark: bool = False,
        passes_own: bool = False,
        rejects: Rejects = Rejects.NOT,
    ) -> Plan:
        """The plan with its digest."""

        def parts() -> list[bytes]:
            found = [object_digest(), repr((failsafes, sorted(vlans), trusts_mark, passes_own, rejects)).encode()]
            if tracking is not None:
                found.append(repr((tracking.timeouts, tracking.drops_invalid)).encode())
            for stage, tiers in stages.items():
                found.append(stage.value.encode())
                for tier in tiers:
                    found.append(b"tier")
                    for block in tier:
                        found += [block.terms, block.pool, block.nets4, block.nets6, repr(block.sets).encode()]
            for atom in sorted(members, key=repr):
                found += [repr(atom).encode(), *members[atom]]
            return found

        kept = {stage: tuple(tuple(tier) for tier in tiers) for stage, tiers in stages.items()}
        whole = digest(parts())
        return cls(kept, members, failsafes, vlans, tracking, trusts_mark, passes_own, rejects, whole)


class Generation:
    """Pages with filled tables. Lanes whose plans are equal share it, each with counters of its own.

    It is closed when as many have let go as have taken it. `parity`: see counters.py. Members are added in place if we
    made it. Raises everywhere: KernelError.
    """

    def __init__(
        self, plan: Plan, parity: int, pages: Pages, classifiers: Classifiers, view: mmap.mmap | None, seal: Seal
    ) -> None:
        self.plan, self.parity, self.pages, self.classifiers = plan, parity, pages, classifiers
        self.stride = stride_of(classifiers.count)
        """Words of a lane's counters for each CPU."""
        self._view, self._seal = view, seal
        self._users = 1
        self.is_outdated = False
        """Members changed in place: the tables no longer are what the digest says."""
        self.is_tampered = False
        """Others changed the tables."""

    @classmethod
    def made(cls, plan: Plan, parity: int = 0, *, backend: str = "auto") -> Generation:
        """A new one, which no packet finds yet. Raises: Unsupported."""
        classifiers = Classifiers(plan.stages, plan.members, backend=backend)
        try:
            at = arranged(plan, classifiers)
            pages = Pages.create(at.end)
            try:
                view, seal = _fill(pages, plan, parity, classifiers, at)
            except BaseException:
                pages.close()
                raise
        except BaseException:
            classifiers.close()
            raise
        classifiers.settle()
        return cls(plan, parity, pages, classifiers, view, seal)

    @classmethod
    def taken_over(cls, plan: Plan, pages: Pages) -> Generation | None:
        """The pages of an earlier agent, if they are what the plan asks for; they are closed if not.

        Because: the digest says what a generation was made of, not what became of it. It is not the same any more where
        members changed in place, even if they changed back, or where others edited it.
        """
        classifiers = None
        try:
            if pages.field("digest") == plan.digest:
                classifiers, parity = Classifiers(plan.stages, plan.members), parity_of(pages)
                at = arranged(plan, classifiers)
                wanted = bytearray(at.end)
                write(memoryview(wanted), plan, parity, classifiers, at, pages.id)
                if at.end <= pages.size * PAGE and pages.read(0, at.end) == wanted:
                    classifiers.settle()
                    seal = Seal({"tables": pages.memory(at.end)} if classifiers.can_change else {})
                    return cls(plan, parity, pages, classifiers, None, seal)
        except BaseException:
            pages.close()
            raise
        if classifiers is not None:
            classifiers.close()
        pages.close()
        return None

    def share(self) -> Generation:
        """The same, for one more who lets go of it."""
        self._users += 1
        return self

    @property
    def is_right(self) -> bool:
        """Whether the tables hold what the plan says."""
        return not (self.is_outdated or self.is_tampered)

    def can_take(self, change: SetChange) -> bool:
        """Whether a change of a set's members is one that `change` may take in place."""
        if self._view is None or change.is_new or change.has_ports:
            return False
        if len(change.added) + len(change.removed) > _MANY:  # new tables take less time
            return False
        return all(isinstance(net, Net) and net.is_host for net in (*change.added, *change.removed))

    def change(self, set_id: str, change: SetChange) -> bool:
        """Take a change of a set's members in place; False: a new generation is needed."""
        if not self.can_take(change) or self._seal.broken(live_only=True):
            return False
        atom = SetAtom(set_id)
        members = [*((net, True) for net in change.added), *((net, False) for net in change.removed)]
        self.is_outdated = True
        is_done = all(
            isinstance(net, Net) and self.classifiers.change_host(net, atom, is_member=is_member)
            for net, is_member in members
        )
        self._seal.note()
        return is_done

    def check(self) -> tuple[str, ...]:
        """What others edited since we wrote it; a new generation is needed then."""
        broken = self._seal.broken()
        self.is_tampered = bool(broken)
        return broken

    def meaning(self, counters: Counters, run: Run, index: RuleIndex) -> Counts:
        """Packets by rule met and by reason, as a lane counted them in that run."""
        return self.classifiers.meaning(counters.read(run, self.stride, self.classifiers.count), index)

    @property
    def is_closed(self) -> bool:
        """Whether all have let go of it."""
        return not self._users

    def close(self) -> None:
        """Let go of it; what the kernel references lives on."""
        self._users -= 1
        if self._users:
            return
        self.classifiers.close()
        self._seal.close()
        if self._view is not None:
            self._view.close()
            self._view = None
        self.pages.close()


def parity_of(pages: Pages) -> int:
    """Whether they are an even (0) or an odd (1) generation."""
    return pages.number("parity") & 1


def _fill(
    pages: Pages, plan: Plan, parity: int, classifiers: Classifiers, at: Arrangement
) -> tuple[mmap.mmap | None, Seal]:
    """Write everything. Pages that no members are added to are frozen: nobody can write them."""
    view = pages.writable(at.end)
    with memoryview(view) as memory:
        write(memory, plan, parity, classifiers, at, pages.id)
        if classifiers.can_change:
            return view, Seal(_sections(memory, at), LIVE)
    view.close()
    bpf.freeze(pages.fd)
    return None, Seal({})


def _sections(memory: memoryview, at: Arrangement) -> Mapping[str, memoryview]:
    """The memory of each table by its name, and of what stands before them; together everything."""
    names = ["config", *at.places]
    starts = [0, *at.places.values()]
    ends = [*starts[1:], at.end]
    return {name: memory[start:end] for name, start, end in zip(names, starts, ends, strict=True)}


def arranged(plan: Plan, classifiers: Classifiers) -> Arrangement:
    """Where everything of the plan's generation is."""
    ports, nets = failsafe_tables(plan.failsafes)
    failsafes = {"fs_ports": Extent(len(ports), NET_BYTES)} | (
        {"fs_nets": Extent(len(nets), NET_BYTES)} if nets else {}
    )
    tables = {name: Extent(size, classifiers.unit(name)) for name, size in classifiers.sizes().items()}
    return arrange({**tables, **failsafes})


def write(
    memory: memoryview, plan: Plan, parity: int, classifiers: Classifiers, at: Arrangement, pages_id: int
) -> None:
    """Fill the pages of that id."""
    places = at.places
    own = {
        "generation": pages_id,
        "end": at.end,
        "parity": parity,
        "counters_stride": stride_of(classifiers.count),
    }
    for name, size in classifiers.sizes().items():
        classifiers.fill(name, memory[places[name] : places[name] + size])
    for name, data in zip(("fs_ports", "fs_nets"), failsafe_tables(plan.failsafes), strict=True):
        if data:
            memory[places[name] : places[name] + len(data)] = data
    config = encode_config({**describe(plan, classifiers, places), **classifiers.heads(memory, places), **own})
    memory[: len(config)] = config


def describe(plan: Plan, classifiers: Classifiers, places: Mapping[str, int]) -> dict[str, int | bytes]:
    """The fields of struct config that follow from the plan."""
    _, nets = failsafe_tables(plan.failsafes)
    vlans = bytearray(512)
    for vlan in plan.vlans:
        vlans[vlan >> 3] |= 1 << (vlan & 7)
    fields = classifiers.config(places) | {
        "fs_ports": places["fs_ports"],
        "fs_blocks": failsafe_tables(plan.failsafes)[0][: 2 * FAILSAFE_BLOCKS],
        "fs_nets": places.get("fs_nets", 0),
        "failsafe_nets": len(nets) // NET_BYTES,
        "vlan_count": len(plan.vlans),
        "vlans": bytes(vlans),
        "digest": plan.digest,
        "trusts_mark": int(plan.trusts_mark),
        "passes_own": int(plan.passes_own),
        "rejects": int(plan.rejects),
    }
    if plan.tracking is not None:
        fields |= _tracking_fields(plan.tracking)
    return fields


def clock_units(seconds: float) -> int:
    """A time in units of the programs' coarse clock, at least one."""
    return min(0x7FFFFFFF, max(1, int(seconds * 1e9) >> CLOCK_SHIFT))


def _tracking_fields(tracking: TrackingPlan) -> dict[str, int | bytes]:
    times = tracking.timeouts
    tcp = array("I", (clock_units(times.of(TCP, state)) for state in FlowState))
    return {
        "drops_invalid": int(tracking.drops_invalid),
        "timeouts.tcp": tcp.tobytes(),
        "timeouts.udp": clock_units(times.udp_s),
        "timeouts.icmp": clock_units(times.icmp_s),
        "timeouts.generic": clock_units(times.generic_s),
    }
