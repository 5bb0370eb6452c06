"""A rule that lint calls unreached changes no verdict when it is gone, whatever the sets hold."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from first_verdicts import first_verdict
from strategies import Case, Sets, random_case, random_normal_case, random_packet
from tortie.apps.linting.reaching import Asked, unreached
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction, Fragment
from tortie.model.policy import Policy, Stage, TierAction
from tortie.model.verdict import RuleRef


def asked(case: Case, stage: Stage, direction: Direction) -> list[Asked]:
    """The tiers of the stage, as lint asks about them."""
    return [
        Asked(
            tier=group.tier.name,
            rules=[
                (RuleRef(group.tier.name, policy.key, index), rule)
                for policy in group.policies
                for index, rule in enumerate(policy.rules(direction))
            ],
            denies=stage is Stage.NORMAL and group.tier.default_action is TierAction.DENY,
        )
        for group in case.endpoint.stage(stage, direction)
    ]


def without(endpoint: EndpointState, stage: Stage, direction: Direction, gone: set[RuleRef]) -> EndpointState:
    """The endpoint without those rules."""
    groups = tuple(
        TierPolicies(group.tier, tuple(_without(policy, direction, gone) for policy in group.policies))
        for group in endpoint.stage(stage, direction)
    )
    return replace(endpoint, tiers={**endpoint.tiers, (stage, direction): groups})


def _without(policy: Policy, direction: Direction, gone: set[RuleRef]) -> Policy:
    left = tuple(
        rule
        for index, rule in enumerate(policy.rules(direction))
        if RuleRef(policy.tier, policy.key, index) not in gone
    )
    return replace(policy, **{direction.value: left})


def with_other_members(rng: Random, case: Case) -> Mapping[str, IPSet]:
    """The case's sets, each with new members."""
    sources = (source for direction in Direction for rule in case.rules(direction) for source in rule.set_sources())
    pool = Sets(rng, members=12)
    for source in sources:
        pool.source(source)
    return pool.sets


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([Stage.UNTRACKED, Stage.NORMAL]))
def test_a_rule_that_is_unreached_changes_no_verdict(seed: int, stage: Stage) -> None:
    rng = Random(seed)
    case = random_case(rng, 16) if stage is Stage.UNTRACKED else random_normal_case(rng, 16)
    for direction in Direction:
        gone = {one.ref for one in unreached(asked(case, stage, direction))}
        bare = without(case.endpoint, stage, direction, gone)
        for sets in (case.sets, with_other_members(rng, case)):
            held = replace(case, sets=sets)
            for _ in range(40):
                packet = random_packet(rng, held, direction=direction)
                if packet.fragment is not Fragment.LATER:
                    was, left = (
                        first_verdict(packet, direction, endpoint, held.sets, held.failsafes)
                        for endpoint in (case.endpoint, bare)
                    )
                    assert left == was


@pytest.mark.parametrize("stage", [Stage.UNTRACKED, Stage.NORMAL])
def test_unreached_rules_are_found_and_others_are_left(stage: Stage) -> None:
    rng = Random(7)
    rules = found = 0
    for _ in range(60):
        case = random_case(rng, 16) if stage is Stage.UNTRACKED else random_normal_case(rng, 16)
        for direction in Direction:
            tiers = asked(case, stage, direction)
            rules += sum(len(tier.rules) for tier in tiers)
            found += len([*unreached(tiers)])
    assert 0.05 < found / rules < 0.8


@pytest.mark.parametrize("seed", range(60))
def test_what_is_named_is_enough_to_hide_the_rule(seed: int) -> None:
    case = random_normal_case(Random(seed), 12)
    for direction in Direction:
        tiers = asked(case, Stage.NORMAL, direction)
        for one in unreached(tiers):
            kept = {one.ref, *one.by}
            left = [
                Asked(tier.tier, [each for each in tier.rules if each[0] in kept], tier.tier in one.ends)
                for tier in tiers
            ]
            assert one.ref in {each.ref for each in unreached(left)}
