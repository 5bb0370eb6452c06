"""What is said of all packets at once is what the evaluator says of each: rules, walks, whole hosts, reach."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hosts import WAYS, random_host
from strategies import Case, random_case, random_normal_case, random_packet
from tortie.model.conntrack import Relation
from tortie.model.packet import Direction, Fragment, Packet
from tortie.model.passage import Way, pass_through
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.space import PacketSpace, RuleReach, reach
from tortie.model.space.deciding import Decision, walk_all
from tortie.model.space.diagram import value_of
from tortie.model.space.passing import Crossing
from tortie.model.space.sample import examples
from tortie.model.stages import stage_groups
from tortie.model.verdict import Reason, Trace, Verdict
from tortie.model.walk import Given, Group, walk

CHANCE = st.builds(Random, st.integers(0, 2**32))


def random_groups(rng: Random, direction: Direction) -> tuple[list[Group], Case]:
    """Tiers, and at times profiles."""
    if rng.randrange(2):
        case, stage = random_normal_case(rng, 12), Stage.NORMAL
    else:
        case, stage = random_case(rng, 20), Stage.UNTRACKED
    return stage_groups(case.endpoint, stage, direction), case


def space_of(groups: list[Group], case: Case) -> PacketSpace:
    return PacketSpace(case.sets, [rule for group in groups for _, rule in group.rules])


def evaluated(packet: Packet, groups: list[Group], case: Case) -> Trace:
    return walk(packet, groups, Stage.NORMAL, Given(case.sets, case.failsafes))


def decision(packet: Packet, groups: list[Group], case: Case) -> Decision | None:
    found = evaluated(packet, groups, case)
    return None if found.verdict is Verdict.CONTINUE else Decision(found.verdict, found.reason, found.rule)


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(Direction))
def test_a_rule_holds_for_the_packets_of_its_space_and_for_no_others(rng: Random, direction: Direction) -> None:
    groups, case = random_groups(rng, direction)
    packets = space_of(groups, case)
    for rule in (rule for group in groups for _, rule in group.rules):
        likely = packets.rule(rule)
        for packet in (random_packet(rng, case, direction=direction) for _ in range(8)):
            held = rule.holds(packet, case.sets)
            assert (packet in likely.surely, packet in likely.maybe) == (held is True, held is not False)
        for space, expected in ((likely.surely, True), (likely.maybe - likely.surely, None)):
            found = space.sample()
            assert (found is not None) == bool(space)
            if found is not None:
                assert found in space
                assert rule.holds(found, case.sets) is expected


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(Direction))
def test_a_walk_of_all_packets_decides_each_as_its_own_walk(rng: Random, direction: Direction) -> None:
    groups, case = random_groups(rng, direction)
    packets = space_of(groups, case)
    decided = walk_all(groups, packets, packets.everything)
    tried = [random_packet(rng, case, direction=direction) for _ in range(60)]
    for packet in (*tried, *examples(packets.ground, decided).values()):
        assert value_of(decided, packets.ground.values_of(packet)) == decision(packet, groups, case)


@settings(max_examples=60, deadline=None)
@given(CHANCE, st.sampled_from(WAYS), st.sampled_from(Relation))
def test_a_host_does_with_all_packets_what_it_does_with_each(rng: Random, way: Way, relation: Relation) -> None:
    host, case = random_host(rng)
    outcomes = Crossing(host, way).outcomes(relation)
    by_fate = examples(outcomes.packets.ground, outcomes.diagram)
    assert by_fate.keys() == outcomes.fates()
    for packet in (*by_fate.values(), *(random_packet(rng, case) for _ in range(60))):
        passage, found = pass_through(packet, way, host, relation), outcomes.of(packet)
        assert (found.verdict, found.reason) == (passage.verdict, passage.reason)
        assert found.rule == (passage.decided.trace.rule if passage.decided is not None else None)
        assert (found.is_tracked, found.is_rejected) == (passage.is_tracked, passage.is_rejected)


@settings(max_examples=30, deadline=None)
@given(CHANCE, st.sampled_from(WAYS), st.sampled_from(Relation))
def test_who_asks_about_some_packets_is_told_the_same_of_them(rng: Random, way: Way, relation: Relation) -> None:
    host, case = random_host(rng)
    rules = list(case.rules(Direction.INGRESS))
    meant_by = rng.choice(rules) if rules else Rule(Action.ALLOW)
    crossing = Crossing(host, way, [meant_by])
    meant = crossing.packets.rule(meant_by).surely
    some, everything = crossing.outcomes(relation, meant), crossing.outcomes(relation)
    assert some.fates() <= everything.fates()
    for fate in everything.fates():
        assert some.where(fate.__eq__) == everything.where(fate.__eq__) & meant


@settings(max_examples=40, deadline=None)
@given(CHANCE, st.sampled_from(WAYS))
def test_the_parts_of_all_fates_are_those_of_each(rng: Random, way: Way) -> None:
    host, _ = random_host(rng)
    outcomes = Crossing(host, way).outcomes(Relation.NEW)
    parts = outcomes.parts()
    assert parts.keys() == outcomes.fates()
    for fate, part in parts.items():
        assert part == outcomes.where(lambda one, fate=fate: one == fate)  # type: ignore[misc]


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(Direction))
def test_reach_knows_every_rule_that_a_packet_meets_and_shows_one_that_does(rng: Random, direction: Direction) -> None:
    groups, case = random_groups(rng, direction)
    found: dict[object, RuleReach] = {}
    for one in reach(groups, space_of(groups, case)):
        found.setdefault(one.ref, one)
    for packet in (random_packet(rng, case, direction=direction) for _ in range(60)):
        for step in evaluated(packet, groups, case).steps:
            assert packet in found[step.rule].meets
    for one in found.values():
        if one.example is None:
            assert not one.meets
            assert one.is_empty != bool(one.shadowed_by)
            continue
        trace = evaluated(one.example, groups, case)
        assert one.example in one.meets
        assert one.ref in [step.rule for step in trace.steps] or trace.reason is Reason.FRAGMENT


@settings(max_examples=60, deadline=None)
@given(CHANCE, st.sampled_from(Direction))
def test_rules_that_never_match_can_be_left_out(rng: Random, direction: Direction) -> None:
    """But for later fragments, which a rule may hold for that no packet surely meets."""
    groups, case = random_groups(rng, direction)
    found = reach(groups, space_of(groups, case))
    never = {one.ref for one in found} - {one.ref for one in found if one.example is not None}
    kept, names = [], {None: None} | {group.end: group.end for group in groups}
    for group in groups:
        lists = []
        for listed in group.lists:
            left = {ref: rule for ref, rule in listed.numbered() if ref not in never}
            lists.append(listed._replace(rules=tuple(left.values())))
            names |= zip((ref for ref, _ in lists[-1].numbered()), left, strict=True)
        kept.append(group._replace(lists=tuple(lists)))
    for packet in (random_packet(rng, case, direction=direction) for _ in range(60)):
        if packet.fragment is Fragment.LATER:
            continue
        before, after = evaluated(packet, groups, case), evaluated(packet, kept, case)
        assert (before.verdict, before.rule) == (after.verdict, names[after.rule])


def test_a_thousand_rules_are_one_map() -> None:
    rng, direction = Random(6), Direction.INGRESS
    case = random_case(rng, 1500)
    groups = stage_groups(case.endpoint, Stage.UNTRACKED, direction)
    assert sum(len(tuple(group.rules)) for group in groups) > 1000
    packets = space_of(groups, case)
    decided = walk_all(groups, packets, packets.everything)
    for packet in (random_packet(rng, case, direction=direction) for _ in range(300)):
        assert value_of(decided, packets.ground.values_of(packet)) == decision(packet, groups, case)
