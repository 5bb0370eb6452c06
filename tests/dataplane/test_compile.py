"""Blocks, members and digests: equal inputs, equal bytes; what differs, differs."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bpf.policies import case_of, member_of, sets_of
from bpf.untracked import plan_of
from strategies import random_case
from tortie.dataplane.ebpf.compile import Classifier, compile_rules, digest
from tortie.dataplane.ebpf.members import FEW, members_after, members_of
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.address import Net
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, PortMember, PortSet
from tortie.model.packet import TCP, UDP
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule


def test_equal_rules_and_members_give_equal_digests_and_tables() -> None:
    for seed in range(20):
        first, again = (random_case(Random(seed), 12) for _ in range(2))
        plans = [plan_of(case)[0] for case in (first, again)]
        assert plans[0].digest == plans[1].digest
        tables = []
        for plan in plans:
            classifier = Classifier(plan.stages[Stage.UNTRACKED], plan.members)
            memory = {name: bytearray(size) for name, size in classifier.sizes().items() if size}
            for name, view in memory.items():
                classifier.fill(name, view)
            tables.append((memory, classifier.config()))
        assert tables[0] == tables[1]


def test_every_part_of_a_plan_changes_its_digest() -> None:
    host = Net(4, 1, 32)
    rules = [Rule(Action.DENY, (member_of("a"),))]
    cases = [
        case_of(rules, sets=sets_of(a=AddressSet((host,)))),
        case_of(rules, sets=sets_of(a=AddressSet(()))),
        case_of([Rule(Action.ALLOW, (member_of("a"),))], sets=sets_of(a=AddressSet((host,)))),
        case_of(rules, [], sets=sets_of(a=AddressSet((host,))), failsafes=Failsafes()),
        case_of(rules, sets=sets_of(a=AddressSet((host,))), vlans=frozenset({4})),
        case_of(rules, rules, sets=sets_of(a=AddressSet((host,)))),
        case_of(rules + rules, sets=sets_of(a=AddressSet((host,)))),
    ]
    digests = [plan_of(case)[0].digest for case in cases]
    assert len(set(digests)) == len(cases)


def test_a_digest_tells_where_its_parts_end() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"]) != digest([b"abc"])


def test_the_atom_of_a_port_set_is_the_addresses_with_that_port() -> None:
    members = PortSet((PortMember(4, 1, TCP, 80), PortMember(4, 2, TCP, 81), PortMember(4, 3, UDP, 80)))
    exact, protocol = (members_of(SetAtom("s", TCP, port), members) for port in (80, None))
    assert [len(found.nets4) // 12 for found in (exact, protocol)] == [1, 2]


def test_a_policy_without_rules_decides_nothing() -> None:
    block = compile_rules([], {})
    classifier = Classifier([[block]], {})
    assert (block.rules, classifier.results) == (0, 0)


def few_nets() -> st.SearchStrategy[set[Net]]:
    four = st.builds(lambda address, length: Net(4, address << 24, length), st.integers(0, 9), st.integers(8, 12))
    six = st.builds(
        lambda address, length: Net(6, address << 60, length), st.integers(0, 2**68 - 1), st.integers(68, 72)
    )
    return st.sets(st.one_of(four, six), max_size=40)


@given(few_nets(), few_nets())
def test_records_with_a_few_members_changed_are_those_that_sorting_them_all_makes(one: set[Net], two: set[Net]) -> None:
    atom, known, now = SetAtom("s"), AddressSet(one), AddressSet(two)
    made = members_after(known, members_of(atom, known), now)
    assert made == (members_of(atom, now) if len(one ^ two) <= FEW else None)
