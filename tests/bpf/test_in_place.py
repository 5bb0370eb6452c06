"""Members that come and go in the tables of a loaded program: after every step it does what the evaluator says."""

from collections.abc import Sequence
from random import Random

import pytest

from bpf.policies import case_of, member_of, sets_of, source, tcp
from bpf.reader import Reader
from bpf.untracked import Counts, expected_counts, load, plan_of, rehearsal
from frames import frame
from strategies import Case
from tortie.dataplane.ebpf.compile import Classifier
from tortie.dataplane.ebpf.events import decode
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.address import WIDTH, Net
from tortie.model.desired import SetChange
from tortie.model.evaluate import evaluate_untracked
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet
from tortie.model.matches import NetMatch, PortMatch, PortRange
from tortie.model.packet import Direction, Packet, Side
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Trace

NONE = Failsafes((), ())
NAMES = ("a", "b", "c")
RULES = (
    Rule(Action.LOG, (member_of("c"),)),
    Rule(Action.ALLOW, (member_of("a"), member_of("b", negated=True))),
    Rule(Action.DENY, (member_of("a"), PortMatch(Side.DESTINATION, (PortRange(80, 80),)))),
    Rule(Action.DENY, (NetMatch(Side.SOURCE, (Net(4, 0x0A000000, 30), Net(6, 0xFD << 120, 126))), member_of("c"))),
    Rule(Action.ALLOW, (member_of("b"), member_of("c", negated=True))),
    Rule(Action.DENY, (member_of("b"),)),
)
BOTH_SIDES = (*RULES, Rule(Action.DENY, (member_of("a", Side.DESTINATION),)))
DESTINATIONS = (
    Rule(Action.ALLOW, (member_of("a", Side.DESTINATION), member_of("b", Side.DESTINATION, negated=True))),
    Rule(Action.DENY, (member_of("b", Side.DESTINATION), member_of("c", Side.DESTINATION))),
    *RULES,
)
POOL = [(4, 0x0A000000 + n) for n in range(10)] + [(6, (0xFD << 120) + n) for n in range(10)]
"""Few addresses, so that every combination of sets comes up; nets cover some of them."""


def start(rng: Random) -> dict[str, set[Net]]:
    """Hosts of both families and a net or two in every set, so that every table is there."""
    found = {}
    for name in NAMES:
        hosts = {Net(version, address, WIDTH[version]) for version, address in rng.sample(POOL, 8)}
        hosts |= {Net(4, 0x0B000000 + rng.randrange(100), 32), Net(6, (0xFE << 120) + rng.randrange(100), 128)}
        nets = {Net(4, 0x0A000000, rng.choice((29, 30, 31))), Net(6, 0xFD << 120, rng.choice((125, 126, 64)))}
        found[name] = hosts | set(rng.sample(sorted(nets), rng.randrange(3)))
    return found


def as_sets(members: dict[str, set[Net]]) -> dict[str, IPSet]:
    return dict(sets_of(**{name: AddressSet(found) for name, found in members.items()}))


def traced(packet: Packet, case: Case, members: dict[str, set[Net]]) -> Trace:
    return evaluate_untracked(packet, Direction.INGRESS, case.endpoint, as_sets(members), NONE)


def packets(rng: Random) -> Sequence[Packet]:
    return [tcp(v, address, rng.choice((7, address)), dport=rng.choice((80, 81))) for v, address in POOL]


def random_step(rng: Random, members: dict[str, set[Net]]) -> tuple[str, Net, bool]:
    """Set, host, and whether it comes or goes."""
    name = rng.choice(NAMES)
    version, address = rng.choice(POOL)
    host = Net(version, address, WIDTH[version])
    return name, host, host not in members[name]


@pytest.mark.parametrize(
    ("rules", "spare_bytes", "least_taken", "least_refused"),
    [(RULES, 65536, 2300, 0), (BOTH_SIDES, 65536, 2300, 0), (RULES, 0, 100, 20), (DESTINATIONS, 65536, 2000, 1)],
    ids=["sources", "both sides", "no spare rows", "combinations of destinations"],
)
def test_random_changes_keep_to_the_evaluator_or_ask_for_a_new_generation(
    rules: Sequence[Rule], spare_bytes: int, least_taken: int, least_refused: int
) -> None:
    taken = refused = 0
    for seed in range(60):
        rng = Random(seed)
        members = start(rng)
        case = case_of(rules, sets=as_sets(members))
        plan, refs = plan_of(case)
        classifier = Classifier(plan.stages[Stage.UNTRACKED], plan.members, backend="cells", spare_bytes=spare_bytes)
        reader, expected = Reader(classifier), Counts()
        for _ in range(40):
            name, host, is_member = random_step(rng, members)
            before = {n: set(found) for n, found in members.items()}
            (members[name].add if is_member else members[name].discard)(host)
            done = classifier.change_host(host, SetAtom(source(name).set_id), is_member=is_member)
            for packet in packets(rng):
                new, old = traced(packet, case, members), traced(packet, case, before)
                verdict = reader.verdict(packet)
                assert verdict in ({new.verdict} if done else {new.verdict, old.verdict}), (seed, name, host, packet)
                expected += expected_counts(new)
            if not done:
                refused += 1
                break
            taken += 1
            assert +expected == reader.counts(refs)
        classifier.close()
    assert taken >= least_taken and refused >= least_refused
    print(f"{taken} changes in place, {refused} asked for a new generation")


