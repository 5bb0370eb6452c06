"""Long chains of policy rules in parts: the same rules in the same order, and changes that stay where they are."""

from collections.abc import Iterator
from itertools import groupby
from random import Random

from tortie.dataplane.parts import LONG, USUAL, Segment, parted, segments_of
from tortie.model.policy import PolicyKey
from tortie.model.rule import Action, Rule
from tortie.model.verdict import RuleRef
from tortie.model.walk import RuleList

Named = tuple[str, int]
Parts = dict[str, list[Named]]


def listed(name: str, *actions: Action) -> RuleList:
    return RuleList("default", PolicyKey("GlobalNetworkPolicy", "", name), tuple(map(Rule, actions)))


def rendered(ref: RuleRef, rule: Rule) -> Iterator[Named]:
    yield ref.policy.name, ref.index
    if rule.action is Action.LOG:  # some rules are two of the driver's
        yield ref.policy.name, ref.index


def passes(rule: Rule) -> bool:
    return rule.action is Action.PASS


def segments(lists: list[RuleList]) -> list[Segment[Named]]:
    return [segment for one in lists for segment in segments_of(one, rendered, passes)]


def parts(lists: list[RuleList]) -> Parts:
    """Rules of each part by its name, those that stay under the empty one."""
    found: Parts = {}
    for name, rules in parted(segments(lists)):
        assert not name or name not in found
        found.setdefault(name, []).extend(rules)
    return found


def many(rng: Random, count: int, *more: Action) -> list[RuleList]:
    actions = (Action.ALLOW, Action.DENY, Action.LOG, *more)
    return [listed(f"p{n}", *rng.choices(actions, k=rng.choice((0, 1, 1, 1, 4, 300)))) for n in range(count)]


def test_parts_have_every_rule_once_in_order() -> None:
    for seed in range(20):
        rng = Random(seed)
        lists = many(rng, rng.randrange(80), Action.PASS)
        found = [rule for _, rules in parted(segments(lists)) for rule in rules]
        assert found == [name for one in lists for ref, rule in one.numbered() for name in rendered(ref, rule)]


def test_what_returns_stays_in_the_chain() -> None:
    lists = many(Random(1), 60, Action.PASS)
    lists += (listed(f"q{number}", *(Action.DENY,) * 30) for number in range(60))
    returning = {(ref.policy.name, ref.index) for one in lists for ref, rule in one.numbered() if passes(rule)}
    found = parts(lists)
    stay = found.pop("")
    assert returning <= set(stay)
    assert found


def test_few_rules_are_one_chain_and_many_are_parts_of_some_dozen() -> None:
    one_each = [listed(f"p{number}", Action.DENY) for number in range(10_000)]
    assert list(parts(one_each[: LONG - 1])) == [""]
    assert LONG / USUAL > 2
    found = parts(one_each)
    assert 10_000 / USUAL * 0.8 < len(found) < 10_000 / USUAL * 1.2
    assert max(map(len, found.values())) < USUAL * 12


def test_a_change_of_one_policy_is_one_of_its_part_alone() -> None:
    rng = Random(3)
    before = [listed(f"p{number}", Action.DENY) for number in range(1_000)]
    for _ in range(50):
        place = rng.randrange(len(before))
        after = rng.choice(
            (
                [*before[:place], *before[place + 1 :]],
                [*before[:place], listed("new", Action.ALLOW), *before[place:]],
                [*before[:place], listed(f"p{place}", Action.DENY, Action.ALLOW), *before[place + 1 :]],
            )
        )
        old, new = parts(before), parts(after)
        different = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        assert len(different) <= 2  # two, where the part begins that ended here, or ends that began


def test_names_of_parts_tell_policies_apart() -> None:
    keys = [PolicyKey("GlobalNetworkPolicy", "", "a.b"), PolicyKey("NetworkPolicy", "a", "b"), PolicyKey("K", "a", "b")]
    many_each = [RuleList("default", key, (Rule(Action.DENY),) * 5_000) for key in keys]
    begins = sorted(one.begins for one in segments(many_each) if one.begins)
    assert all(len(list(same)) == 1 for _, same in groupby(begins))
