"""What one verdict costs: the ingress program as the agent loads it, on one packet, timed by BPF_PROG_TEST_RUN.

    Shape ─▶ Planner ─▶ Plan ─▶ Generation ─▶ [round: every program of the group once] x rounds ─▶ Figure

All programs of a group are loaded together and run in turn, round after round, beside an empty program: what disturbs
the machine disturbs them alike. The time is the kernel's (whole ns, mean of one run's repetitions), never the clock
around the call, which waits for RCU. A program counts as measured only if it gave the verdict that was meant, for the
rule that was meant, in every repetition.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import shapes
from bench.figures import Figure, Unmeasured
from bench.lab import compiled, root_program
from bench.shapes import Shape
from tortie.dataplane.ebpf.classifiers import Counts, RuleIndex
from tortie.dataplane.ebpf.driver import BPFFS
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.plan import Planner
from tortie.dataplane.ebpf.programs import Traits
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.frames import frame
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.kernel import bpf
from tortie.model.conntrack import Flow, FlowState, TrackingSettings, key_of
from tortie.model.desired import HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.rule import Action
from tortie.model.verdict import Reason

REPEAT = 300_000
SIZES = (1, 10, 100, 1_000, 10_000)
MEMBER_SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
EMPTY = "xdp.empty"
SPREAD_EMPTY = "xdp.empty.random"
XDP_DROP, XDP_PASS = 1, 2
METADATA_BYTES = 4


@dataclass(slots=True)
class Program:
    """A loaded program with the frame it is asked about."""

    name: str
    fd: int
    frame: bytes
    note: str = ""
    enter: Callable[[], object] = lambda: None
    """What must be done before a run."""
    samples: list[float] = field(default_factory=list)

    def run(self, repeat: int) -> bpf.TestRun:
        """One timed run."""
        self.enter()
        ran = bpf.test_run(self.fd, self.frame, repeat=repeat)
        self.samples.append(float(ran.duration_ns))
        return ran


@dataclass(frozen=True, slots=True)
class Loaded:
    """A generation of a shape under measurement."""

    shape: Shape
    generation: Generation
    index: RuleIndex
    counted: Callable[[], Counts]
    program: Program

    def check(self, packets: int, ran: bpf.TestRun) -> None:
        """That the last rule, and nothing else, decided all those packets. Raises: Unmeasured."""
        action, is_tracked = self.shape.rules[-1].action, self.shape.stage is Stage.NORMAL
        room = len(ran.data_out) - len(self.program.frame)
        found = (ran.retval, room)
        expected = (XDP_DROP, 0) if action is Action.DENY else (XDP_PASS, 0 if is_tracked else METADATA_BYTES)
        if found != expected:
            raise Unmeasured(f"{self.shape.name}: verdict and metadata are {found}, not {expected}")
        last = self.index.refs[self.shape.stage][len(self.shape.rules) - 1]
        wanted = {Reason.ESTABLISHED if self.shape.is_known else last: packets}
        counted = self.counted()
        if counted != wanted:
            raise Unmeasured(f"{self.shape.name}: counted {counted}, not {wanted}")


Group = Callable[[], Iterable[Shape]]


def groups(*, is_quick: bool) -> dict[str, Group]:
    """Each group's shapes, made when it is its turn and gone after it."""
    sizes = SIZES[:-1] if is_quick else SIZES
    member_sizes = MEMBER_SIZES[:-1] if is_quick else MEMBER_SIZES
    return {
        "ports": lambda: shapes.ports(sizes),
        "nets": lambda: shapes.nets(sizes),
        "nets_mixed": lambda: shapes.nets_mixed(sizes),
        "nets6": lambda: shapes.nets6(sizes),
        "sets": lambda: shapes.sets(sizes),
        "mixed": lambda: shapes.mixed(sizes),
        "classes": lambda: shapes.classes(sizes),
        "members": lambda: shapes.members(member_sizes),
        "members_random": lambda: shapes.members_random(member_sizes),
        "tracked": lambda: shapes.tracked(sizes),
    }