@pytest.mark.parametrize("version", [4, 6])
def test_a_table_is_filled_in_place_until_it_is_full_and_never_wrong(version: int) -> None:
    rng = Random(9)
    first = Net(version, rng.getrandbits(WIDTH[version]), WIDTH[version])
    case = case_of([Rule(Action.DENY, (member_of("a"),))], sets=sets_of(a=AddressSet((first,))))
    plan, _ = plan_of(case)
    classifier = Classifier(plan.stages[Stage.UNTRACKED], plan.members)
    reader, members = Reader(classifier), {first}
    for _ in range(200):
        host = Net(version, rng.getrandbits(WIDTH[version]), WIDTH[version])
        done = classifier.change_host(host, SetAtom(source("a").set_id), is_member=True)
        if not done:
            break
        members.add(host)
        for net in members:
            for address in (net.address, net.address ^ 1):
                is_member = Net(version, address, net.length) in members
                assert (reader.verdict(tcp(version, address)).value == "deny") is is_member
    else:
        pytest.fail("two buckets took 200 hosts")
    assert len(members) > (12 if version == 4 else 5)  # 16 and 6 places
    classifier.close()


@pytest.mark.root
def test_the_loaded_program_sees_every_change_at_once() -> None:
    taken = 0
    for seed in range(12):
        rng = Random(seed)
        members = start(rng)
        case = case_of(RULES, sets=as_sets(members))
        loaded = load(case)
        made = loaded.generation
        expected = Counts()
        for _ in range(25):
            added: dict[str, set[Net]] = {name: set() for name in NAMES}
            removed: dict[str, set[Net]] = {name: set() for name in NAMES}
            for _ in range(rng.randrange(1, 5)):
                name, host, is_member = random_step(rng, members)
                (added if is_member else removed)[name].add(host)
                (members[name].add if is_member else members[name].discard)(host)
            done = True
            for name in NAMES:
                # a host that came and went again in one batch is in the sum as what it is now
                came = {host for host in added[name] if host in members[name]}
                change = SetChange(frozenset(came), frozenset(removed[name] - came | added[name] - came))
                done = made.change(source(name).set_id, change) and done
            if not done:
                break
            for packet in packets(rng):
                trace = traced(packet, case, members)
                assert trace.verdict is loaded.run(frame(packet)), (seed, packet, trace)
                expected += expected_counts(trace)
            assert +expected == loaded.counts()
            taken += 1
        loaded.close()
    assert taken > 200


@pytest.mark.root
@pytest.mark.parametrize("backend", ["folded", "bits"])
def test_other_back_ends_take_members_of_combinations_that_exist(backend: str) -> None:
    hosts = [Net(4, 0x0A000000 + n, 32) for n in range(20)]
    members = {"a": set(hosts[:5]), "b": set(hosts[5:10]), "c": {hosts[19]}}
    case = case_of(RULES, sets=as_sets(members))
    loaded = load(case, backend=backend)
    made = loaded.generation
    assert loaded.generation.classifiers.backend == backend
    assert made.change(source("a").set_id, SetChange(frozenset({hosts[12]}), frozenset({hosts[0]})))
    members["a"] = members["a"] - {hosts[0]} | {hosts[12]}
    for host in hosts:
        packet = tcp(4, host.address)
        assert traced(packet, case, members).verdict is loaded.run(frame(packet))
    assert not made.change(source("b").set_id, SetChange(frozenset({hosts[12]}), frozenset()))
    packet = tcp(4, hosts[12].address)
    both = {name: found | {hosts[12]} if name == "b" else found for name, found in members.items()}
    assert loaded.run(frame(packet)) in {traced(packet, case, m).verdict for m in (members, both)}
    loaded.close()


@pytest.mark.root
def test_a_log_rule_that_nobody_could_meet_tells_of_the_member_that_came() -> None:
    friends, strangers = Net(4, 0x0A000001, 32), Net(4, 0x0A000002, 32)
    rules = [Rule(Action.LOG, (member_of("a"), member_of("b"))), Rule(Action.ALLOW, (member_of("a"),))]
    case = case_of(rules, sets=sets_of(a=AddressSet((friends,)), b=AddressSet((strangers,))))
    loaded = load(case)
    made = loaded.generation
    assert made.change(source("b").set_id, SetChange(frozenset({friends}), frozenset()))
    packet = tcp(4, friends.address)
    rehearsal().log_records()
    loaded.run(frame(packet))
    (event,) = [decode(record) for record in rehearsal().log_records()]
    assert (event.packet, event.pages_id, event.lane) == (packet, made.pages.id, loaded.lane)
    loaded.close()
