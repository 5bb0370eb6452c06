"""What the kernel is told of flows when another driver takes the eBPF driver's place, and what it tells back."""

import pytest

from tortie.dataplane.ebpf.handover import noticing, tracked_keys, untold
from tortie.kernel.ctnetlink import ASSURED, SEEN_REPLY, TcpState
from tortie.model.conntrack import Flow, FlowKey, FlowState, Relation, Timeouts
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate
from tortie.model.failsafe import Failsafes
from tortie.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Direction, Packet
from tortie.model.policy import Stage, Tier
from tortie.model.verdict import Verdict

LOW, HIGH = 0x0A000001, 0x0A000002
PLACES: dict[int, FlowKey] = {
    TCP: (4, TCP, LOW, 1000, HIGH, 2000),
    UDP: (6, UDP, LOW, 1000, HIGH, 2000),
    ICMP: (4, ICMP, HIGH, 77, LOW, 8),
    ICMPV6: (6, ICMPV6, HIGH, 77, LOW, 128),
    47: (4, 47, LOW, 0, HIGH, 0),
}

PACKET = Packet(version=4, protocol=UDP, source=LOW, destination=HIGH, source_port=1, destination_port=2)


def flow(key: FlowKey, *, opener: int = 0, state: FlowState = FlowState.ESTABLISHED, is_answered: bool = True) -> Flow:
    return Flow(key, opener, False, "", 0.0, state, is_answered=is_answered)


@pytest.mark.parametrize(
    ("protocol", "opener"),
    [(protocol, opener) for protocol in PLACES for opener in (0, 1) if protocol not in (ICMP, ICMPV6) or not opener],
)
def test_what_the_kernel_is_told_of_is_the_flow_that_it_tells_back(protocol: int, opener: int) -> None:
    (entry,) = untold([flow(PLACES[protocol], opener=opener)], set(), Timeouts())
    assert set(tracked_keys([entry])) == {PLACES[protocol]}
    assert entry.original.source == (PLACES[protocol][2], PLACES[protocol][4])[opener]
    assert (entry.reply.source, entry.reply.destination) == (entry.original.destination, entry.original.source)
    assert entry.tcp_state == (TcpState.ESTABLISHED if protocol == TCP else None)
    assert entry.status == SEEN_REPLY | ASSURED


def test_a_flow_that_nobody_answered_is_told_as_such_and_for_as_long_as_it_would_be_kept() -> None:
    (entry,) = untold([flow(PLACES[TCP], state=FlowState.OPENING, is_answered=False)], set(), Timeouts())
    assert (entry.status, entry.timeout_s) == (0, 20)


@pytest.mark.parametrize(
    "one",
    [
        flow(PLACES[TCP], state=FlowState.CLOSED),
        flow(PLACES[TCP], state=FlowState.RESET),
        flow((4, SCTP, LOW, 1000, HIGH, 2000)),
        flow(PLACES[UDP]),
    ],
)
def test_what_is_over_what_cannot_be_told_and_what_is_known_from_both_ends_is_not_told(one: Flow) -> None:
    assert list(untold([one], {PLACES[UDP]}, Timeouts())) == []


def test_an_interface_that_only_notices_denies_nothing_but_what_untracked_policy_does() -> None:
    groups = (TierPolicies(Tier("default"), ()),)
    tiers = {(stage, direction): groups for stage in Stage for direction in Direction}
    state = EndpointState(interface=Interface(name="eth0", index=2), endpoint="e", tiers=tiers)
    found = noticing(state)
    assert set(found.tiers) == {(Stage.UNTRACKED, direction) for direction in Direction}
    verdicts = [evaluate(PACKET, direction, found, {}, Failsafes(), Relation.NEW).verdict for direction in Direction]
    assert verdicts == [Verdict.ALLOW, Verdict.ALLOW]
