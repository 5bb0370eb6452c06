"""The classifier's tables against the evaluator, without the kernel: every back end, large, full, nested, refused."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

import pytest

from bpf.policies import around, case_of, colliding, fragment_walks, large, member_of, nested, net_of, sets_of, tcp
from bpf.reader import Reader
from bpf.untracked import Counts, expected_counts, plan_of
from strategies import Case, random_case, random_packet
from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.compile import Classifier
from tortie.model.address import WIDTH, Net
from tortie.model.evaluate import evaluate_untracked, is_essential
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet
from tortie.model.matches import NetMatch, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import TCP, Direction, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import RuleRef, Verdict

NONE = Failsafes((), ())
BACKENDS = ("cells", "folded", "bits")


def compiled(case: Case, backend: str = "auto") -> tuple[Reader, Sequence[RuleRef]]:
    plan, refs = plan_of(replace(case, failsafes=NONE))
    return Reader(Classifier(plan.stages[Stage.UNTRACKED], plan.members, backend=backend)), refs


def assert_agrees(case: Case, packets: Iterable[Packet], backend: str = "auto") -> Reader:
    reader, refs = compiled(case, backend)
    expected = Counts()
    for packet in packets:
        if is_essential(packet):
            continue
        trace = evaluate_untracked(packet, Direction.INGRESS, case.endpoint, case.sets, NONE)
        assert trace.verdict is reader.verdict(packet), f"{packet}\n{trace}"
        expected += expected_counts(trace)
    assert +expected == reader.counts(refs)
    return reader


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_policies_give_the_evaluators_verdicts_and_counts(backend: str) -> None:
    for seed in range(60):
        rng = Random(seed)
        case = random_case(rng, 14)
        packets = [random_packet(rng, case, direction=Direction.INGRESS) for _ in range(150)]
        assert_agrees(case, packets, backend)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("backend", BACKENDS)
def test_nets_of_equal_bits_and_every_length_nest(version: int, backend: str) -> None:
    for seed in range(4):
        case, packets = nested(Random(seed), version)
        assert_agrees(case, packets, backend)


@pytest.mark.parametrize("version", [4, 6])
def test_everything_and_a_host_below_nets_in_several_sets(version: int) -> None:
    width = WIDTH[version]
    host = 0x0A000001 << (width - 32)
    nets = [Net(version, host >> s << s, width - s) for s in (0, 1, 8, width - 1, width)]
    members = sets_of(
        a=AddressSet(nets[:2]), b=AddressSet((nets[0], nets[2])), c=AddressSet((nets[4],)), d=AddressSet((nets[3],))
    )
    rules = [
        Rule(Action.ALLOW, (member_of("a"), member_of("b", negated=True))),
        Rule(Action.DENY, (member_of("b"), member_of("a", negated=True))),
        Rule(Action.LOG, (member_of("c"),)),
        Rule(Action.ALLOW, (member_of("d"), member_of("a"), member_of("b"))),
        Rule(Action.DENY, (member_of("c", Side.DESTINATION), member_of("d", negated=True))),
    ]
    packets = [tcp(version, a, host) for net in nets for a in around(net)]
    for backend in BACKENDS:
        assert_agrees(case_of(rules, sets=members), packets, backend)


def test_a_hundred_thousand_hosts_and_nets_of_every_length() -> None:
    assert_agrees(*large(Random(4)))


@pytest.mark.parametrize("version", [4, 6])
def test_addresses_chosen_to_collide_are_all_found(version: int) -> None:
    reader = assert_agrees(*colliding(version))
    buckets = len(reader.tables["src4_hosts" if version == 4 else "src6"]) // 64
    assert buckets <= 1024


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_later_fragment_that_may_have_passed_asks_the_next_tier_only(backend: str) -> None:
    assert_agrees(*fragment_walks(), backend)


def test_tables_of_every_small_size_hold_what_they_are_made_of() -> None:
    rng = Random(11)
    for count in (*range(1, 40), 63, 64, 65, 127, 128, 129):
        for version in (4, 6):
            nets = [Net(version, rng.getrandbits(WIDTH[version]), WIDTH[version]) for _ in range(count)]
            case = case_of([Rule(Action.DENY, (member_of("a"),))], sets=sets_of(a=AddressSet(nets)))
            assert_agrees(case, [tcp(version, address) for net in nets for address in around(net)])


# ---- what is too large is refused


def port_rules(count: int, protocol: int = TCP) -> list[Rule]:
    return [
        Rule(Action.DENY, (ProtocolMatch(protocol), PortMatch(Side.DESTINATION, (PortRange(port, port),))))
        for port in range(1, count + 1)
    ]


def bit_rules(last: int) -> list[Rule]:
    """Sixteen rules that tell every port up to the last from every other: rule n holds where bit n is set."""
    found = []
    for bit in range(16):
        step = 1 << bit
        ranges = tuple(PortRange(at, min(at + step - 1, last)) for at in range(step, last + 1, 2 * step))
        found.append(Rule(Action.LOG, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, ranges))))
    return found


def test_as_many_groups_of_ports_as_there_are_numbers_and_one_more() -> None:
    # port 0 is like other protocols, later fragments are a group of their own
    reader, _ = compiled(case_of(bit_rules(65534)), "bits")
    seen = {reader.service_class(tcp(4, 1, dport=port)) for port in range(65535)}
    assert len(seen) == 65535
    with pytest.raises(Unsupported, match=r"65536 groups of ports.*merge rules into port lists"):
        compiled(case_of(bit_rules(65535)))


def test_more_terms_than_the_tables_take_are_refused() -> None:
    most = [Rule(Action.DENY, (ProtocolMatch(TCP),))] * 32768
    reader, _ = compiled(case_of(most))
    assert reader.verdict(tcp(4, 1)) is Verdict.DENY
    with pytest.raises(Unsupported, match=r"32768 conditions.*merge rules"):
        compiled(case_of([*most, Rule(Action.ALLOW)]))


def test_more_log_rules_than_the_bit_vectors_walk_are_refused() -> None:
    # random enough that neither cells nor folded cells hold them
    rng = Random(3)

    def logs(count: int) -> Case:
        rules = []
        for _ in range(count):
            first = rng.randrange(60000)
            nets = [NetMatch(side, (net_of(rng, 4, rng.randrange(1, 12)),)) for side in Side]
            ports = [PortMatch(side, (PortRange(first, first + rng.randrange(5000)),)) for side in Side]
            rules.append(Rule(Action.LOG, (ProtocolMatch(TCP), *nets, *ports)))
        return case_of(rules)

    reader, _ = compiled(logs(400), "bits")
    assert reader.classifier.backend == "bits"
    with pytest.raises(Unsupported, match=r"general classifier.*log less"):
        compiled(logs(600), "bits")


def test_more_nets_than_half_a_gigabyte_of_trie_are_refused() -> None:
    nets = [Net(4, number << 8, 25) for number in range(530_000)]
    with pytest.raises(Unsupported, match="512 MB; merge rules into sets"):
        compiled(case_of([Rule(Action.DENY, (member_of("a"),))], sets=sets_of(a=AddressSet(nets))))
