"""One generation of one interface and direction: what its policy compiles to, complete before any packet meets it.

    EndpointState + sets ──▶ Plan (blocks, members, digest) ──▶ Classifiers ──▶ Generation (pages filled)

A generation is memory only: the programs are the host's (`programs.py`), and find it through the lane it is put into.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.classifiers import LIVE, Classifiers
from tortie.dataplane.ebpf.compile import Block, digest
from tortie.dataplane.ebpf.members import Members
from tortie.dataplane.ebpf.pages import Arrangement, Pages, arrange, encode_config
from tortie.dataplane.ebpf.programs import SharedMap, object_digest
from tortie.dataplane.ebpf.seal import Seal
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import FlowState, Timeouts
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED, TCP
from tortie.model.policy import Stage

MAX_FAILSAFE_NETS = 255
CLOCK_SHIFT = 26
"""The coarse clock counts units of 2^26 ns. Source: flows.h; a test compares."""
NET_BYTES = 64
"""Size of struct failsafe_net."""


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
    """Pages with filled tables, which no packet finds yet. Raises: KernelError, Unsupported."""

    def __init__(self, plan: Plan, *, backend: str = "auto") -> None:
        self.plan = plan
        self.classifiers = Classifiers(plan.stages, plan.members, backend=backend)
        self._arranged = arranged(plan, self.classifiers)
        self._view: mmap.mmap | None = None
        self.seal = Seal({})
        try:
            self.pages = Pages.create(self._arranged.end)
        except BaseException:
            self.classifiers.close()
            raise
        try:
            self._fill()
        except BaseException:
            self.close()
            raise
        self.classifiers.settle()

    def _fill(self) -> None:
        """Write everything but the counters. Pages that no members are added to are frozen: nobody can write them."""
        self._view = self.pages.writable(self._arranged.end)
        with memoryview(self._view) as memory:
            write(memory, self.plan, self.classifiers, self._arranged, self.pages.id)
            if self.classifiers.can_change:
                self.seal = Seal(_sections(memory, self._arranged), LIVE)
        if not self.classifiers.can_change:
            self._view.close()
            self._view = None
            bpf.freeze(self.pages.fd)

    def read_counters(self) -> Sequence[int]:
        """Packets by counter number, added up over the CPUs."""
        return self.pages.counters()[: self.classifiers.count]

    def close(self) -> None:
        """Let go of everything; what the kernel references lives on."""
        self.classifiers.close()
        self.seal.close()
        if self._view is not None:
            self._view.close()
            self._view = None
        self.pages.close()


def _sections(memory: memoryview, at: Arrangement) -> Mapping[str, memoryview]:
    """The memory of each table by its name, and of what stands before them; together everything but the counters."""
    names = ["config", *at.places]
    starts = [0, *at.places.values()]
    ends = [*starts[1:], at.counters]
    return {name: memory[start:end] for name, start, end in zip(names, starts, ends, strict=True)}


def arranged(plan: Plan, classifiers: Classifiers) -> Arrangement:
    """Where everything of the plan's generation is."""
    ports, nets = failsafe_tables(plan.failsafes)
    failsafes = {"fs_ports": len(ports)} | ({"fs_nets": len(nets)} if nets else {})
    return arrange({**classifiers.sizes(), **failsafes}, classifiers.count)


def write(memory: memoryview, plan: Plan, classifiers: Classifiers, at: Arrangement, pages_id: int) -> None:
    """Fill the pages of that id: everything but the counters."""
    places = at.places
    own = {"generation": pages_id, "counters": at.counters, "counters_stride": at.stride}
    config = encode_config({**describe(plan, classifiers, places), **own})
    memory[: len(config)] = config
    for name, size in classifiers.sizes().items():
        classifiers.fill(name, memory[places[name] : places[name] + size])
    for name, data in zip(("fs_ports", "fs_nets"), failsafe_tables(plan.failsafes), strict=True):
        if data:
            memory[places[name] : places[name] + len(data)] = data


def describe(plan: Plan, classifiers: Classifiers, places: Mapping[str, int]) -> dict[str, int | bytes]:
    """The fields of struct config that follow from the plan."""
    _, nets = failsafe_tables(plan.failsafes)
    vlans = bytearray(512)
    for vlan in plan.vlans:
        vlans[vlan >> 3] |= 1 << (vlan & 7)
    fields = classifiers.config(places) | {
        "fs_ports": places["fs_ports"],
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


@lru_cache(maxsize=2)
def failsafe_tables(failsafes: Failsafes) -> tuple[bytes, bytes]:
    """fs_ports and fs_nets (maps.h): a byte for each (list, protocol, port), and the nets of the lists.

    Kept, because all generations of a host have the same ones, and each asks where they are, how many, and what.

    An entry for everyone makes the nets of the same port superfluous.
    """
    ports = bytearray(6 * 65536)
    nets: list[bytes] = []
    lists: dict[tuple[int, int, int], int] = {}
    for direction, entries in enumerate((failsafes.inbound, failsafes.outbound)):
        for entry in entries:
            if entry.net is None:
                ports[_place(direction, entry)] = 1
    for direction, entries in enumerate((failsafes.inbound, failsafes.outbound)):
        for entry in entries:
            place = _place(direction, entry)
            if entry.net is None or ports[place] == 1:
                continue
            key = (direction, entry.protocol, entry.port)
            number = lists.setdefault(key, len(lists) + 2)
            if number > 255 or len(nets) == MAX_FAILSAFE_NETS:
                raise Unsupported(f"more than {MAX_FAILSAFE_NETS} failsafe ports with nets; give fewer, wider nets")
            ports[place] = number
            nets.append(_net_record(number, entry.net))
    return bytes(ports), b"".join(nets)


def _place(direction: int, entry: FailsafePort) -> int:
    return (direction * 3 + PORTED.index(entry.protocol)) << 16 | entry.port


def _net_record(number: int, net: Net) -> bytes:
    width = WIDTH[net.version]
    mask = ((1 << net.length) - 1) << (width - net.length)
    words = [number, net.version]
    for value in (net.address, mask):
        parts = [value >> (width - 32 - 32 * i) & 0xFFFFFFFF for i in range(width // 32)]
        words += parts + [0] * (4 - len(parts))
    return array("I", words).tobytes().ljust(NET_BYTES, b"\0")
