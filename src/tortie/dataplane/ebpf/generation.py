"""One generation of one interface and direction: the policy program with its own tables, complete before any packet
meets it.

    EndpointState + sets ──▶ Plan (blocks, members, digest) ──▶ Classifiers ──▶ Generation (maps filled, program loaded)

The program finds nothing by name at run time: sizes and constants are written before it is loaded, so that the verifier
removes what this generation does not use. Maps that it does not use are not created. The connection table belongs to
the host and is shared by all generations.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.classifiers import STAGE_TABLES, Classifiers
from tortie.dataplane.ebpf.compile import Block, digest
from tortie.dataplane.ebpf.members import Members
from tortie.dataplane.ebpf.seal import Seal
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import FlowState, Timeouts
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED, TCP
from tortie.model.policy import Stage

OBJECTS = Path(str(files("tortie.dataplane.ebpf") / "objects"))
DOORS = ("xdp", "tc", "egress")
"""Object files with a policy program, named <door>_policy."""
FLOW_MAPS = ("flows4", "flows6", "opening4", "opening6")
"""The connection table (flows.h)."""
SHARED_MAPS = (*FLOW_MAPS, "local")
"""Maps of the host that every generation which tracks connections uses."""
OPTIONAL_MAPS = (*STAGE_TABLES, *SHARED_MAPS, "fs_nets", "events")
"""Maps that a generation leaves out unless it gives them a size or shares them."""
MAX_FAILSAFE_NETS = 255
CLOCK_SHIFT = 26
"""The coarse clock counts units of 2^26 ns. Source: flows.h; a test compares."""
_LINE = 64


@dataclass(frozen=True, slots=True)
class SharedMap:
    """A map of the host: its descriptor, and the id that a generation's identity depends on."""

    fd: int
    id: int


