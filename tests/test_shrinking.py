"""Making a disagreement small: what stays is what matters, and a person can read it."""

from collections.abc import Sequence
from random import Random

from bpf.policies import case_of
from shrinking import as_yaml, shrink
from strategies import Case, random_case, random_normal_case
from tortie.model.desired import MissingProfile
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.rule import Action, Rule

CULPRIT = Rule(Action.DENY, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(4242, 4242),))))


def has_culprit(case: Case) -> bool:
    return any(
        PortRange(4242, 4242) in getattr(match, "ranges", ())
        for rule in case.endpoint.rules()
        for match in rule.matches
    )


def test_one_rule_match_and_step_stay_of_many() -> None:
    noise = [Rule(Action.ALLOW, (ProtocolMatch(number),)) for number in range(50)]
    case = case_of(noise[:20], [*noise[20:], CULPRIT, *noise], noise)
    steps = [*range(100), 7, *range(200, 250)]

    def disagrees(one: Case, some: Sequence[int]) -> bool:
        return has_culprit(one) and 7 in some and some[-1] == 249

    small, left = shrink(case, steps, disagrees)
    (rule,) = small.endpoint.rules()
    assert rule == Rule(Action.DENY, CULPRIT.matches[1:])
    assert left == [7, 249]


def test_what_depends_on_everything_stays_as_it_is() -> None:
    case = case_of([CULPRIT])
    small, left = shrink(case, [1, 2, 3], lambda one, some: one == case and list(some) == [1, 2, 3])
    assert (small, left) == (case, [1, 2, 3])


def test_shrinking_ends_in_time() -> None:
    """Each question takes ten seconds of this clock."""
    now = [0.0]

    def clock() -> float:
        now[0] += 10.0
        return now[0]

    asked = [0]

    def disagrees(one: Case, some: Sequence[int]) -> bool:
        asked[0] += 1
        return True

    shrink(random_case(Random(1), 200), range(1000), disagrees, clock=clock)
    assert asked[0] < 20


def test_every_rule_of_a_case_is_told() -> None:
    for seed in range(20):
        case = random_normal_case(Random(seed), 12)
        text = as_yaml(case)
        policies = [
            policy.rules(direction)
            for (_, direction), groups in case.endpoint.tiers.items()
            for group in groups
            for policy in group.policies
        ]
        profiles = [
            profile.rules(direction)
            for profile in case.endpoint.profiles
            if not isinstance(profile, MissingProfile)
            for direction in Direction
        ]
        assert text.count("action:") == sum(map(len, [*policies, *profiles]))
