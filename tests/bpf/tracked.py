"""A case with tracked policy in loaded programs, one for each direction, on one connection table; and its model."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from struct import pack

from bpf.untracked import MARK, Counts, FirstFragments, traits, unread
from netns import Namespace, namespace
from strategies import Case
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.generation import Generation
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.dataplane.ebpf.plan import Planner, RuleIndex
from tortie.dataplane.ebpf.rehearsal import Rehearsal
from tortie.dataplane.ebpf.shared import SharedMap
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.conntrack import ConnectionTable, FlowState, Relation, can_open
from tortie.model.essential import is_essential
from tortie.model.evaluate import evaluate, is_for_host
from tortie.model.martian import is_martian
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Stage
from tortie.model.stages import KNOWN
from tortie.model.verdict import Reason, Trace, Verdict

METADATA_ANSWER = 0x746F7261.to_bytes(4, "little")
REDIRECT = 7
TABLE_SIZE = 65_536
Outcome = tuple[Verdict, bool]
"""Verdict, and whether the packet is one of connection tracking's."""
BESIDE = (Reason.ANSWERED, Reason.UNANSWERED)
"""What a denial that is to be answered counts as, too."""


@contextmanager
def forwarding_host() -> Iterator[Namespace]:
    """A namespace whose routes lead everywhere, so that what is not for it can be forwarded."""
    with namespace("fib") as made:
        made.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
        for link in ("out0", "out1"):
            made.run("ip", "link", "set", link, "up")
        made.run("ip", "route", "add", "default", "dev", "out0")
        made.run("ip", "-6", "route", "add", "default", "dev", "out0")
        yield made


def set_forwarding(host: Namespace, versions: frozenset[int]) -> None:
    """Whether the interface that test runs arrive at forwards packets of IPv4 and of IPv6."""
    lines = [f"net.ipv{v}.conf.lo.forwarding={int(v in versions)}" for v in (4, 6)]
    host.run("sysctl", "-qw", *lines)


class _Loaded:
    """The programs of the newest connection table, so that cases which share a table share them.

    They are loaded as they are needed, which may be after the case that brought the table has closed it: so the table's
    descriptors are duplicated.
    """

    def __init__(self) -> None:
        self._maps: dict[str, SharedMap] = {}
        self._rehearsal: Rehearsal | None = None

    def on(self, maps: Mapping[str, SharedMap]) -> Rehearsal:
        """The programs on that table."""
        ids = {name: shared.id for name, shared in maps.items()}
        if self._rehearsal is None or ids != {name: shared.id for name, shared in self._maps.items()}:
            if self._rehearsal is not None:
                self._rehearsal.close()
            for shared in self._maps.values():
                os.close(shared.fd)
            self._maps = {name: replace(shared, fd=os.dup(shared.fd)) for name, shared in maps.items()}
            self._rehearsal = Rehearsal(traits(), self._maps)
        return self._rehearsal


_loaded = _Loaded()


def _skb(has_arrived: bool) -> bytes:
    """A struct __sk_buff of a packet that is on the loopback device, and perhaps arrived there."""
    return bytes(36) + pack("=II", int(has_arrived), 1) + bytes(148)


@cache
def knows_arrival() -> bool:
    """Whether a test run at tc can say that the packet arrived, so that it is forwarded where it leaves: from Linux
    5.14 on."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as obj:
        for name in obj.program_names:
            obj.set_autoload(name, name == "tc_mark")
        obj.load()
        try:
            bpf.test_run(obj.program_fd("tc_mark"), bytes(64), ctx=_skb(True))
        except KernelError as error:
            assert error.code == errno.EINVAL
            return False
    return True


class Tracked:
    """The programs of a case. `door` is that of arriving packets. Whoever pins the table's folder unpins it."""

    def __init__(self, case: Case, folder: Path, *, door: str = "xdp", backend: str = "auto") -> None:
        self.case = case
        self.flows = FlowTables(folder)
        tracking = self.flows.open(replace(case.tracking, size=TABLE_SIZE))
        self.flows.set_addresses(case.addresses)
        self.rehearsal = _loaded.on(tracking.maps)
        self.answer: bytes | None = None
        """The frame that tells the sender of the last packet, if it was denied and is told."""
        planner = Planner()
        self.generations: dict[Direction, tuple[Generation, RuleIndex]] = {}
        self.lanes: dict[Direction, tuple[str, int]] = {}
        for direction in Direction:
            plan, index = planner.plan(case.endpoint, direction, case.sets, case.failsafes, tracking)
            one_door = "egress" if direction is Direction.EGRESS else door
            generation = Generation.made(plan, backend=backend)
            self.generations[direction] = generation, index
            self.lanes[direction] = one_door, self.rehearsal.put(generation)

    def run(self, direction: Direction, data: bytes, *, is_forwarded: bool = False) -> Outcome:
        """What the program did to a frame."""
        generation, _ = self.generations[direction]
        door, lane = self.lanes[direction]
        program = self.rehearsal.enter(door, lane, generation.pages)
        self.answer = None
        if door == "xdp":
            ran = bpf.test_run(program, data)
            if ran.retval == 3:
                self.answer = ran.data_out
            elif ran.retval == 2 and ran.data_out[:4] == METADATA_ANSWER:
                self.answer = ran.data_out[4:]
            is_untracked = len(ran.data_out) == len(data) + 4
            is_denied = ran.retval == 1 or self.answer is not None
            return (Verdict.DENY, False) if is_denied else (Verdict.ALLOW, not is_untracked)
        ran = bpf.test_run(
            program, data, ctx=_skb(is_forwarded or (direction is Direction.INGRESS and knows_arrival()))
        )
        mark = int.from_bytes(ran.ctx_out[8:12], "little")
        if ran.retval == REDIRECT:
            self.answer = ran.data_out
        return (Verdict.DENY, False) if ran.retval in (2, REDIRECT) else (Verdict.ALLOW, not mark & MARK)

    def forget_answers(self) -> None:
        """Have no limit reached, and no answer on its way."""
        self.rehearsal.forget_answers()

    def counts(self, direction: Direction) -> Counts:
        """What the program counted."""
        generation, index = self.generations[direction]
        return +self.rehearsal.meaning(self.lanes[direction][1], generation, index)

    def states(self) -> dict[tuple[int, ...], tuple[FlowState, int, bool]]:
        """Key of each stored flow -> state, opener, whether it was opened by a packet that left."""
        return {one.flow.key: (one.flow.state, one.flow.opener, one.flow.is_outbound) for one in self.flows.flows()}

    def close(self) -> None:
        for direction, (generation, _) in self.generations.items():
            self.rehearsal.take_out(self.lanes[direction][1], generation.pages)
            generation.close()
        self.rehearsal.log_records()
        self.flows.forget(list(self.flows.flows()))
        self.flows.close()