@dataclass(frozen=True, slots=True)
class TrackingPlan:
    """How a generation tracks connections."""

    maps: Mapping[str, SharedMap]
    timeouts: Timeouts = field(default_factory=Timeouts)
    drops_invalid: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything a generation is made of. Equal digests mean equal tables and program.

    `stages` has the normal class exactly where `tracking` is given. `trusts_mark`: untracked policy of leaving packets
    is decided elsewhere, and the mark bit says what it allowed.
    """

    stages: Mapping[Stage, tuple[tuple[Block, ...], ...]]
    members: Mapping[SetAtom, Members]
    failsafes: Failsafes
    vlans: frozenset[int]
    tracking: TrackingPlan | None
    trusts_mark: bool
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
    ) -> Plan:
        """The plan with its digest."""

        def parts() -> list[bytes]:
            found = [object_digest(), repr((failsafes, sorted(vlans), trusts_mark)).encode()]
            if tracking is not None:
                ids = sorted((name, shared.id) for name, shared in tracking.maps.items())
                found.append(repr((ids, tracking.timeouts, tracking.drops_invalid)).encode())
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
        return cls(kept, members, failsafes, vlans, tracking, trusts_mark, digest(parts()))


@cache
def object_digest() -> bytes:
    """Identity of the BPF objects this package ships: another build of them is another generation."""
    return digest((OBJECTS / f"{name}.bpf.o").read_bytes() for name in DOORS)


class Generation:
    """A loaded policy program with filled tables. `door` is one of DOORS."""

    def __init__(self, plan: Plan, door: str, *, mark_bit: int, backend: str = "auto", has_frags: bool = True) -> None:
        self.plan, self.door = plan, door
        self.classifiers = Classifiers(plan.stages, plan.members, backend=backend)
        self.seal = Seal({})
        self.object = bpf.ObjectFile(OBJECTS / f"{door}.bpf.o")
        try:
            self._load(mark_bit=mark_bit, has_frags=has_frags)
            self._fill()
        except BaseException:
            self.close()
            raise
        self.classifiers.settle()

    def _load(self, *, mark_bit: int, has_frags: bool) -> None:
        obj, program = self.object, f"{self.door}_policy"
        constants, sizes = describe(obj, self.plan, self.classifiers)
        shared = self.plan.tracking.maps if self.plan.tracking is not None else {}
        for name in OPTIONAL_MAPS:
            if name in shared:
                obj.reuse_map(name, shared[name].fd)
            elif name not in sizes:
                obj.leave_out(name)
        for name, entries in sizes.items():
            obj.set_max_entries(name, entries)
        obj.write_rodata("cfg", constants)
        obj.write_rodata("mark_bit", mark_bit.to_bytes(4, "little"))
        if has_frags and self.door == "xdp":
            obj.set_program_flags(program, bpf.XDP_HAS_FRAGS)
        obj.load()

    def _fill(self) -> None:
        open_views: dict[str, mmap.mmap] = {}
        for name, size in self.classifiers.sizes().items():
            fd = self.object.map_fd(name)
            view = bpf.map_view(fd, size)
            self.classifiers.fill(name, view)
            if self.classifiers.can_change(name):
                open_views[name] = view
            else:
                view.close()
                bpf.freeze(fd)
        self.seal = Seal(open_views)
        for name, data in zip(("fs_ports", "fs_nets"), failsafe_tables(self.plan.failsafes), strict=True):
            if data:
                fd = self.object.map_fd(name)
                view = bpf.map_view(fd, len(data))
                view[:] = data
                view.close()
                bpf.freeze(fd)

    @property
    def program_fd(self) -> int:
        """Descriptor of the policy program."""
        return self.object.program_fd(f"{self.door}_policy")

    def read_counters(self) -> Sequence[int]:
        """Packets by counter number, added up over the CPUs."""
        return read_counters(self.object.map_fd("counters"), self.classifiers.count)

    def close(self) -> None:
        """Let go of everything; what the kernel references lives on."""
        self.classifiers.close()
        self.seal.close()
        self.object.close()


def describe(obj: bpf.ObjectFile, plan: Plan, classifiers: Classifiers) -> tuple[bytes, dict[str, int]]:
    """The constants (struct config) and the sizes of this generation's own maps, in elements."""
    ports, nets = failsafe_tables(plan.failsafes)
    fields = classifiers.config()
    bytes_of = {**classifiers.sizes(), "fs_ports": len(ports)} | ({"fs_nets": len(nets)} if nets else {})
    sizes = {name: -(-size // obj.value_size(name)) for name, size in bytes_of.items()}
    sizes["counters"] = -(-classifiers.count // _LINE)
    if any(value for name, value in fields.items() if name.endswith(".has_log")):
        sizes["events"] = EVENTS_BYTES
    layout = obj.layout("config")
    value = bytearray(obj.size_of("config"))
    vlans = bytearray(512)
    for vlan in plan.vlans:
        vlans[vlan >> 3] |= 1 << (vlan & 7)
    fields |= {
        "failsafe_nets": len(nets) // obj.value_size("fs_nets"),
        "vlan_count": len(plan.vlans),
        "vlans": bytes(vlans),
        "digest": plan.digest,
        "trusts_mark": int(plan.trusts_mark),
    }
    if plan.tracking is not None:
        fields |= _tracking_fields(plan.tracking)
    for name, field_value in fields.items():
        offset, size = layout[name]
        value[offset : offset + size] = (
            field_value.to_bytes(size, "little") if isinstance(field_value, int) else field_value
        )
    return bytes(value), sizes


EVENTS_BYTES = 1 << 16


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


def read_counters(fd: int, count: int) -> Sequence[int]:
    """The first `count` counters of a counters map, added up over the CPUs."""
    data = array("Q", bpf.read_array(fd))
    cpus = bpf.possible_cpus()
    totals: list[int] = []
    for line in range(-(-count // _LINE)):
        at = line * cpus * _LINE
        totals += [sum(data[at + place :: _LINE][:cpus]) for place in range(_LINE)]
    return totals[:count]


def failsafe_tables(failsafes: Failsafes) -> tuple[bytes, bytes]:
    """fs_ports and fs_nets (maps.h): a byte for each (list, protocol, port), and the nets of the lists.

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
    return array("I", words).tobytes()
