"""A change of policy while packets are judged: each of them meets one generation, from beginning to end."""

from threading import Event, Thread
from time import monotonic

import pytest

from bpf.policies import case_of, member_of, sets_of
from bpf.untracked import Loaded, load, rehearsal
from frames import frame
from tortie.kernel import bpf
from tortie.model.address import Net
from tortie.model.ipset import AddressSet
from tortie.model.packet import TCP, Packet
from tortie.model.rule import Action, Rule

pytestmark = pytest.mark.root
OURS, THEIRS, OTHERS = (Net(6, 0x20010DB8 << 96 | number, 128) for number in (1, 2, 3))
PACKET = frame(Packet(version=6, protocol=TCP, source=THEIRS.address, destination=5, source_port=1, destination_port=2))
SECONDS = 1.5


def generations(backend: str) -> tuple[Loaded, Loaded]:
    """Two that deny the packet: what is the class of its source in one is in the other that of what is allowed."""
    a, b = member_of("a"), member_of("b")
    ours, theirs, others = AddressSet((OURS,)), AddressSet((THEIRS,)), AddressSet((OTHERS,))
    first = case_of([Rule(Action.ALLOW, (a,)), Rule(Action.DENY, (b,))], sets=sets_of(a=ours, b=theirs))
    second = case_of([Rule(Action.DENY, (a,)), Rule(Action.ALLOW, (b,))], sets=sets_of(a=theirs, b=others))
    return load(first, backend=backend), load(second, backend=backend, parity=1)


@pytest.mark.parametrize("backend", ["cells", "bits"])
def test_no_packet_meets_parts_of_two_generations(backend: str) -> None:
    first, second = generations(backend)
    program, is_over, sent = rehearsal().enter("xdp", first.lane, first.generation.pages), Event(), 0
    put, counters = rehearsal()._programs.lanes.put, rehearsal()._programs.lanes.counters
    counters.tell(first.lane, 1, counters.take(second.generation.stride))
    counters.publish()

    def send() -> None:
        nonlocal sent
        while not is_over.is_set():
            bpf.test_run(program, PACKET, repeat=20_000)
            sent += 20_000

    sender, end, flips = Thread(target=send), monotonic() + SECONDS, 0
    sender.start()
    try:
        while monotonic() < end:
            for one in (second, first):
                put({first.lane: one.generation.pages})
                flips += 1
    finally:
        is_over.set()
        sender.join()
    assert flips > 10
    by_first, by_second = first.counts(), second.counts(first.lane)
    assert set(by_first) <= {first.refs[1]} and set(by_second) <= {second.refs[0]}  # those that deny
    assert by_first.total() + by_second.total() == sent > 0
    second.close()
    first.close()
