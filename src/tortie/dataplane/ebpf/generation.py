"""One generation of one interface: the policy program with its own tables, complete before any packet meets it.

    EndpointState + sets ──▶ Plan (blocks, members, digest) ──▶ Classifier ──▶ Generation (maps filled, program loaded)

The program finds nothing by name at run time: sizes and constants are written before it is loaded, so that the verifier
removes what this generation does not use.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf._tables import lib
from tortie.dataplane.ebpf.compile import LIVE_TABLES, TABLES, Block, Classifier, Members, digest
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.kernel import bpf
from tortie.model.address import WIDTH, Net
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.packet import PORTED
from tortie.model.verdict import Reason

OBJECTS = Path(str(files("tortie.dataplane.ebpf") / "objects"))
REASON_BASE: int = lib.REASON_BASE
"""Counters from here on are results."""
REASONS: Mapping[Reason, int] = {
    reason: getattr(lib, f"REASON_{reason.name}")
    for reason in Reason
    if reason not in (Reason.POLICY, Reason.NO_ENDPOINT)
}
"""The counters of reasons; those two are never counted by a program."""
MAX_FAILSAFE_NETS = 255
SPARE_COUNTERS = 64
_LINE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything a generation is made of. Equal digests mean equal tables and program."""

    tiers: tuple[tuple[Block, ...], ...]
    members: Mapping[SetAtom, Members]
    failsafes: Failsafes
    vlans: frozenset[int]
    digest: bytes

    @classmethod
    def of(
        cls,
        tiers: Sequence[Sequence[Block]],
        members: Mapping[SetAtom, Members],
        failsafes: Failsafes,
        vlans: frozenset[int] = frozenset(),
    ) -> Plan:
        """The plan with its digest."""

        def parts() -> list[bytes]:
            found = [object_digest(), repr(failsafes).encode(), repr(sorted(vlans)).encode()]
            for tier in tiers:
                found.append(b"tier")
                for block in tier:
                    found += [block.terms, block.pool, block.nets4, block.nets6, repr(block.sets).encode()]
            for atom in sorted(members, key=repr):
                found += [repr(atom).encode(), *members[atom]]
            return found

        return cls(tuple(tuple(tier) for tier in tiers), members, failsafes, vlans, digest(parts()))


@cache
def object_digest() -> bytes:
    """Identity of the BPF objects this package ships: another build of them is another generation."""
    return digest((OBJECTS / f"{name}.bpf.o").read_bytes() for name in ("xdp", "tc"))


class Generation:
    """A loaded policy program with filled tables. `door` is "xdp" or "tc"."""

    def __init__(self, plan: Plan, door: str, *, mark_bit: int, backend: str = "auto", has_frags: bool = True) -> None:
        self.plan, self.door = plan, door
        self.classifier = Classifier(plan.tiers, plan.members, backend=backend)
        self.counters = counters_of(self.classifier)
        self._views: list[mmap.mmap] = []
        self.object = bpf.ObjectFile(OBJECTS / f"{door}.bpf.o")
        try:
            self._load(mark_bit=mark_bit, has_frags=has_frags)
            self._fill()
        except BaseException:
            self.close()
            raise
        self.classifier.settle(self.counters - REASON_BASE)

    def _load(self, *, mark_bit: int, has_frags: bool) -> None:
        obj, program = self.object, f"{self.door}_policy"
        constants, sizes = describe(obj, self.plan, self.classifier)
        for name, entries in sizes.items():
            obj.set_max_entries(name, entries)
        obj.write_rodata("cfg", constants)
        obj.write_rodata("mark_bit", mark_bit.to_bytes(4, "little"))
        if has_frags and self.door == "xdp":
            obj.set_program_flags(program, bpf.XDP_HAS_FRAGS)
        obj.load()

    def _fill(self) -> None:
        sizes = self.classifier.sizes()
        for name in TABLES:
            if sizes[name]:
                view = bpf.map_view(self.object.map_fd(name), sizes[name])
                self.classifier.fill(name, view)
                if name in LIVE_TABLES:
                    self._views.append(view)
                else:
                    view.close()
        for name, data in zip(("fs_ports", "fs_nets"), failsafe_tables(self.plan.failsafes), strict=True):
            if data:
                view = bpf.map_view(self.object.map_fd(name), len(data))
                view[:] = data
                view.close()

    @property
    def program_fd(self) -> int:
        """Descriptor of the policy program."""
        return self.object.program_fd(f"{self.door}_policy")

    def read_counters(self) -> Sequence[int]:
        """Packets by counter number, added up over the CPUs."""
        return read_counters(self.object.map_fd("counters"), self.counters)

    def close(self) -> None:
        """Let go of everything; what the kernel references lives on."""
        self.classifier.close()
        for view in self._views:
            view.close()
        self._views.clear()
        self.object.close()


def counters_of(classifier: Classifier) -> int:
    """How many counters a generation has: reasons, results, and some for results that members added in place bring."""
    return REASON_BASE + classifier.results + SPARE_COUNTERS


def describe(obj: bpf.ObjectFile, plan: Plan, classifier: Classifier) -> tuple[bytes, dict[str, int]]:
    """The constants (struct config) and the map sizes, in elements, that make an object this generation's."""
    ports, nets = failsafe_tables(plan.failsafes)
    sizes = {name: size for name, size in classifier.sizes().items() if size}
    sizes |= {"fs_ports": len(ports), "fs_nets": len(nets)}
    entries = {name: max(1, -(-size // obj.value_size(name))) for name, size in sizes.items()}
    entries["counters"] = -(-counters_of(classifier) // _LINE)
    layout = obj.layout("config")
    value = bytearray(obj.size_of("config"))
    vlans = bytearray(512)
    for vlan in plan.vlans:
        vlans[vlan >> 3] |= 1 << (vlan & 7)
    fields: dict[str, int | bytes] = {
        **classifier.config(),
        "failsafe_nets": len(nets) // obj.value_size("fs_nets"),
        "vlan_count": len(plan.vlans),
        "vlans": bytes(vlans),
        "digest": plan.digest,
    }
    for name, field in fields.items():
        offset, size = layout[name]
        value[offset : offset + size] = field.to_bytes(size, "little") if isinstance(field, int) else field
    return bytes(value), entries


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
