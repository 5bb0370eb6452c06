"""The study of all packets says of each one what the evaluator says, for hosts at random."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hosts import random_host
from strategies import Case, random_packet
from tortie.apps.explain.study import Path, Question, study
from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import Relation
from tortie.model.essential import is_essential
from tortie.model.host import Host, ToHost
from tortie.model.packet import ICMP, ICMP_REQUESTS, ICMPV6, Fragment, Packet
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.policy import Stage
from tortie.model.verdict import Verdict

WAYS = {
    Path.TO_HOST: Way("eth0", None),
    Path.FROM_HOST: Way(None, "eth0"),
    Path.FORWARD_IN: Way("eth0", ""),
    Path.FORWARD_OUT: Way("", "eth0"),
    Path.TO_WORKLOAD: Way("", "cali1"),
    Path.FROM_WORKLOAD: Way("cali1", ""),
}
CHANCE = st.builds(Random, st.integers(0, 2**32))


def is_in_question(packet: Packet) -> bool:
    if packet.fragment is Fragment.LATER or is_essential(packet):
        return False
    is_icmp = packet.protocol in (ICMP, ICMPV6)
    return not is_icmp or packet.icmp_type in ICMP_REQUESTS[packet.protocol]


def plain(host: Host) -> Host:
    """Without what lies behind the endpoint that is asked about."""
    return Host(
        endpoints={"eth0": host.endpoints["eth0"]},
        workloads={"cali1": host.workloads["cali1"]},
        sets=host.sets,
        failsafes=host.failsafes,
        tracking=host.tracking,
        to_host=ToHost.ACCEPT,
    )


def asked(rng: Random, case: Case) -> list[Packet]:
    return [packet for _ in range(12) if is_in_question(packet := random_packet(rng, case))]


@settings(max_examples=50, deadline=None)
@given(CHANCE)
def test_each_packet_is_in_the_outcome_that_the_evaluator_gives(rng: Random) -> None:
    host, case = random_host(rng)
    host = plain(host)
    for path, way in WAYS.items():
        name = "cali1" if path in (Path.TO_WORKLOAD, Path.FROM_WORKLOAD) else "eth0"
        endpoint = host.workloads[name] if name == "cali1" else host.endpoints[name]
        found = study(endpoint, path, host, Question())
        for packet in asked(rng, case):
            holding = [one for one in found.outcomes if packet in one.space]
            assert len(holding) == 1, (path, packet)
            passage = pass_through(packet, way, host, Relation.NEW)
            expected = deciding(passage, path)
            assert (holding[0].verdict, holding[0].rule) == expected, (path, packet)
            if holding[0].verdict is Verdict.ALLOW and path not in (Path.FORWARD_OUT, Path.TO_WORKLOAD):
                assert holding[0].is_tracked is passage.is_tracked


def deciding(passage: Passage, path: Path) -> tuple[Verdict, object]:
    """Verdict and rule of the stage that settles it; a pre-DNAT Allow settles it for the host's own side."""
    del path
    decided = passage.decided
    return passage.verdict, None if decided is None else decided.trace.rule


@settings(max_examples=25, deadline=None)
@given(CHANCE)
def test_a_question_about_one_port_is_a_part_of_the_whole(rng: Random) -> None:
    host, case = random_host(rng)
    host = plain(host)
    packets = [one for one in asked(rng, case) if one.destination_port is not None]
    for packet in packets:
        question = Question((packet.protocol,), packet.destination_port)
        found = study(host.endpoints["eth0"], Path.TO_HOST, host, question)
        (outcome,) = [one for one in found.outcomes if packet in one.space]
        passage = pass_through(packet, WAYS[Path.TO_HOST], host, Relation.NEW)
        assert (outcome.verdict, outcome.rule) == deciding(passage, Path.TO_HOST)
        assert all(one.space.protocols() == ((packet.protocol,) * 2,) for one in found.outcomes)


@settings(max_examples=25, deadline=None)
@given(CHANCE)
def test_a_rule_that_never_matches_has_others_that_take_its_packets(rng: Random) -> None:
    host, _ = random_host(rng)
    for one in study(host.endpoints["eth0"], Path.TO_HOST, plain(host), Question()).uses:
        assert one.never_matches is (bool(one.holds) and not one.meets)
        assert not one.never_matches or one.taken_by or one.stage is not Stage.UNTRACKED


@settings(max_examples=25, deadline=None)
@given(CHANCE)
def test_rules_are_met_by_what_goes_to_groups_too_and_outcomes_are_about_what_is_asked(rng: Random) -> None:
    host, case = random_host(rng)
    host, endpoint = plain(host), host.endpoints["eth0"]
    packets = [packet for packet in asked(rng, case) if packet.fragment is Fragment.WHOLE]
    nets = tuple(Net(one.version, one.destination, WIDTH[one.version]) for one in packets)
    own, groups = nets[::2], nets[1::2]
    alone = study(endpoint, Path.TO_HOST, host, Question().to(own))
    found = study(endpoint, Path.TO_HOST, host, Question().to(own, groups))
    union = study(endpoint, Path.TO_HOST, host, Question().to((*own, *groups)))
    shown = [[(one.verdict, one.rule, one.space.protocols()) for one in each.outcomes] for each in (alone, found)]
    assert shown[0] == shown[1]
    assert [one.never_matches for one in found.uses] == [one.never_matches for one in union.uses]
