"""The engine's answers, one behaviour at a time. Order and history: tests/properties/test_calc.py."""

from collections.abc import Iterable

import pytest

from tortie.calc import Engine
from tortie.calc.settings import KERNEL_TIMEOUTS, TIMEOUTS
from tortie.model.address import Net, parse_net
from tortie.model.conntrack import Timeouts, TrackingSettings
from tortie.model.dataplane import DataplaneWish
from tortie.model.desired import Delta, EndpointState, HostAddresses, MissingProfile, PolicyStatus, SetChange
from tortie.model.endpoint import HostEndpoint, Interface, NamedPort, NetworkSet, ServiceSlice
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, NamedPortSet, PortMember, PortSet, SelectorSet, ServiceSet, SetSource
from tortie.model.matches import PortMatch, SetMatch
from tortie.model.nets import Nets
from tortie.model.packet import TCP, UDP, Direction, Side
from tortie.model.policy import DEFAULT_ALLOW, Policy, PolicyKey, Profile, Stage, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, Selector, parse_selector
from tortie.model.settings import FelixSettings
from tortie.model.tables import TablesUse

IN, OUT = Direction.INGRESS, Direction.EGRESS
UNTRACKED_IN = (Stage.UNTRACKED, IN)
HOST = parse_selector("has(hep)")


def net(text: str) -> Net:
    return parse_net(text, strict=True)


def key(name: str) -> PolicyKey:
    return PolicyKey("GlobalNetworkPolicy", "", name)


def policy(
    name: str = "p",
    *sources: SetSource,
    selector: Selector = HOST,
    tier: str = "default",
    order: float | None = None,
    governs: Iterable[Direction] = (IN,),
    do_not_track: bool = True,
    apply_on_forward: bool = True,
    pre_dnat: bool = False,
    needed_everywhere: bool = False,
) -> Policy:
    rules = tuple(
        Rule(
            Action.DENY,
            (
                PortMatch(Side.DESTINATION, (), (source,))
                if isinstance(source, NamedPortSet)
                else SetMatch(Side.SOURCE, source),
            ),
        )
        for source in sources
    )
    return Policy(
        key=key(name),
        tier=tier,
        order=order,
        selector=selector,
        ingress=rules,
        governs=frozenset(governs),
        do_not_track=do_not_track,
        pre_dnat=pre_dnat,
        apply_on_forward=apply_on_forward,
        needed_everywhere=needed_everywhere,
    )


def endpoint(name: str = "hep", interface: str | None = "eth0", *, node: str = "me", **fields: object) -> HostEndpoint:
    values: dict[str, object] = {"labels": {"hep": "yes"}} | fields
    return HostEndpoint(name=name, node=node, interface_name=interface, **values)  # type: ignore[arg-type]


def interface(name: str = "eth0", *addresses: str, **fields: object) -> Interface:
    return Interface(name=name, index=2, addresses=frozenset(net(a) for a in addresses), **fields)  # type: ignore[arg-type]


def network_set(name: str, *nets: str, namespace: str = "", **labels: str) -> NetworkSet:
    return NetworkSet(name=name, namespace=namespace, labels=labels, nets=Nets(net(n) for n in nets))


def labelled(text: str) -> SelectorSet:
    return SelectorSet(parse_selector(text))


BLOCKED = labelled("has(blocked)")


def engine(*values: Policy | HostEndpoint | NetworkSet | Interface | Tier | Profile | FelixSettings) -> Engine:
    """An engine in sync that knows these."""
    one = Engine("me")
    give(one, *values)
    one.in_sync()
    return one


def give(one: Engine, *values: Policy | HostEndpoint | NetworkSet | Interface | Tier | Profile | FelixSettings) -> None:
    for value in values:
        match value:
            case Policy():
                one.set_policy(value.key, value)
            case HostEndpoint():
                one.set_host_endpoint(value.name, value)
            case NetworkSet():
                one.set_network_set((value.namespace, value.name), value)
            case Interface():
                one.set_interface(value.name, value)
            case Tier():
                one.set_tier(value.name, value)
            case Profile():
                one.set_profile(value.name, value)
            case FelixSettings():
                one.set_settings(value.name, value)


def names(
    state: EndpointState, stage: Stage = Stage.UNTRACKED, direction: Direction = IN
) -> list[tuple[str, list[str]]]:
    return [(g.tier.name, [p.key.name for p in g.policies]) for g in state.stage(stage, direction)]


def state(one: Engine, name: str = "eth0") -> EndpointState:
    one.flush()
    return one.desired().endpoints[name]


