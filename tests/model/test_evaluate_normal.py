"""The rows of semantics.md about the normal class and the way there, one by one, and laws for every policy."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import (
    BLOCKED,
    IN,
    NO_FAILSAFES,
    OUT,
    REDIS_PORT,
    allow,
    deny,
    icmp6,
    key,
    later,
    log,
    outcome,
    skip,
    tcp,
)

from strategies import Case, random_normal_case, random_packet
from tortie.model.address import parse_net
from tortie.model.conntrack import ConnectionTable, Relation
from tortie.model.desired import EndpointState, HostAddresses, MissingProfile, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.evaluate import evaluate, is_essential, is_for_host
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, IPSet
from tortie.model.matches import NetMatch, ProtocolMatch, SetMatch
from tortie.model.packet import ACK, ICMP, RST, SYN, TCP, UDP, Direction, Fragment, Packet, Side
from tortie.model.policy import DEFAULT_ALLOW, Policy, PolicyKey, Profile, Stage, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL
from tortie.model.verdict import Reason, RuleRef, Trace, Verdict, default_deny, missing_profile, tier_end

NEW, ESTABLISHED, RELATED, INVALID = Relation.NEW, Relation.ESTABLISHED, Relation.RELATED, Relation.INVALID
ALLOWED, DENIED = (Verdict.ALLOW, Reason.POLICY), (Verdict.DENY, Reason.POLICY)
TIER_END = (Verdict.DENY, Reason.TIER_END)
DEFAULT_DENY = (Verdict.DENY, Reason.DEFAULT_DENY)
NO_PROFILE = (Verdict.DENY, Reason.NO_PROFILE)
PROFILE_ALLOWED, PROFILE_DENIED = (Verdict.ALLOW, Reason.PROFILE), (Verdict.DENY, Reason.PROFILE)
FORWARDED = (Verdict.ALLOW, Reason.FORWARDED)
FAILSAFE = (Verdict.ALLOW, Reason.FAILSAFE)
INVALID_DENIED = (Verdict.DENY, Reason.INVALID)
UNKNOWN = (Verdict.DENY, Reason.FRAGMENT)

EVERYTHING = Profile(DEFAULT_ALLOW, {}, (allow(),), (allow(),))
SSH_IS_OPEN = Failsafes()


def policy(
    *rules: Rule,
    name: str = "p",
    egress: Iterable[Rule] = (),
    types: Iterable[Direction] = (IN,),
    untracked: bool = False,
) -> Policy:
    return Policy(
        key=key(name),
        tier="t",
        order=None,
        selector=ALL,
        ingress=rules,
        egress=tuple(egress),
        governs=frozenset(types),
        do_not_track=untracked,
        apply_on_forward=untracked,
    )


def tier(name: str, *policies: Policy, ends: TierAction = TierAction.DENY) -> TierPolicies:
    return TierPolicies(Tier(name, 1.0, ends), policies)


def endpoint(
    *tiers: TierPolicies, profiles: tuple[Profile | MissingProfile, ...] = (), untracked: tuple[Policy, ...] = ()
) -> EndpointState:
    """A host endpoint with these tiers in this order; each takes part where its policies govern, as `calc` has it."""
    groups: dict[tuple[Stage, Direction], tuple[TierPolicies, ...]] = {}
    for stage, found in ((Stage.NORMAL, tiers), (Stage.UNTRACKED, (tier("t", *untracked),))):
        for direction in Direction:
            kept = (TierPolicies(g.tier, tuple(p for p in g.policies if direction in p.governs)) for g in found)
            groups[stage, direction] = tuple(group for group in kept if group.policies)
    return EndpointState(interface=Interface(name="eth0", index=2), endpoint="hep", tiers=groups, profiles=profiles)


def judge(
    packet: Packet,
    *tiers: TierPolicies,
    direction: Direction = IN,
    relation: Relation = NEW,
    profiles: tuple[Profile | MissingProfile, ...] = (),
    untracked: tuple[Policy, ...] = (),
    failsafes: Failsafes = NO_FAILSAFES,
    sets: dict[str, IPSet] | None = None,
    is_for_host: bool = True,
    drops_invalid: bool = True,
) -> Trace:
    return evaluate(
        packet,
        direction,
        endpoint(*tiers, profiles=profiles, untracked=untracked),
        sets or {},
        failsafes,
        relation,
        is_for_host=is_for_host,
        drops_invalid=drops_invalid,
    )


class TestDefaultDeny:
    @pytest.mark.parametrize("direction", Direction)
    def test_an_endpoint_without_policy_and_profile_denies_both_ways(self, direction: Direction) -> None:
        trace = judge(tcp(), direction=direction)
        assert outcome(trace) == DEFAULT_DENY
        assert trace.rule == default_deny("hep") == RuleRef("", PolicyKey("HostEndpoint", "", "hep"), -1)
        assert [(step.rule, step.outcome) for step in trace.steps] == [(trace.rule, "deny")]
        assert trace.stage is Stage.NORMAL

    def test_policy_of_one_direction_leaves_the_other_to_profiles_and_else_denied(self) -> None:
        only_in = tier("a", policy(allow()))
        assert outcome(judge(tcp(), only_in)) == ALLOWED
        assert outcome(judge(tcp(), only_in, direction=OUT)) == DEFAULT_DENY
        assert outcome(judge(tcp(), only_in, direction=OUT, profiles=(EVERYTHING,))) == PROFILE_ALLOWED

    def test_the_built_in_profile_opens_an_endpoint_without_policy(self) -> None:
        for direction in Direction:
            assert outcome(judge(tcp(), direction=direction, profiles=(EVERYTHING,))) == PROFILE_ALLOWED


class TestTiers:
    def test_the_first_rule_that_holds_decides_and_is_named(self) -> None:
        first = policy(deny(ProtocolMatch(UDP)), name="a")
        second = policy(log(), allow(*REDIS_PORT), deny(), name="b")
        trace = judge(tcp(), tier("a", first, second), tier("b", policy(deny())))
        assert (outcome(trace), trace.rule) == (ALLOWED, RuleRef("a", key("b"), 1))
        assert [(step.rule.index, step.outcome) for step in trace.steps] == [(0, "log"), (1, "allow")]
        assert trace.is_tracked

    def test_the_end_of_a_tier_denies(self) -> None:
        trace = judge(tcp(), tier("a", policy()), tier("b", policy(allow())), profiles=(EVERYTHING,))
        assert (outcome(trace), trace.rule) == (TIER_END, tier_end("a"))

    def test_a_tier_whose_default_action_is_pass_goes_on_with_the_next(self) -> None:
        passing = tier("a", policy(deny(ProtocolMatch(UDP))), ends=TierAction.PASS)
        assert outcome(judge(tcp(), passing, tier("b", policy(allow())))) == ALLOWED
        assert outcome(judge(tcp(), passing)) == DEFAULT_DENY

    def test_pass_leaves_the_tier_and_skips_its_default_action(self) -> None:
        passed = tier("a", policy(skip(), deny()), policy(deny(), name="q"))
        assert outcome(judge(tcp(), passed, tier("b", policy(allow())))) == ALLOWED
        trace = judge(tcp(), passed, tier("b", policy()))
        assert (outcome(trace), trace.rule) == (TIER_END, tier_end("b"))
        assert [step.outcome for step in trace.steps] == ["pass", "deny"]

    def test_pass_out_of_the_last_tier_goes_on_with_the_profiles(self) -> None:
        trace = judge(tcp(), tier("a", policy(skip())), profiles=(EVERYTHING,))
        assert (outcome(trace), trace.rule) == (
            PROFILE_ALLOWED,
            RuleRef("", PolicyKey("Profile", "", DEFAULT_ALLOW), 0),
        )
        assert [step.outcome for step in trace.steps] == ["pass", "allow"]

    def test_a_tier_takes_part_in_the_directions_that_its_policies_govern(self) -> None:
        tiers = tier("a", policy(types=(OUT,))), tier("b", policy(allow(), egress=(allow(),), types=Direction))
        assert outcome(judge(tcp(), *tiers)) == ALLOWED
        assert outcome(judge(tcp(), *tiers, direction=OUT)) == TIER_END

    def test_a_policy_without_rules_governs_by_its_types(self) -> None:
        assert outcome(judge(tcp(), tier("a", policy(types=(IN,))), profiles=(EVERYTHING,))) == TIER_END

    def test_rules_of_a_direction_that_is_not_governed_are_inert(self) -> None:
        inert = policy(egress=(allow(),), types=(IN,))
        assert outcome(judge(tcp(), tier("a", inert), direction=OUT)) == DEFAULT_DENY

    def test_egress_asks_the_egress_rules(self) -> None:
        both = tier("a", policy(deny(), egress=(allow(),), types=Direction))
        assert outcome(judge(tcp(), both, direction=OUT)) == ALLOWED
        assert outcome(judge(tcp(), both)) == DENIED

    def test_sets_are_asked(self) -> None:
        sets: dict[str, IPSet] = {BLOCKED.set_id: AddressSet([parse_net("10.0.0.1/32", strict=True)])}
        tiers = tier("a", policy(deny(SetMatch(Side.SOURCE, BLOCKED)), allow()))
        assert outcome(judge(tcp(), tiers, sets=sets)) == DENIED
        assert outcome(judge(tcp(source="10.0.0.2"), tiers, sets=sets)) == ALLOWED


def profile(name: str, *rules: Rule) -> Profile:
    return Profile(name, {}, rules)


GONE = MissingProfile("gone")


class TestProfiles:
    """Row "Profiles": in the order listed, Pass ends one, a missing one denies at its place, after the last: deny."""

    @pytest.mark.parametrize(
        ("profiles", "expected", "steps"),
        [
            ((profile("a", allow()), profile("b", deny())), PROFILE_ALLOWED, ["allow"]),
            ((profile("a", deny()), profile("b", allow())), PROFILE_DENIED, ["deny"]),
            ((profile("a", deny(ProtocolMatch(UDP))), profile("b", allow())), PROFILE_ALLOWED, ["allow"]),
            ((profile("a", skip(), deny()), profile("b", allow())), PROFILE_ALLOWED, ["pass", "allow"]),
            ((profile("a", skip(), allow()),), DEFAULT_DENY, ["pass", "deny"]),
            ((profile("a"),), DEFAULT_DENY, ["deny"]),
            ((profile("a", log()), profile("b", log(), allow())), PROFILE_ALLOWED, ["log", "log", "allow"]),
            ((GONE, profile("b", allow())), NO_PROFILE, ["deny"]),
            ((profile("a", allow()), GONE), PROFILE_ALLOWED, ["allow"]),
            ((profile("a", allow(ProtocolMatch(UDP))), GONE, EVERYTHING), NO_PROFILE, ["deny"]),
            ((profile("a", skip()), GONE), NO_PROFILE, ["pass", "deny"]),
        ],
    )
    def test_profiles_are_asked_in_the_order_listed(
        self, profiles: tuple[Profile | MissingProfile, ...], expected: tuple[Verdict, Reason], steps: list[str]
    ) -> None:
        trace = judge(tcp(), profiles=profiles)
        assert outcome(trace) == expected
        assert [step.outcome for step in trace.steps] == steps

    def test_what_decided_is_named(self) -> None:
        assert judge(tcp(), profiles=(GONE,)).rule == missing_profile("gone")
        found = judge(tcp(), profiles=(profile("a", log(), allow()),)).rule
        assert found == RuleRef("", PolicyKey("Profile", "", "a"), 1)

    def test_they_have_rules_for_each_direction(self) -> None:
        one = Profile("a", {}, (allow(),), (deny(),))
        assert outcome(judge(tcp(), profiles=(one,))) == PROFILE_ALLOWED
        assert outcome(judge(tcp(), profiles=(one,), direction=OUT)) == PROFILE_DENIED


class TestFailsafes:
    @pytest.mark.parametrize(
        ("packet", "direction", "is_open"),
        [
            (tcp(22), IN, True),
            (tcp(22), OUT, False),
            (tcp(6443), OUT, True),
            (replace(tcp(53), protocol=UDP), OUT, True),
            (replace(tcp(53), protocol=UDP), IN, False),
            (tcp(40000, source_port=6443), IN, False),
            (tcp(40000, source_port=22), OUT, False),
            (replace(tcp(22), fragment=Fragment.FIRST), IN, True),
            (later(), IN, False),
        ],
    )
    def test_a_failsafe_port_is_open_before_policy_and_a_reply_leg_opens_nothing(
        self, packet: Packet, direction: Direction, is_open: bool
    ) -> None:
        block = policy(deny(), egress=(deny(),), types=Direction)
        blocked = replace(block, do_not_track=True)
        trace = judge(packet, tier("a", block), direction=direction, failsafes=SSH_IS_OPEN)
        assert outcome(trace) == (FAILSAFE if is_open else DENIED)
        assert not is_open or (trace.stage, trace.is_tracked) == (Stage.NORMAL, True)
        both = judge(packet, tier("a", block), direction=direction, failsafes=SSH_IS_OPEN, untracked=(blocked,))
        assert both.verdict is trace.verdict

    def test_a_reply_leg_skips_the_untracked_stage_and_the_connection_table_decides(self) -> None:
        reply = tcp(40000, source_port=6443)
        block = policy(deny(), untracked=True)
        seen = [
            outcome(judge(reply, untracked=(block,), relation=relation, failsafes=SSH_IS_OPEN)) for relation in Relation
        ]
        assert seen == [
            DEFAULT_DENY,
            (Verdict.ALLOW, Reason.ESTABLISHED),
            (Verdict.ALLOW, Reason.RELATED),
            INVALID_DENIED,
        ]

    def test_a_failsafe_port_comes_before_invalid(self) -> None:
        assert outcome(judge(tcp(22), relation=INVALID, failsafes=SSH_IS_OPEN)) == FAILSAFE
        assert outcome(judge(tcp(23), relation=INVALID, failsafes=SSH_IS_OPEN)) == INVALID_DENIED

    def test_a_failsafe_port_is_open_for_its_net_alone(self) -> None:
        net = Failsafes((FailsafePort(TCP, 22, parse_net("10.0.0.0/24", strict=True)),), ())
        assert outcome(judge(tcp(22), failsafes=net)) == FAILSAFE
        assert outcome(judge(tcp(22, "10.0.1.1"), failsafes=net)) == DEFAULT_DENY

    def test_forwarded_packets_have_no_failsafes(self) -> None:
        assert outcome(judge(tcp(22), failsafes=SSH_IS_OPEN, is_for_host=False)) == FORWARDED


class TestConnections:
    @pytest.mark.parametrize("relation", [ESTABLISHED, RELATED])
    @pytest.mark.parametrize("direction", Direction)
    def test_established_and_related_packets_are_exempt_from_normal_policy(
        self, relation: Relation, direction: Direction
    ) -> None:
        block = tier("a", policy(deny(), egress=(deny(),), types=Direction))
        trace = judge(tcp(), block, direction=direction, relation=relation, profiles=(GONE,))
        assert (trace.verdict, trace.reason.value, trace.stage) == (Verdict.ALLOW, relation.value, Stage.NORMAL)
        assert trace.is_tracked
        assert trace.rule is None

    def test_the_untracked_stage_still_sees_every_packet(self) -> None:
        for relation in Relation:
            trace = judge(tcp(), untracked=(policy(deny(), untracked=True),), relation=relation)
            assert (outcome(trace), trace.stage) == (DENIED, Stage.UNTRACKED)

    def test_invalid_is_denied_before_policy(self) -> None:
        for tiers in ((), (tier("a", policy(allow())),)):
            trace = judge(tcp(), *tiers, relation=INVALID, profiles=(EVERYTHING,))
            assert (outcome(trace), trace.rule, trace.stage) == (INVALID_DENIED, None, Stage.NORMAL)

    def test_without_the_check_policy_decides_about_invalid_packets_and_they_open_no_flow(self) -> None:
        stray = replace(tcp(), tcp_flags=RST)
        table = ConnectionTable()
        relation = table.relation(stray)
        assert relation is INVALID
        for rule, expected in ((allow(), ALLOWED), (deny(), DENIED)):
            trace = judge(stray, tier("a", policy(rule)), relation=relation, drops_invalid=False)
            assert outcome(trace) == expected
        table.follow(stray, IN, "eth0", 0.0)
        assert len(table) == 0

    def test_a_known_connection_outlives_the_policy_that_allowed_it(self) -> None:
        table, packet = ConnectionTable(), tcp()
        assert judge(packet, tier("a", policy(allow())), relation=table.relation(packet)).verdict is Verdict.ALLOW
        table.follow(packet, IN, "eth0", 0.0)
        trace = judge(packet, tier("a", policy(deny())), relation=table.relation(packet))
        assert outcome(trace) == (Verdict.ALLOW, Reason.ESTABLISHED)


class TestUntracked:
    def test_an_untracked_allow_is_final_and_leaves_no_connection(self) -> None:
        for relation in Relation:
            trace = judge(
                tcp(), tier("a", policy(deny())), untracked=(policy(allow(), untracked=True),), relation=relation
            )
            assert (outcome(trace), trace.stage, trace.is_tracked) == (ALLOWED, Stage.UNTRACKED, False)

    def test_an_untracked_egress_allow_is_final_too(self) -> None:
        untracked = policy(egress=(allow(),), types=(OUT,), untracked=True)
        trace = judge(tcp(), tier("a", policy(egress=(deny(),), types=(OUT,))), direction=OUT, untracked=(untracked,))
        assert (outcome(trace), trace.is_tracked) == (ALLOWED, False)

    def test_what_it_does_not_decide_goes_on_as_tracked_and_its_steps_stay_in_the_trace(self) -> None:
        untracked = policy(log(), skip(), untracked=True)
        trace = judge(tcp(), tier("a", policy(allow())), untracked=(untracked,))
        assert (outcome(trace), trace.is_tracked, trace.stage) == (ALLOWED, True, Stage.NORMAL)
        assert [step.outcome for step in trace.steps] == ["log", "pass", "allow"]

    def test_the_reply_to_an_untracked_request_meets_the_default_deny(self) -> None:
        """An untracked flow leaves no entry: the reply is a new packet to the normal class, or an invalid one."""
        untracked = (policy(allow(*REDIS_PORT), untracked=True),)
        assert not judge(tcp(6379), untracked=untracked).is_tracked
        reply = tcp(40000, source_port=6379)
        for flags, expected in ((SYN | ACK, INVALID_DENIED), (ACK, DEFAULT_DENY)):
            packet = replace(reply, tcp_flags=flags)
            relation = ConnectionTable().relation(packet)
            assert outcome(judge(packet, direction=OUT, untracked=untracked, relation=relation)) == expected


class TestForwarding:
    def test_what_the_host_forwards_meets_no_normal_policy_and_no_profile(self) -> None:
        trace = judge(tcp(), tier("a", policy(deny())), profiles=(GONE,), is_for_host=False)
        assert (outcome(trace), trace.stage, trace.is_tracked) == (FORWARDED, Stage.FORWARD, True)

    def test_it_meets_untracked_policy(self) -> None:
        trace = judge(tcp(), untracked=(policy(deny(), untracked=True),), is_for_host=False)
        assert outcome(trace) == DENIED

    @pytest.mark.parametrize(
        ("destination", "version", "is_local"),
        [
            (0x0A000001, 4, True),
            (0x0A000002, 4, False),
            (0x0A0000FF, 4, True),
            (0x0A0001FF, 4, False),
            (0xFFFFFFFF, 4, True),
            (0xE0000001, 4, True),
            (0xEFFFFFFF, 4, True),
            (0xF0000001, 4, False),
            (0x7F000001, 4, True),
            (0x7FFFFFFF, 4, True),
            (0xFD << 120 | 1, 6, True),
            (0xFD << 120 | 2, 6, False),
            (0xFF02 << 112 | 1, 6, True),
            (1, 6, True),
            (0x0A000001, 6, False),
        ],
    )
    def test_own_broadcast_and_multicast_addresses_are_the_hosts(
        self, destination: int, version: int, is_local: bool
    ) -> None:
        addresses = HostAddresses(frozenset({(4, 0x0A000001), (6, 0xFD << 120 | 1)}), frozenset({0x0A0000FF}))
        packet = Packet(version=version, protocol=47, source=3, destination=destination)
        router = Interface(name="eth0", index=2, forwards=frozenset({4, 6}))
        assert is_for_host(packet, router, addresses) is is_local
        assert is_for_host(packet, replace(router, forwards=frozenset()), addresses)
        assert is_for_host(packet, replace(router, forwards=frozenset({10 - version})), addresses)


class TestEssentialIcmpv6:
    @pytest.mark.parametrize("direction", Direction)
    @pytest.mark.parametrize("relation", Relation)
    def test_it_passes_before_every_class_and_is_tracked(self, relation: Relation, direction: Direction) -> None:
        block = policy(deny(), egress=(deny(),), types=Direction)
        untracked = replace(block, do_not_track=True)
        for kind in (130, 131, 132, 133, 134, 135, 136, 143):
            trace = judge(icmp6(kind), tier("a", block), direction=direction, relation=relation, untracked=(untracked,))
            assert outcome(trace) == (Verdict.ALLOW, Reason.ESSENTIAL_ICMPV6)
            assert trace.is_tracked

    def test_redirects_and_neighbour_messages_from_afar_are_invalid(self) -> None:
        for packet in (icmp6(137), icmp6(135, hop_limit=64)):
            relation = ConnectionTable().relation(packet)
            assert outcome(judge(packet, profiles=(EVERYTHING,), relation=relation)) == INVALID_DENIED


FROM_ZERO = (NetMatch(Side.SOURCE, (parse_net("0.0.0.0/8", strict=True),)),)


class TestFragments:
    """Row "Fragments": a later one follows its first; without it, the only possible verdict, or it is dropped."""

    @pytest.mark.parametrize(
        ("tiers", "profiles", "expected"),
        [
            ((tier("a", policy(allow())),), (), ALLOWED),
            ((tier("a", policy(allow(*REDIS_PORT))),), (), UNKNOWN),
            ((tier("a", policy(deny(*REDIS_PORT))),), (), TIER_END),
            ((tier("a", policy(deny(*REDIS_PORT)), ends=TierAction.PASS),), (), DEFAULT_DENY),
            ((tier("a", policy(deny(*REDIS_PORT)), ends=TierAction.PASS),), (EVERYTHING,), UNKNOWN),
            ((tier("a", policy(allow(*REDIS_PORT)), ends=TierAction.PASS),), (EVERYTHING,), PROFILE_ALLOWED),
            ((tier("a", policy(skip(*REDIS_PORT))),), (), DEFAULT_DENY),
            ((tier("a", policy(skip(*REDIS_PORT))),), (EVERYTHING,), UNKNOWN),
            ((tier("a", policy(skip(*REDIS_PORT), allow())),), (EVERYTHING,), PROFILE_ALLOWED),
            ((tier("a", policy(skip(*REDIS_PORT), allow())),), (GONE,), UNKNOWN),
            ((tier("a", policy(deny(*FROM_ZERO), allow(*REDIS_PORT))),), (), DENIED),
            ((), (profile("a", deny(*REDIS_PORT)), GONE), NO_PROFILE),
            ((), (profile("a", allow(*REDIS_PORT)), GONE), UNKNOWN),
            ((), (), DEFAULT_DENY),
        ],
    )
    def test_a_later_fragment_gets_the_only_possible_verdict_or_is_dropped(
        self,
        tiers: tuple[TierPolicies, ...],
        profiles: tuple[Profile | MissingProfile, ...],
        expected: tuple[Verdict, Reason],
    ) -> None:
        packet = later()
        assert (
            outcome(judge(packet, *tiers, profiles=profiles, relation=ConnectionTable().relation(packet))) == expected
        )

    def test_it_follows_its_first_one_where_that_is_known(self) -> None:
        tiers = tier("a", policy(allow(*REDIS_PORT)))
        for port, expected in ((6379, ALLOWED), (6380, TIER_END)):
            first = replace(tcp(port), fragment=Fragment.FIRST)
            assert outcome(judge(later().completed_by(first), tiers)) == expected
        first = replace(tcp(22), fragment=Fragment.FIRST)
        assert outcome(judge(later().completed_by(first), tiers, failsafes=SSH_IS_OPEN)) == FAILSAFE


def decide(case: Case, packet: Packet, direction: Direction, relation: Relation = NEW, **fields: object) -> Trace:
    """The verdict of the case, with some of the endpoint's fields replaced."""
    state = replace(case.endpoint, **fields)  # type: ignore[arg-type]
    return evaluate(packet, direction, state, case.sets, case.failsafes, relation)


