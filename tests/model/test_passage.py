"""Laws of a packet's way through a host, for every policy. What the reference says row by row: tests/golden/policy."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from judging import BLOCKED, NO_FAILSAFES, allow, deny, key, log, skip

from hosts import WAYS, random_host
from strategies import Case, random_packet
from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.evaluate import evaluate, is_essential
from tortie.model.host import Host
from tortie.model.ipset import (
    AddressSet,
    IPSet,
    NamedPortSet,
    PortSet,
    SelectorSet,
    ServiceSet,
    SetSource,
)
from tortie.model.matches import Match, PortMatch, SetMatch
from tortie.model.packet import Direction, Packet, Side
from tortie.model.passage import Passage, Way, pass_through
from tortie.model.policy import Policy, Stage, Tier, TierAction
from tortie.model.rule import Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.verdict import Reason, Verdict

IN, OUT = Direction.INGRESS, Direction.EGRESS
NEVER = SetMatch(Side.SOURCE, BLOCKED)
"""The set has no members."""
CHANCE = st.builds(Random, st.integers(0, 2**32))
"""Two hosts with all their policy are too much for Hypothesis to choose every part of; the seed is what it prints."""


def packets(rng: Random, case: Case) -> list[tuple[Packet, Way, Relation]]:
    return [(random_packet(rng, case), way, rng.choice(tuple(Relation))) for way in WAYS for _ in range(4)]


def result(found: Passage) -> tuple[Verdict, bool, bool]:
    return found.verdict, found.is_tracked, found.is_rejected


def changed(host: Host, change: Callable[[EndpointState], EndpointState]) -> Host:
    return replace(
        host,
        endpoints={name: change(one) for name, one in host.endpoints.items()},
        workloads={name: change(one) for name, one in host.workloads.items()},
        wildcard=change(host.wildcard) if host.wildcard else None,
    )


def with_groups(
    endpoint: EndpointState, change: Callable[[tuple[TierPolicies, ...]], tuple[TierPolicies, ...]]
) -> EndpointState:
    return replace(endpoint, tiers={place: change(groups) for place, groups in endpoint.tiers.items()})


def policy(*rules: Rule) -> Policy:
    return Policy(
        key=key("added"), tier="added", order=None, selector=ALL, ingress=rules, egress=rules, apply_on_forward=True
    )


def first_of_each_stage(*rules: Rule, ends: TierAction) -> Callable[[EndpointState], EndpointState]:
    """A tier before all others wherever there is one."""
    group = TierPolicies(Tier("added", -1.0, ends), (policy(*rules),))
    return lambda endpoint: with_groups(endpoint, lambda groups: (group, *groups) if groups else groups)


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_what_concerns_the_host_alone_is_as_drivers_are_asked(rng: Random) -> None:
    host, case = random_host(rng)
    for packet, way, relation in packets(rng, case):
        if way not in (Way("eth0", None), Way(None, "eth0")):
            continue
        found = pass_through(packet, way, host, relation)
        asked = evaluate(
            packet,
            IN if way.arrives else OUT,
            host.endpoints["eth0"],
            host.sets,
            host.failsafes,
            relation,
            drops_invalid=host.tracking.drops_invalid,
        )
        assert (found.verdict, found.reason) == (asked.verdict, asked.reason)
        if found.verdict is Verdict.ALLOW:
            assert found.is_tracked == asked.is_tracked


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_telling_everything_changes_no_verdict_and_loses_no_step(rng: Random) -> None:
    host, case = random_host(rng)
    for packet, way, relation in packets(rng, case):
        short, long = (pass_through(packet, way, host, relation, tells_all=tells_all) for tells_all in (False, True))
        assert result(short) == result(long)
        for one, other in zip(short.visits, long.visits, strict=True):
            kept = [step for step in other.trace.steps if step.outcome not in ("no match", "continue")]
            assert kept == list(one.trace.steps)


def with_policies(host: Host, change: Callable[[Policy], Policy]) -> Host:
    """The host with every policy of every class changed."""

    def of_groups(groups: tuple[TierPolicies, ...]) -> tuple[TierPolicies, ...]:
        return tuple(replace(group, policies=tuple(map(change, group.policies))) for group in groups)

    return changed(host, lambda endpoint: with_groups(endpoint, of_groups))


def with_rule_somewhere(rng: Random, host: Host, rule: Rule) -> Host:
    """The host with that rule in every policy, anywhere in both of its lists."""

    def add(one: Policy) -> Policy:
        where = rng.randrange(len(one.ingress) + 1), rng.randrange(len(one.egress) + 1)
        sides = [(*rules[:at], rule, *rules[at:]) for rules, at in zip((one.ingress, one.egress), where, strict=True)]
        return replace(one, ingress=sides[0], egress=sides[1])

    return with_policies(host, add)


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from([allow(NEVER), deny(NEVER), skip(NEVER), log(NEVER), log()]))
def test_a_rule_that_never_matches_or_only_logs_changes_no_verdict(rng: Random, rule: Rule) -> None:
    host, case = random_host(rng)
    other = with_rule_somewhere(rng, host, rule)
    for packet, way, relation in packets(rng, case):
        assert result(pass_through(packet, way, host, relation)) == result(pass_through(packet, way, other, relation))


NOWHERE = parse_selector("nothing == 'has this'")
EMPTY: dict[SetSource, IPSet] = {
    SelectorSet(NOWHERE): AddressSet(()),
    ServiceSet("nobody", "knows", False): AddressSet(()),
    ServiceSet("nobody", "knows", True): PortSet(()),
    NamedPortSet(NOWHERE, None, "http"): PortSet(()),
}


def of_set(rng: Random, source: SetSource, *, negated: bool) -> Match:
    side = rng.choice(tuple(Side))
    if isinstance(source, NamedPortSet):
        return PortMatch(side, (), (source,), negated)
    return SetMatch(side, source, negated)


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(tuple(EMPTY)), st.booleans())
def test_an_empty_set_matches_nothing_and_its_negation_is_as_an_absent_field(
    rng: Random, source: SetSource, is_known: bool
) -> None:
    """In every class, for sets of every kind, whether somebody made the set or nobody did; and so for fragments."""
    host, case = random_host(rng)
    known = replace(host, sets={**host.sets, source.set_id: EMPTY[source]} if is_known else host.sets)
    act = rng.choice((allow, deny, skip))
    dead = with_rule_somewhere(rng, known, act(of_set(rng, source, negated=False)))

    def widen(rule: Rule) -> Rule:
        return replace(rule, matches=(*rule.matches, of_set(rng, source, negated=True)))

    def widened(one: Policy) -> Policy:
        return replace(one, ingress=tuple(map(widen, one.ingress)), egress=tuple(map(widen, one.egress)))

    wide = with_policies(known, widened)
    for packet, way, relation in packets(rng, case):
        wanted = pass_through(packet, way, host, relation)
        assert result(pass_through(packet, way, dead, relation)) == result(wanted)
        found = pass_through(packet, way, wide, relation)
        assert (result(found), found.reason) == (result(wanted), wanted.reason)


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(TierAction))
def test_a_tier_that_passes_everything_is_as_if_it_were_not_there(rng: Random, ends: TierAction) -> None:
    host, case = random_host(rng)
    other = changed(host, first_of_each_stage(skip(), deny(), ends=ends))
    silent = changed(host, first_of_each_stage(deny(NEVER), ends=TierAction.PASS))
    for packet, way, relation in packets(rng, case):
        wanted = result(pass_through(packet, way, host, relation))
        assert result(pass_through(packet, way, other, relation)) == wanted
        assert result(pass_through(packet, way, silent, relation)) == wanted


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_the_end_of_a_tier_that_denies_is_a_last_rule_that_denies(rng: Random) -> None:
    host, case = random_host(rng)

    def spell_out(endpoint: EndpointState) -> EndpointState:
        return replace(
            endpoint,
            tiers={
                (stage, direction): tuple(map(_spelled_out, groups))
                if stage in (Stage.NORMAL, Stage.FORWARD)
                else groups
                for (stage, direction), groups in endpoint.tiers.items()
            },
        )

    other = changed(host, spell_out)
    for packet, way, relation in packets(rng, case):
        assert result(pass_through(packet, way, host, relation)) == result(pass_through(packet, way, other, relation))


def _spelled_out(group: TierPolicies) -> TierPolicies:
    if group.tier.default_action is TierAction.PASS:
        return group
    last = group.policies[-1]
    ends = replace(last, ingress=(*last.ingress, deny()), egress=(*last.egress, deny()))
    tier = replace(group.tier, default_action=TierAction.PASS)
    return TierPolicies(tier, (*group.policies[:-1], ends))


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_tiers_come_in_order_so_that_the_first_that_denies_everything_is_final(rng: Random) -> None:
    host, case = random_host(rng)
    shut = changed(replace(host, failsafes=NO_FAILSAFES), first_of_each_stage(deny(), ends=TierAction.PASS))
    for packet, way, _ in packets(rng, case):
        found = pass_through(packet, way, shut, Relation.NEW)
        met = [visit for visit in found.visits if visit.endpoint is not None and not is_essential(packet)]
        stages = [visit.endpoint.stage(visit.trace.stage, visit.direction) for visit in met if visit.endpoint]
        if any(stages):
            assert found.verdict is Verdict.DENY
            assert found.decided is not None and found.decided.trace.stage is met[-1].trace.stage


@settings(max_examples=100, deadline=None)
@given(CHANCE, st.sampled_from(Relation))
def test_failsafe_ports_are_open_whatever_policy_says_both_ways(rng: Random, relation: Relation) -> None:
    host, case = random_host(rng)
    shut = changed(host, first_of_each_stage(deny(), ends=TierAction.DENY))
    for way, direction in ((WAYS[0], IN), (WAYS[1], OUT)):
        for _ in range(10):
            packet = random_packet(rng, case)
            if host.failsafes.opens(packet, direction):
                found = pass_through(packet, way, shut, relation)
                assert (found.verdict, found.is_tracked) == (Verdict.ALLOW, True)


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_known_connections_meet_untracked_policy_only(rng: Random) -> None:
    host, case = random_host(rng)
    plain = changed(
        host, lambda one: replace(one, tiers={k: v for k, v in one.tiers.items() if k[0] is not Stage.UNTRACKED})
    )
    for packet, way, _ in packets(rng, case):
        for relation in (Relation.ESTABLISHED, Relation.RELATED):
            found = pass_through(packet, way, plain, relation)
            assert (found.verdict, found.is_tracked) == (Verdict.ALLOW, True)


@settings(max_examples=100, deadline=None)
@given(CHANCE)
def test_only_the_forward_and_normal_classes_answer(rng: Random) -> None:
    host, case = random_host(rng)
    for packet, way, relation in packets(rng, case):
        found = pass_through(packet, way, host, relation)
        stage = found.visits[-1].trace.stage if found.visits else None
        is_late = stage in (Stage.FORWARD, Stage.NORMAL) and found.reason is not Reason.TO_HOST
        assert found.is_rejected == (host.rejects and found.verdict is Verdict.DENY and is_late)