class Model:
    """What the programs ought to do: the evaluator, the connection table, the memory of first fragments."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rejects = case.endpoint.rejects
        self.table = ConnectionTable(case.tracking.timeouts)
        self._fragments = {direction: FirstFragments() for direction in Direction}
        self._counts = {direction: Counts() for direction in Direction}

    def judge(self, direction: Direction, packet: Packet | Reason, *, is_forwarded: bool = False) -> Trace:
        """The evaluator's trace; an allowed packet is noted in the table. A frame without a packet has its reason."""
        case = self.case
        if isinstance(packet, Reason):
            trace = unread(packet, passed=Verdict.ALLOW)
            self._count(direction, trace)
            return trace
        packet = self._fragments[direction].seen(packet)
        endpoint = case.endpoint
        if direction is Direction.INGRESS:
            concerns_host = is_for_host(packet, endpoint.interface, case.addresses)
        else:
            tiers = {key: value for key, value in endpoint.tiers.items() if key[0] is not Stage.UNTRACKED}
            endpoint = replace(endpoint, tiers=tiers)
            concerns_host = not is_forwarded
        crosses = is_forwarded or direction is Direction.INGRESS
        relation = self.table.relation_across(packet, direction) if crosses else self.table.relation(packet)
        is_known = relation in KNOWN and not endpoint.stage(Stage.UNTRACKED, direction)
        is_from_nobody = direction is Direction.INGRESS and is_martian(packet, case.addresses)
        if is_from_nobody and not is_known and not is_essential(packet):
            trace = unread(Reason.MARTIAN)
            self._count(direction, trace)
            return trace
        trace = evaluate(
            packet,
            direction,
            endpoint,
            case.sets,
            case.failsafes,
            relation,
            is_for_host=concerns_host,
            drops_invalid=case.tracking.drops_invalid,
        )
        if direction is Direction.EGRESS and concerns_host and _is_about_forwarded(packet, case):
            if trace.reason is not Reason.RELATED:
                trace = Trace(verdict=Verdict.ALLOW, reason=Reason.FORWARDED, stage=Stage.FORWARD)
        elif is_forwarded and trace.verdict is Verdict.DENY:
            self.table.forget(packet, direction, 0.0)
        elif (
            direction is Direction.INGRESS and trace.verdict is Verdict.ALLOW and trace.is_tracked and can_open(packet)
        ):
            self.table.forget(packet, direction, 0.0)  # it opens another one
        elif is_forwarded:
            self.table.leave(packet, 0.0)
        # what belongs to no connection is not the next packet of one, though a flow on its ports may be known
        is_stranger = direction is Direction.INGRESS and relation is Relation.INVALID
        is_followed = trace.verdict is Verdict.ALLOW and trace.is_tracked and not is_stranger
        if is_followed and trace.reason is not Reason.ESSENTIAL_ICMPV6:
            self.table.follow(packet, direction, endpoint.interface.name, 0.0)
        self._count(direction, trace)
        return trace

    def _count(self, direction: Direction, trace: Trace) -> None:
        counts = self._counts[direction]
        for step in trace.steps:
            counts[step.rule] += 1
        if trace.rule is None:
            counts[trace.reason] += 1

    def note(self, direction: Direction, *, is_answered: bool) -> None:
        """The packet before was denied, and its sender told, or not because nobody may be."""
        self._counts[direction][BESIDE[not is_answered]] += 1

    def counts(self, direction: Direction) -> Counts:
        """What the program should have counted."""
        return +self._counts[direction]

    def states(self) -> dict[tuple[int, ...], tuple[FlowState, int, bool]]:
        """As `Tracked.states`."""
        return {flow.key: (flow.state, flow.opener, flow.is_outbound) for flow in self.table}


def _is_about_forwarded(packet: Packet, case: Case) -> bool:
    return packet.inner is not None and not _is_of_host(packet.inner.version, packet.inner.destination, case)


def _is_of_host(version: int, address: int, case: Case) -> bool:
    return (version, address) in case.addresses.unicast or (version == 4 and address in case.addresses.broadcast)