Met = tuple[Case, list[tuple[Packet, Direction]]]


def meet(rng: Random) -> Met:
    case = random_normal_case(rng)
    directions = [rng.choice(tuple(Direction)) for _ in range(12)]
    return case, [(random_packet(rng, case, direction=direction), direction) for direction in directions]


meetings = st.randoms(use_true_random=False).map(meet)
law = settings(max_examples=25)


@law
@given(meetings)
def test_every_packet_is_allowed_or_denied_and_a_whole_one_is_never_in_doubt(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        for relation in Relation:
            trace = decide(case, packet, direction, relation)
            assert trace.verdict in (Verdict.ALLOW, Verdict.DENY)
            assert trace.reason is not Reason.NO_MATCH
            assert trace.reason is not Reason.FRAGMENT or packet.fragment is Fragment.LATER
            if trace.rule is not None:
                assert trace.reason is trace.rule.reason
                assert trace.steps[-1].rule == trace.rule


@law
@given(meetings)
def test_what_belongs_to_a_connection_is_allowed_unless_untracked_policy_denies_it(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        for relation in (ESTABLISHED, RELATED):
            trace = decide(case, packet, direction, relation)
            assert trace.verdict is Verdict.ALLOW or trace.stage is Stage.UNTRACKED


@law
@given(meetings)
def test_invalid_is_denied_but_for_untracked_policy_failsafes_and_essential_icmpv6(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        trace = decide(case, packet, direction, INVALID)
        is_exempt = is_essential(packet) or trace.stage is Stage.UNTRACKED or case.failsafes.opens(packet, direction)
        assert is_exempt or outcome(trace) == INVALID_DENIED
        unchecked = evaluate(packet, direction, case.endpoint, case.sets, case.failsafes, INVALID, drops_invalid=False)
        assert unchecked == decide(case, packet, direction, NEW)


@law
@given(meetings)
def test_an_allowing_profile_at_the_end_opens_what_the_default_deny_closed_and_nothing_else(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        before = decide(case, packet, direction)
        after = decide(case, packet, direction, profiles=(*case.endpoint.profiles, EVERYTHING))
        if before.reason is Reason.DEFAULT_DENY and packet.fragment is not Fragment.LATER:
            assert outcome(after) == PROFILE_ALLOWED
        elif packet.fragment is not Fragment.LATER:
            assert after == before


@law
@given(meetings)
def test_what_stands_behind_a_missing_profile_is_never_reached(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        short = decide(case, packet, direction, profiles=(GONE,))
        assert decide(case, packet, direction, profiles=(GONE, *case.endpoint.profiles)) == short


@law
@given(meetings)
def test_a_tier_in_front_that_passes_everything_changes_no_verdict(met: Met) -> None:
    case, packets = met
    for front in (
        tier("front", policy(skip(), types=Direction, egress=(skip(),))),
        tier("front", policy(types=Direction), ends=TierAction.PASS),
    ):
        for packet, direction in packets:
            place = (Stage.NORMAL, direction)
            tiers = {**case.endpoint.tiers, place: (front, *case.endpoint.stage(*place))}
            after = decide(case, packet, direction, tiers=tiers)
            assert (outcome(after), after.rule) == (
                outcome(decide(case, packet, direction)),
                decide(case, packet, direction).rule,
            )


@law
@given(meetings)
def test_a_tier_that_denies_at_its_end_is_one_that_passes_behind_a_deny(met: Met) -> None:
    case, packets = met
    last = policy(deny(), egress=(deny(),), types=Direction, name="z")
    for packet, direction in packets:
        place = (Stage.NORMAL, direction)
        groups = tuple(
            TierPolicies(replace(group.tier, default_action=TierAction.PASS), (*group.policies, last))
            if group.tier.default_action is TierAction.DENY
            else group
            for group in case.endpoint.stage(*place)
        )
        after = decide(case, packet, direction, tiers={**case.endpoint.tiers, place: groups})
        assert after.verdict is decide(case, packet, direction).verdict


@law
@given(meetings)
def test_log_rules_and_the_cut_of_a_policy_in_two_change_no_verdict(met: Met) -> None:
    case, packets = met
    for packet, direction in packets:
        place = (Stage.NORMAL, direction)
        cut = tuple(
            TierPolicies(group.tier, tuple(half for one in group.policies for half in halves(one, direction)))
            for group in case.endpoint.stage(*place)
        )
        after = decide(case, packet, direction, tiers={**case.endpoint.tiers, place: cut})
        assert outcome(after) == outcome(decide(case, packet, direction))


def halves(one: Policy, direction: Direction) -> tuple[Policy, Policy]:
    """The policy without its Log rules, cut in the middle."""
    rules = tuple(rule for rule in one.rules(direction) if rule.action is not Action.LOG)
    middle, field = len(rules) // 2, direction.value
    return replace(one, **{field: rules[:middle]}), replace(one, **{field: rules[middle:]})  # type: ignore[arg-type]


@law
@given(meetings)
def test_no_normal_policy_matters_to_what_is_forwarded(met: Met) -> None:
    case, packets = met
    others = {place: tiers for place, tiers in case.endpoint.tiers.items() if place[0] is not Stage.NORMAL}
    without = replace(case.endpoint, tiers=others, profiles=())
    for packet, direction in packets:
        found, alone = (
            evaluate(packet, direction, endpoint, case.sets, case.failsafes, NEW, is_for_host=False)
            for endpoint in (case.endpoint, without)
        )
        assert found == alone and found.stage is not Stage.NORMAL


def test_forward_policy_decides_about_what_is_forwarded_and_its_tier_denies_at_its_end() -> None:
    tiers = {(Stage.FORWARD, IN): (tier("a", policy(allow(*REDIS_PORT))),)}
    passing = EndpointState(interface=Interface(name="eth0", index=2), endpoint="hep", tiers=tiers)

    def forwarded(packet: Packet, direction: Direction, relation: Relation = NEW) -> Trace:
        return evaluate(packet, direction, passing, {}, SSH_IS_OPEN, relation, is_for_host=False)

    for packet, direction, expected in ((tcp(), IN, ALLOWED), (tcp(22), IN, TIER_END), (tcp(22), OUT, FORWARDED)):
        trace = forwarded(packet, direction)
        assert (outcome(trace), trace.stage) == (expected, Stage.FORWARD)
    assert outcome(forwarded(tcp(), OUT, INVALID)) == INVALID_DENIED
    assert outcome(forwarded(tcp(22), IN, ESTABLISHED))[0] is Verdict.ALLOW


def test_a_later_fragment_without_a_doubt_agrees_with_every_first_one() -> None:
    rng = Random(14)
    compared = 0
    for _ in range(200):
        case = replace(random_normal_case(rng), failsafes=NO_FAILSAFES)
        for _ in range(30):
            packet = random_packet(rng, case, direction=IN)
            packet = replace(
                packet, fragment=Fragment.LATER, source_port=None, destination_port=None, icmp_type=None, icmp_code=None
            )
            trace = decide(case, packet, IN)
            if trace.reason is Reason.FRAGMENT or packet.protocol not in (TCP, UDP, ICMP):
                continue
            compared += 1
            assert {decide(case, first, IN).verdict for first in completions(packet, rng)} == {trace.verdict}
    assert compared > 1500


def completions(packet: Packet, rng: Random) -> list[Packet]:
    """First fragments that the later one may belong to."""
    first = replace(packet, fragment=Fragment.FIRST)
    if packet.protocol == ICMP:
        return [replace(first, icmp_type=rng.randrange(255), icmp_code=rng.randrange(4)) for _ in range(4)]
    return [replace(first, source_port=rng.randrange(65536), destination_port=rng.randrange(65536)) for _ in range(4)]