def members(one: Engine, source: SetSource) -> frozenset[Net] | frozenset[PortMember]:
    one.flush()
    return one.desired().sets[source.set_id].members


class TestFlush:
    def test_nothing_is_said_before_the_first_complete_view(self) -> None:
        one = Engine("me")
        give(one, endpoint(), interface(), policy())
        assert not one.flush()
        assert not one.desired().endpoints
        one.in_sync()
        assert one.flush().endpoints.keys() == {"eth0"}

    def test_the_first_delta_carries_failsafes_tracking_and_addresses_even_without_anything_else(self) -> None:
        one = engine()
        first = Delta(
            failsafes=Failsafes(),
            tracking=TrackingSettings(),
            addresses=HostAddresses(),
            dataplane=DataplaneWish(),
            tables=TablesUse(),
        )
        assert one.flush() == first
        assert not one.flush()

    def test_equal_values_make_no_delta(self) -> None:
        values = (endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", blocked=""), Tier("t"))
        one = engine(*values)
        one.flush()
        copies = (endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", blocked=""), Tier("t"))
        give(one, *copies)
        assert not one.flush()

    def test_a_detour_makes_no_delta(self) -> None:
        one = engine(endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", blocked=""))
        one.flush()
        one.set_policy(key("p"), None)
        one.set_network_set(("", "s"), None)
        one.set_host_endpoint("hep", None)
        one.set_interface("eth0", None)
        one.set_tier("default", Tier("default", 5.0))
        one.set_policy(key("p"), policy("p"))
        one.set_tier("default", None)
        give(one, endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", blocked=""))
        assert not one.flush()

    def test_a_changed_policy_leaves_other_policies_the_same_objects(self) -> None:
        one = engine(endpoint(), interface(), policy("a", BLOCKED), policy("b"))
        kept = state(one).stage(*UNTRACKED_IN)[0].policies[0]
        give(one, policy("a", BLOCKED), policy("b", BLOCKED))
        delta = one.flush()
        changed = delta.endpoints["eth0"]
        assert changed is not None
        assert changed.stage(*UNTRACKED_IN)[0].policies[0] is kept
        assert not delta.sets

    def test_a_stage_that_did_not_change_stays_the_same_object(self) -> None:
        normal = policy("n", do_not_track=False, governs=(OUT,))
        one = engine(endpoint(), interface(), normal, policy("u"))
        before = state(one).stage(Stage.NORMAL, OUT)
        give(one, policy("u", BLOCKED))
        assert state(one).stage(Stage.NORMAL, OUT) is before

    def test_a_policy_for_others_changes_nothing_here(self) -> None:
        one = engine(endpoint(), interface(), policy("p"))
        one.flush()
        give(one, policy("q", BLOCKED, selector=parse_selector("has(other)")), endpoint("far", node="other"))
        assert not one.flush()

    def test_what_is_gone_is_said_to_be_gone(self) -> None:
        one = engine(endpoint(), interface(), policy("p", BLOCKED))
        one.flush()
        one.set_host_endpoint("hep", None)
        assert one.flush() == Delta(endpoints={"eth0": None}, sets={BLOCKED.set_id: None})
        assert not one.desired().endpoints
        assert not one.desired().sets


class TestOrder:
    def test_tiers_come_by_order_then_name_and_missing_ones_last(self) -> None:
        tiers = (Tier("late", 3.0), Tier("b", 2.0), Tier("a", 2.0), Tier("max", 1e300))
        policies = [policy(t, tier=t) for t in ("gone-b", "late", "max", "b", "default", "a", "gone-a")]
        found = [tier for tier, _ in names(state(engine(endpoint(), interface(), *tiers, *policies)))]
        assert found == ["a", "b", "late", "default", "max", "gone-a", "gone-b"]

    def test_a_vanished_tier_denies_by_default_and_its_policies_have_a_status(self) -> None:
        one = engine(endpoint(), interface(), Tier("t", 1.0, TierAction.PASS), policy("p", tier="t"))
        assert one.policy_statuses() == ()
        one.set_tier("t", None)
        assert state(one).stage(*UNTRACKED_IN)[0].tier.default_action is TierAction.DENY
        (status,) = one.policy_statuses()
        assert status.policy == key("p")
        assert "tier t does not exist" in status.problem

    def test_built_in_tiers_need_no_document(self) -> None:
        policies = [policy(t, tier=t) for t in ("kube-baseline", "default", "kube-admin")]
        one = engine(endpoint(), interface(), *policies)
        assert [tier for tier, _ in names(state(one))] == ["kube-admin", "default", "kube-baseline"]
        assert one.policy_statuses() == ()

    def test_policies_come_by_order_then_text_with_missing_order_last(self) -> None:
        orders = {"z": -1.5, "b": 2.0, "a": 2.0, "a-b": 2.0, "a.b": 2.0, "n": None, "m": None, "huge": 1e308}
        policies = [policy(name, order=order) for name, order in orders.items()]
        found = names(state(engine(endpoint(), interface(), *policies)))
        assert found == [("default", ["z", "a-b", "a.b", "a", "b", "huge", "m", "n"])]

    def test_a_new_tier_order_moves_its_policies(self) -> None:
        one = engine(endpoint(), interface(), Tier("t", 1.0), policy("p", tier="t"), policy("q"))
        assert [tier for tier, _ in names(state(one))] == ["t", "default"]
        one.set_tier("t", Tier("t", 2_000_000.0))
        assert [tier for tier, _ in names(state(one))] == ["default", "t"]

    def test_every_class_gets_its_stages_and_only_governed_directions(self) -> None:
        one = engine(
            endpoint(),
            interface(),
            policy("untracked", governs=Direction),
            policy("both", do_not_track=False, governs=(OUT,)),
            policy("normal", do_not_track=False, apply_on_forward=False),
            policy("pre", do_not_track=False, pre_dnat=True),
        )
        found = {place: [p.key.name for g in groups for p in g.policies] for place, groups in state(one).tiers.items()}
        assert found == {
            (Stage.UNTRACKED, IN): ["untracked"],
            (Stage.UNTRACKED, OUT): ["untracked"],
            (Stage.PRE_DNAT, IN): ["pre"],
            (Stage.FORWARD, OUT): ["both"],
            (Stage.NORMAL, IN): ["normal"],
            (Stage.NORMAL, OUT): ["both"],
        }


class TestSets:
    def test_endpoints_of_every_node_and_network_sets_contribute(self) -> None:
        far = endpoint(
            "far", node="other", labels={"blocked": ""}, expected_ips=(net("10.9.9.9/32"), net("fd00::9/128"))
        )
        sets = network_set("s", "10.0.0.0/8", blocked=""), network_set("t", "11.0.0.0/8")
        one = engine(endpoint(), interface(), policy("p", BLOCKED), far, *sets)
        assert members(one, BLOCKED) == {net("10.9.9.9/32"), net("fd00::9/128"), net("10.0.0.0/8")}

    def test_a_selector_that_matches_nothing_is_an_empty_set(self) -> None:
        one = engine(endpoint(), interface(), policy("p", BLOCKED))
        assert one.flush().sets == {BLOCKED.set_id: SetChange(frozenset(), frozenset(), is_new=True)}
        assert one.desired().sets == {BLOCKED.set_id: AddressSet(())}

    def test_a_member_stays_until_its_last_contributor_leaves(self) -> None:
        sets = [network_set(name, "10.0.0.0/8", f"10.0.{index}.0/24", blocked="") for index, name in enumerate("abc")]
        one = engine(endpoint(), interface(), policy("p", BLOCKED), *sets)
        one.flush()
        for name, gone in (("a", {net("10.0.0.0/24")}), ("c", {net("10.0.2.0/24")})):
            one.set_network_set(("", name), None)
            assert one.flush().sets == {BLOCKED.set_id: SetChange(frozenset(), frozenset(gone))}
        one.set_network_set(("", "b"), None)
        assert one.flush().sets == {
            BLOCKED.set_id: SetChange(frozenset(), frozenset({net("10.0.0.0/8"), net("10.0.1.0/24")}))
        }

    def test_a_changed_network_set_changes_only_its_difference(self) -> None:
        one = engine(
            endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", "11.0.0.0/8", blocked="")
        )
        one.flush()
        give(one, network_set("s", "10.0.0.0/8", "12.0.0.0/8", blocked=""))
        expected = SetChange(frozenset({net("12.0.0.0/8")}), frozenset({net("11.0.0.0/8")}))
        assert one.flush() == Delta(sets={BLOCKED.set_id: expected})

    def test_labels_and_members_may_change_at_once(self) -> None:
        other = labelled("has(other)")
        one = engine(endpoint(), interface(), policy("p", BLOCKED, other), network_set("s", "10.0.0.0/8", blocked=""))
        one.flush()
        give(one, network_set("s", "11.0.0.0/8", other=""))
        one.flush()
        assert one.desired().sets == {BLOCKED.set_id: AddressSet(()), other.set_id: AddressSet([net("11.0.0.0/8")])}

    def test_policies_share_equal_sets_and_the_last_one_takes_it_along(self) -> None:
        one = engine(endpoint(), interface(), policy("p", BLOCKED, labelled("has( blocked)")), policy("q", BLOCKED))
        assert one.flush().sets.keys() == {BLOCKED.set_id}
        one.set_policy(key("p"), None)
        assert not one.flush().sets
        one.set_policy(key("q"), None)
        assert one.flush().sets == {BLOCKED.set_id: None}

    def test_a_set_that_goes_and_comes_back_between_flushes_is_a_difference(self) -> None:
        one = engine(
            endpoint(), interface(), policy("p", BLOCKED), network_set("s", "10.0.0.0/8", "11.0.0.0/8", blocked="")
        )
        one.flush()
        one.set_policy(key("p"), None)
        give(one, network_set("s", "10.0.0.0/8", "12.0.0.0/8", blocked=""), policy("q", BLOCKED))
        expected = SetChange(frozenset({net("12.0.0.0/8")}), frozenset({net("11.0.0.0/8")}))
        assert one.flush().sets == {BLOCKED.set_id: expected}

    def test_a_set_that_came_and_went_between_flushes_is_never_mentioned(self) -> None:
        one = engine(endpoint(), interface())
        one.flush()
        give(one, policy("p", BLOCKED))
        one.set_policy(key("p"), None)
        assert not one.flush()

    def test_named_ports_come_from_endpoints_with_that_name_and_protocol(self) -> None:
        ports = (
            NamedPort("http", TCP, 80),
            NamedPort("http", TCP, 8080),
            NamedPort("http", UDP, 80),
            NamedPort("x", TCP, 1),
        )
        far = endpoint(
            "far", node="other", labels={"web": ""}, ports=ports, expected_ips=(net("10.0.0.1/32"), net("fd00::1/128"))
        )
        tcp, either = NamedPortSet(ALL, TCP, "http"), NamedPortSet(parse_selector("has(web)"), None, "http")
        one = engine(endpoint(), interface(), far, network_set("s", "10.0.0.0/8", web=""), policy("p", tcp, either))
        addresses = ((4, 0x0A000001), (6, (0xFD00 << 112) + 1))
        expected = {PortMember(*address, TCP, port) for address in addresses for port in (80, 8080)}
        assert members(one, tcp) == expected
        assert members(one, either) == expected | {PortMember(*address, UDP, 80) for address in addresses}
        assert isinstance(one.desired().sets[tcp.set_id], PortSet)

    def test_services_have_empty_sets_of_the_right_kind(self) -> None:
        bare, ported = ServiceSet("ns", "web", False), ServiceSet("ns", "web", True)
        one = engine(endpoint(), interface(), policy("p", bare, ported))
        one.flush()
        assert one.desired().sets == {bare.set_id: AddressSet(()), ported.set_id: PortSet(())}

    def test_rules_of_a_direction_that_is_not_governed_need_no_sets(self) -> None:
        assert not engine(endpoint(), interface(), policy("p", BLOCKED, governs=(OUT,))).flush().sets

    def test_a_policy_that_selects_nothing_here_needs_no_sets_unless_it_says_so(self) -> None:
        nowhere = parse_selector("has(nothing)")
        assert not engine(policy("p", BLOCKED, selector=nowhere)).flush().sets
        assert engine(policy("p", BLOCKED, selector=nowhere, needed_everywhere=True)).flush().sets

    def test_a_namespaced_network_set_has_its_namespace_and_the_labels_of_it(self) -> None:
        by_name, by_label = labelled('projectcalico.org/namespace == "n"'), labelled('pcns.team == "a"')
        one = engine(
            endpoint(),
            interface(),
            network_set("s", "10.0.0.0/8", namespace="n"),
            network_set("s", "11.0.0.0/8"),
            Profile("kns.n", {"pcns.team": "a"}),
            policy("p", by_name, by_label),
        )
        assert members(one, by_name) == members(one, by_label) == {net("10.0.0.0/8")}


class TestLabels:
    def test_own_labels_come_before_those_of_profiles_and_the_first_profile_first(self) -> None:
        profiles = Profile("one", {"a": "1", "b": "1"}), Profile("two", {"b": "2", "c": "2"})
        hep = endpoint(labels={"a": "0"}, profiles=("one", "two", "none"))
        selectors = ('a == "0"', 'b == "1"', 'c == "2"', 'a == "1"', 'b == "2"')
        policies = [policy(str(index), selector=parse_selector(text)) for index, text in enumerate(selectors)]
        assert names(state(engine(hep, interface(), *profiles, *policies))) == [("default", ["0", "1", "2"])]

    def test_labels_of_a_profile_come_and_go_with_it(self) -> None:
        one = engine(endpoint(labels={}, profiles=("one",)), interface(), policy("p", BLOCKED))
        assert names(state(one)) == []
        give(one, Profile("one", {"hep": ""}))
        assert names(state(one)) == [("default", ["p"])]
        one.set_profile("one", None)
        assert one.flush().sets == {BLOCKED.set_id: None}
        assert names(state(one)) == []

    @pytest.mark.parametrize(
        ("text", "is_matched"),
        [
            ("all()", True),
            ("!all()", False),
            ("has(hep)", True),
            ('hep == "yes"', True),
            ('hep in {"no", "yes"}', True),
            ('hep == "no"', False),
            ('hep == "yes" && hep == "no"', False),
            ('hep == "yes" && has(os)', True),
            ('os starts with "deb"', True),
            ("!has(os)", False),
            ("!has(other)", True),
            ('other != "x"', True),
            ('hep == "no" || os == "debian"', True),
            ('hep == "no" || hep == "maybe"', False),
        ],
    )
    def test_every_form_of_selector_is_found_by_the_index(self, text: str, is_matched: bool) -> None:
        hep = endpoint(labels={"hep": "yes", "os": "debian"})
        one = engine(hep, interface(), policy("p", selector=parse_selector(text)))
        assert bool(names(state(one))) is is_matched
        other = engine(policy("p", selector=parse_selector(text)), interface(), hep)
        assert other.flush() == engine(hep, interface(), policy("p", selector=parse_selector(text))).flush()


class TestResolution:
    @pytest.mark.parametrize(
        ("endpoints", "governor"),
        [
            ([endpoint("b"), endpoint("a")], "a"),
            ([endpoint("b"), endpoint("a", None, expected_ips=(net("10.0.0.1/32"),))], "a"),
            ([endpoint("a"), endpoint("b", None, expected_ips=(net("10.0.0.1/32"),))], "a"),
            ([endpoint("a", "*"), endpoint("b")], "b"),
            ([endpoint("b", "*"), endpoint("a", "*")], "a"),
            ([endpoint("a", "eth1", expected_ips=(net("10.0.0.1/32"),))], None),
            ([endpoint("a", node="other")], None),
            ([endpoint("a", "*", node="other")], None),
            ([endpoint("a", None, expected_ips=(net("10.0.0.2/32"),))], None),
        ],
    )
    def test_the_smallest_specific_endpoint_governs_an_interface(
        self, endpoints: list[HostEndpoint], governor: str | None
    ) -> None:
        one = engine(*endpoints, interface("eth0", "10.0.0.1/32"))
        one.flush()
        found = one.desired().endpoints.get("eth0")
        assert (found.endpoint if found else None) == governor

    def test_the_loser_takes_over_when_the_winner_goes(self) -> None:
        one = engine(endpoint("a"), endpoint("b"), interface())
        one.flush()
        a, b = one.statuses()
        assert (a.interfaces, a.problem) == (("eth0",), None)
        assert b.interfaces == ()
        assert "eth0 is governed by host endpoint a" in str(b.problem)
        one.set_host_endpoint("a", None)
        delta = one.flush().endpoints["eth0"]
        assert delta is not None
        assert delta.endpoint == "b"
        assert [status.problem for status in one.statuses()] == [None]

    def test_the_wildcard_governs_every_host_interface_that_is_left(self) -> None:
        others = (
            interface("lo", is_loopback=True),
            interface("cali123"),
            interface("kube-ipvs0"),
            interface("eth0"),
            interface("eth1"),
            interface("kube-ipvs01"),
        )
        one = engine(endpoint("all", "*"), endpoint("one", "eth0"), *others)
        one.flush()
        found = {name: (s.endpoint, s.is_wildcard) for name, s in one.desired().endpoints.items()}
        assert found == {"eth0": ("one", False), "eth1": ("all", True), "kube-ipvs01": ("all", True)}

    @pytest.mark.parametrize(
        ("name", "fields", "reason"),
        [
            ("lo", {}, "loopback"),
            ("dummy", {"is_loopback": True}, "loopback"),
            ("cali1", {}, "workload interface"),
            ("kube-ipvs0", {}, "excluded"),
        ],
    )
    def test_some_interfaces_are_never_governed(self, name: str, fields: dict[str, object], reason: str) -> None:
        one = engine(endpoint("a", name), interface(name, **fields))
        one.flush()
        assert not one.desired().endpoints
        (status,) = one.statuses()
        assert reason in str(status.problem)

    @pytest.mark.parametrize(
        ("hep", "problem"),
        [
            (endpoint("a", "eth7"), "no interface eth7"),
            (endpoint("a", None, expected_ips=(net("10.0.0.9/32"),)), "expectedIPs"),
            (endpoint("a", "*"), "left for the wildcard"),
        ],
    )
    def test_an_endpoint_that_resolves_to_nothing_says_why(self, hep: HostEndpoint, problem: str) -> None:
        one = engine(hep, interface("lo", is_loopback=True))
        one.flush()
        (status,) = one.statuses()
        assert status.interfaces == ()
        assert problem in str(status.problem)

    def test_an_endpoint_may_govern_several_interfaces_with_the_same_policies(self) -> None:
        ips = (net("10.0.0.1/32"), net("10.0.1.1/32"))
        hep = endpoint("a", None, expected_ips=ips)
        one = engine(hep, interface("eth0", "10.0.0.1/32"), interface("eth1", "10.0.1.1/32"), policy("p"))
        assert state(one, "eth0").tiers is state(one, "eth1").tiers
        give(one, policy("p", BLOCKED))
        assert one.flush().endpoints.keys() == {"eth0", "eth1"}

    def test_an_interface_that_moves_takes_its_endpoint_along(self) -> None:
        one = engine(
            endpoint("a", None, expected_ips=(net("10.0.0.1/32"),)), interface("eth0", "10.0.0.1/32"), policy()
        )
        one.flush()
        give(one, interface("eth0"), interface("eth1", "10.0.0.1/32"))
        delta = one.flush()
        assert delta.endpoints.keys() == {"eth0", "eth1"}
        assert delta.endpoints["eth0"] is None

    def test_a_changed_interface_is_told(self) -> None:
        one = engine(endpoint(), interface(), policy())
        one.flush()
        give(one, interface("eth0", vlans=frozenset({7})))
        delta = one.flush().endpoints["eth0"]
        assert delta is not None
        assert delta.interface.vlans == {7}


class TestSettings:
    PORT = (FailsafePort(TCP, 1),)

    def test_the_nodes_own_settings_come_before_the_default_ones_field_by_field(self) -> None:
        one = engine(
            FelixSettings(name="node.me", failsafe_inbound=self.PORT),
            FelixSettings(name="default", failsafe_inbound=(), failsafe_outbound=self.PORT),
            FelixSettings(name="node.other", failsafe_inbound=(), failsafe_outbound=()),
        )
        assert one.flush().failsafes == Failsafes(self.PORT, self.PORT)
        one.set_settings("node.me", None)
        assert one.flush().failsafes == Failsafes((), self.PORT)
        one.set_settings("default", None)
        assert one.flush().failsafes == Failsafes()

    def test_settings_that_change_nothing_make_no_delta(self) -> None:
        one = engine()
        one.flush()
        give(
            one,
            FelixSettings(name="default", failsafe_inbound=Failsafes().inbound),
            FelixSettings(name="node.other", failsafe_inbound=()),
        )
        assert not one.flush()

    def test_prefixes_and_excludes_decide_which_interfaces_are_the_hosts(self) -> None:
        interfaces = [interface(name) for name in ("cali1", "tap1", "eth0", "docker0", "br-12")]
        settings = FelixSettings(
            name="default", interface_prefixes=("tap",), interface_exclude=("docker0", "/^br-[0-9]+$/")
        )
        one = engine(endpoint("all", "*"), *interfaces, settings)
        one.flush()
        assert one.desired().endpoints.keys() == {"cali1", "eth0"}
        one.set_settings("default", None)
        assert one.flush().endpoints.keys() == {"cali1", "tap1", "docker0", "br-12"}

    @pytest.mark.parametrize("entry", ["/(a*)*b/", "/(/", "", "/a*a*a*a*a*b/", "/(?=eth0)/", "/" + "e" * 200 + "/"])
    def test_an_exclude_entry_that_cannot_be_used_excludes_nothing(self, entry: str) -> None:
        settings = FelixSettings(name="default", interface_prefixes=("",), interface_exclude=(entry,))
        one = engine(endpoint("all", "*"), interface("eth0"), settings)
        one.flush()
        assert one.desired().endpoints.keys() == {"eth0"}

    def test_what_is_said_of_connections_is_told_like_failsafes(self) -> None:
        one = engine()
        one.flush()
        give(
            one,
            FelixSettings(name="node.me", conntrack_timeouts={"udpTimeout": 7.0}),
            FelixSettings(
                name="default", conntrack_timeouts={"icmpTimeout": 1.0}, conntrack_size=9, drops_invalid=False
            ),
        )
        expected = TrackingSettings(timeouts=Timeouts(udp_s=7.0), size=9, drops_invalid=False)
        assert one.flush() == Delta(tracking=expected)
        assert one.desired().tracking == expected
        one.set_settings("node.me", None)
        assert one.flush().tracking == TrackingSettings(timeouts=Timeouts(icmp_s=1.0), size=9, drops_invalid=False)
        give(one, FelixSettings(name="node.other", conntrack_size=5))
        assert not one.flush()

    @pytest.mark.parametrize("size", [0, -5])
    def test_a_table_size_of_nothing_is_the_built_in_one(self, size: int) -> None:
        one = engine(
            FelixSettings(name="default", conntrack_size=9), FelixSettings(name="node.me", conntrack_size=size)
        )
        assert one.flush().tracking == TrackingSettings()

    def test_every_timeout_can_be_said(self) -> None:
        said = {key: float(index) for index, key in enumerate(TIMEOUTS)}
        tracking = engine(FelixSettings(name="default", conntrack_timeouts=said)).flush().tracking
        assert tracking is not None
        assert {key: getattr(tracking.timeouts, name) for key, (name, _) in TIMEOUTS.items()} == said

    @pytest.mark.parametrize(
        ("said", "kernel", "expected"),
        [
            (None, {}, Timeouts()),
            (None, dict.fromkeys(KERNEL_TIMEOUTS, 77.0), Timeouts(tcp_fins_seen_s=77.0)),
            ({"tcpSynSent": 3.0}, dict.fromkeys(KERNEL_TIMEOUTS, 77.0), Timeouts(tcp_syn_sent_s=3.0)),
            ({"tcpFinsSeen": None}, {}, Timeouts()),
            (dict.fromkeys(TIMEOUTS), {}, Timeouts()),
            (
                dict.fromkeys(TIMEOUTS),
                dict.fromkeys(KERNEL_TIMEOUTS, 77.0),
                Timeouts(
                    tcp_syn_sent_s=77.0, tcp_established_s=77.0, tcp_fins_seen_s=77.0, generic_s=77.0, icmp_s=77.0
                ),
            ),
        ],
    )
    def test_auto_is_what_the_kernel_has_and_built_in_where_nobody_knows(
        self, said: dict[str, float | None] | None, kernel: dict[str, float], expected: Timeouts
    ) -> None:
        one = engine(FelixSettings(name="default", conntrack_timeouts=said))
        one.flush()
        one.set_kernel_timeouts(kernel)
        delta = one.flush()
        assert one.desired().tracking.timeouts == expected
        assert (delta.tracking is None) == (expected == Timeouts() or (said or {}).get("tcpSynSent") == 3.0)
        one.set_kernel_timeouts(dict(kernel))
        assert not one.flush()


class TestAddresses:
    def test_they_are_those_of_every_interface_governed_or_not(self) -> None:
        one = engine(
            endpoint(),
            interface("eth0", "10.0.0.1/32", "fd00::1/128", broadcasts=frozenset({0x0A0000FF})),
            interface("cali1", "10.1.0.1/32"),
            interface("lo", "127.0.0.1/32", is_loopback=True),
        )
        expected = HostAddresses(
            frozenset({(4, 0x0A000001), (6, 0xFD << 120 | 1), (4, 0x0A010001), (4, 0x7F000001)}),
            frozenset({0x0A0000FF}),
        )
        assert one.flush().addresses == expected
        assert one.desired().addresses == expected

    def test_they_are_told_when_they_change_and_only_then(self) -> None:
        one = engine(interface("eth0", "10.0.0.1/32"), interface("eth1", "10.0.0.1/32"))
        one.flush()
        one.set_interface("eth1", None)
        assert not one.flush()
        give(one, interface("eth0", "10.0.0.1/32", is_up=False))
        assert not one.flush()
        give(one, interface("eth0"))
        assert one.flush() == Delta(addresses=HostAddresses())


class TestProfiles:
    ALLOW = (Rule(Action.ALLOW),)

    def test_an_endpoint_has_its_profiles_in_its_own_order_and_says_which_are_missing(self) -> None:
        one = engine(endpoint(profiles=("b", "gone", "a")), interface(), Profile("a"), Profile("b", {}, self.ALLOW))
        assert state(one).profiles == (Profile("b", {}, self.ALLOW), MissingProfile("gone"), Profile("a"))

    def test_the_built_in_profile_allows_everything_and_no_document_changes_it(self) -> None:
        labelled_one = Profile(DEFAULT_ALLOW, {"hep": "x"})
        one = engine(endpoint(profiles=(DEFAULT_ALLOW,), labels={}), interface(), labelled_one, policy("p"))
        assert state(one).profiles == (Profile(DEFAULT_ALLOW, {}, self.ALLOW, self.ALLOW),)
        assert names(state(one)) == []
        one.set_profile(DEFAULT_ALLOW, None)
        assert not one.flush()

    def test_a_changed_profile_marks_the_endpoints_that_list_it_and_no_others(self) -> None:
        one = engine(
            endpoint("a", "eth0", profiles=("x", "y")),
            endpoint("b", "eth1", profiles=("y",)),
            interface("eth0"),
            interface("eth1"),
            Profile("x"),
            Profile("y"),
        )
        kept = state(one).profiles[1]
        give(one, Profile("x", {}, self.ALLOW))
        delta = one.flush()
        assert delta.endpoints.keys() == {"eth0"}
        changed = delta.endpoints["eth0"]
        assert changed is not None
        assert changed.profiles[1] is kept
        assert changed.tiers is one.desired().endpoints["eth0"].tiers
        one.set_profile("y", None)
        assert one.flush().endpoints.keys() == {"eth0", "eth1"}
        assert state(one, "eth1").profiles == (MissingProfile("y"),)

    def test_a_detour_of_a_profile_makes_no_delta_and_keeps_the_object(self) -> None:
        one = engine(endpoint(profiles=("x",)), interface(), Profile("x", {}, self.ALLOW))
        before = state(one).profiles
        give(one, Profile("x"))
        one.set_profile("x", None)
        give(one, Profile("x", {}, self.ALLOW))
        assert not one.flush()
        assert state(one).profiles is before
        give(one, endpoint("z", "eth1", profiles=("x",)), interface("eth1"))
        assert state(one, "eth1").profiles[0] is before[0]

    def test_rules_of_profiles_of_governing_endpoints_hold_their_sets(self) -> None:
        rules = (Rule(Action.DENY, (SetMatch(Side.SOURCE, BLOCKED),)),)
        one = engine(endpoint(profiles=("x",)), Profile("x", {}, rules, rules), Profile("y", {}, rules))
        assert not one.flush().sets
        give(one, interface())
        assert one.flush().sets == {BLOCKED.set_id: SetChange(frozenset(), frozenset(), is_new=True)}
        give(one, policy("p", BLOCKED))
        one.set_profile("x", None)
        assert not one.flush().sets
        one.set_policy(key("p"), None)
        assert one.flush().sets == {BLOCKED.set_id: None}

    def test_two_endpoints_share_a_profile_and_its_sets_until_the_last_one_goes(self) -> None:
        rules = (Rule(Action.DENY, (SetMatch(Side.SOURCE, BLOCKED),)),)
        one = engine(
            endpoint("a", "eth0", profiles=("x",)),
            endpoint("b", "eth1", profiles=("x", "x")),
            interface("eth0"),
            interface("eth1"),
            Profile("x", {}, (), rules),
        )
        one.flush()
        one.set_host_endpoint("b", None)
        assert not one.flush().sets
        give(one, endpoint("a", "eth0"))
        delta = one.flush()
        assert delta.sets == {BLOCKED.set_id: None}
        assert delta.endpoints.keys() == {"eth0"}


class TestServices:
    def test_an_active_policy_that_names_a_service_without_endpoints_says_so(self) -> None:
        web = ServiceSet("shop", "web", with_ports=False)
        elsewhere = policy("elsewhere", web, selector=parse_selector("has(other)"))
        one = engine(endpoint(), interface(), policy("named", web), elsewhere)
        one.flush()
        said = "no endpoint of service shop/web is known, so rules with it match nothing"
        assert one.policy_statuses() == (PolicyStatus(key("named"), said),)
        part = ServiceSlice(namespace="shop", service="web", nets=frozenset({net("10.0.0.1/32")}), ports=frozenset())
        one.set_service_slice(("shop", "web-1"), part)
        assert len(one.policy_statuses()) == 1
        one.flush()
        assert one.policy_statuses() == ()