def measure(group: Group, rounds: int) -> Sequence[Figure]:
    """The group's figures and the empty program's. Raises: Unmeasured, KernelError, Unsupported."""
    with ExitStack() as opened:
        planner, flows = Planner(), _flows(opened)
        rehearsal = _rehearsal(flows, opened)
        loaded = [_load(shape, planner, flows, rehearsal, opened) for shape in group()]
        del planner
        empty = _empty(opened, spread=max(one.shape.spread for one in loaded))
        for _ in range(rounds):
            empty.run(REPEAT)
            for one in loaded:
                ran = one.program.run(REPEAT)
                packets = REPEAT * len(one.program.samples)
                if len(one.program.samples) in (1, rounds):
                    one.check(packets, ran)
        base = tuple(empty.samples)
        return [
            Figure(empty.name, "ns", base),
            *(Figure(one.shape.name, "ns", tuple(one.program.samples), base, one.program.note) for one in loaded),
        ]


def _empty(opened: ExitStack, spread: int = 0) -> Program:
    """The program that everything is measured against: it drops, and looks at nothing."""
    packet = Packet(version=4, protocol=6, source=1, destination=2, source_port=1, destination_port=2)
    program = root_program("xdp_empty", opened)
    if spread:
        return Program(SPREAD_EMPTY, _spread(program, 1, spread, opened, has_frags=False), frame(packet))
    return Program(EMPTY, program, frame(packet))


def _spread(program: int, first: int, count: int, opened: ExitStack, *, has_frags: bool) -> int:
    """Descriptor of a program that gives each packet one of so many sources before that program gets it."""
    made = compiled("spread", opened)
    for name, value in (("first", first), ("count", count)):
        made.write_rodata(name, value.to_bytes(4, "little"))
    if has_frags:
        made.set_program_flags("spread", bpf.XDP_HAS_FRAGS)
    made.load()
    bpf.set_program(made.map_fd("slot"), 0, program)
    return made.program_fd("spread")


def _flows(opened: ExitStack) -> FlowTables:
    """A connection table of the bench's own."""
    flows = FlowTables(bpf.durable_bpffs(BPFFS) / f"bench-{os.getpid()}")
    opened.callback(bpf.unmount_bpffs, BPFFS)  # not where anybody has something in it
    opened.callback(flows.remove)
    flows.open(TrackingSettings())
    flows.set_addresses(HostAddresses(frozenset({(4, 0x0A000001), (6, 0xFD99 << 112 | 1)})))
    return flows


def _rehearsal(flows: FlowTables, opened: ExitStack) -> Rehearsal:
    """Programs on that connection table."""
    traits = Traits(has_tcx=True, has_frags=True, mark_bit=DEFAULT_MARK_BIT)
    made = Rehearsal(traits, flows.open(TrackingSettings()).maps)
    opened.callback(made.close)
    return made


def _load(shape: Shape, planner: Planner, flows: FlowTables, rehearsal: Rehearsal, opened: ExitStack) -> Loaded:
    """The generation as the agent makes it, connection tracking included."""
    # The planner keeps blocks by policy: shapes share names of policies, so no block of one is taken for another's.
    planner.forget((), shape.sets)
    tracking = flows.open(TrackingSettings())
    plan, index = planner.plan(shape.endpoint, Direction.INGRESS, shape.sets, Failsafes(), tracking)
    if shape.is_known:
        key, end = key_of(shape.packet) or ((0,) * 6, 0)
        flows.store([Flow(key, end, False, "bench", 0.0, FlowState.ESTABLISHED, is_answered=True)])
    generation = Generation.made(plan)
    opened.callback(generation.close)
    lane = rehearsal.put(generation)

    def enter() -> int:
        return rehearsal.enter("xdp", lane, generation.pages)

    fd = enter()
    if shape.spread:
        fd = _spread(fd, shape.packet.source, shape.spread, opened, has_frags=True)
    program = Program(shape.name, fd, frame(shape.packet), generation.classifiers.backend, enter)
    return Loaded(shape, generation, index, lambda: rehearsal.meaning(lane, generation, index), program)


def measure_allow(rounds: int) -> Sequence[Figure]:
    """What an Allow costs, and the part of it that repeated runs leave out: making room for metadata."""
    with ExitStack() as opened:
        empty, pair = _empty(opened), compiled("metadata", opened)
        pair.load()
        both_ways = Program("both ways", pair.program_fd("there_and_back"), empty.frame)
        samples = []
        for _ in range(rounds):
            base, ran = empty.run(REPEAT), both_ways.run(REPEAT)
            if ran.retval != XDP_DROP:
                raise Unmeasured("xdp.metadata: there is no room for metadata")
            samples.append((ran.duration_ns - base.duration_ns) / 2)
    metadata = Figure("xdp.metadata", "ns", tuple(samples), note="part of an Allow that repeated runs leave out")
    return [*measure(shapes.allow, rounds), metadata]
