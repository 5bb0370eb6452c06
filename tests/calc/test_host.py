"""The host that the engine makes for the evaluator: workloads, the wildcard on their interfaces, and two settings."""

from collections.abc import Iterator
from itertools import permutations

import pytest

from tortie.calc import Engine
from tortie.model.address import parse_net
from tortie.model.endpoint import HostEndpoint, Interface, WorkloadEndpoint
from tortie.model.host import Host, ToHost
from tortie.model.ipset import AddressSet, SelectorSet
from tortie.model.matches import SetMatch
from tortie.model.packet import Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector
from tortie.model.settings import FelixSettings

NODE = "me"
WEB = SelectorSet(parse_selector("app == 'web'"))


def workload(name: str, *, node: str = NODE, profiles: tuple[str, ...] = ()) -> WorkloadEndpoint:
    net = parse_net(f"10.65.0.{len(name)}", strict=True)
    return WorkloadEndpoint(
        name=name,
        namespace="ns",
        node=node,
        interface_name=f"cali-{name}",
        nets=(net,),
        labels={"app": name},
        profiles=profiles,
    )


def policy(name: str, selector: str, *, forward: bool = False, early: bool = False) -> Policy:
    rule = Rule(Action.ALLOW, (SetMatch(Side.SOURCE, WEB),))
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier="default",
        order=None,
        selector=parse_selector(selector),
        ingress=(rule,),
        governs=frozenset({Direction.INGRESS}),
        apply_on_forward=forward or early,
        pre_dnat=early,
    )


def wildcard(name: str = "everywhere") -> HostEndpoint:
    return HostEndpoint(name=name, node=NODE, interface_name="*", labels={"side": "host"})


INPUTS = (
    ("workload_endpoint", ("ns", "web"), workload("web", profiles=("gives",))),
    ("workload_endpoint", ("ns", "db"), workload("db")),
    ("workload_endpoint", ("ns", "far"), workload("far", node="other")),
    ("host_endpoint", "everywhere", wildcard()),
    ("policy", policy("of-web", "given == 'yes'").key, policy("of-web", "given == 'yes'")),
    (
        "policy",
        policy("of-host", "side == 'host'", forward=True).key,
        policy("of-host", "side == 'host'", forward=True),
    ),
    ("profile", "gives", Profile("gives", {"given": "yes"})),
)


def host_of(inputs: Iterator[object] | tuple[object, ...], *, flushes: bool) -> Host:
    engine = Engine(NODE)
    engine.in_sync()
    for kind, key, value in inputs:  # type: ignore[misc]
        getattr(engine, f"set_{kind}")(key, value)
        if flushes:
            engine.flush()
    engine.flush()
    return engine.host()


def test_workloads_of_this_node_have_their_policy_and_profiles_and_others_only_addresses() -> None:
    host = host_of(INPUTS, flushes=False)
    assert list(host.workloads) == ["cali-web", "cali-db"]
    web, db = host.workloads["cali-web"], host.workloads["cali-db"]
    assert (web.endpoint, web.is_workload, db.endpoint) == ("ns/web", True, "ns/db")
    assert [p.key.name for group in web.stage(Stage.NORMAL, Direction.INGRESS) for p in group.policies] == ["of-web"]
    assert db.tiers == {}
    assert [profile.name for profile in web.profiles] == ["gives"]
    assert host.sets[WEB.set_id] == AddressSet([parse_net("10.65.0.3", strict=True)])


def test_a_workload_has_the_normal_class_only() -> None:
    of_all = policy("of-all", "all()", forward=True)
    host = host_of((*INPUTS, ("policy", of_all.key, of_all)), flushes=False)
    assert {stage for stage, _ in host.workloads["cali-db"].tiers} == {Stage.NORMAL}


def test_the_wildcard_has_its_policy_although_it_governs_no_interface_of_the_host() -> None:
    host = host_of(INPUTS, flushes=False)
    assert host.endpoints == {} and host.wildcard is not None
    assert host.wildcard.stage(Stage.FORWARD, Direction.INGRESS)
    assert host.host_side("cali-web") is host.wildcard
    assert host.host_side("eth0") is None


@pytest.mark.parametrize("is_early", [True, False])
def test_the_wildcards_policy_for_what_is_forwarded_holds_on_interfaces_of_workloads_for_as_long_as_there_is_any(
    is_early: bool,
) -> None:
    early = policy("early", "side == 'host'", early=is_early, forward=True)
    engine = Engine(NODE)
    engine.in_sync()
    for index, name in enumerate(("lo", "eth0", "cali-web", "cali-late"), 1):
        engine.set_interface(name, Interface(name=name, index=index, is_loopback=name == "lo"))
    engine.set_host_endpoint("everywhere", wildcard())
    engine.set_policy(early.key, early)
    engine.flush()
    assert engine.endpoints().keys() == {"eth0"}
    engine.set_workload_endpoint(("ns", "web"), workload("web"))
    assert engine.flush().endpoints.keys() == {"cali-web", "cali-late"}
    beside = engine.endpoints()["cali-web"]
    assert (beside.endpoint, beside.is_beside_workload, beside.profiles) == ("everywhere", True, ())
    assert {stage for stage, _ in beside.tiers} == {Stage.PRE_DNAT if is_early else Stage.FORWARD}
    assert engine.host().endpoints.keys() == {"eth0"}
    assert engine.policy_statuses() == ()
    other = policy("other", "side == 'host'")
    engine.set_policy(other.key, other)
    assert engine.flush().endpoints.keys() == {"eth0"}  # of the normal class: nothing of theirs
    engine.set_interface("cali-late", None)
    engine.set_policy(early.key, None)
    assert engine.flush().endpoints == {"cali-late": None, "cali-web": None, "eth0": engine.endpoints()["eth0"]}


def test_without_workloads_a_wildcard_that_governs_nothing_makes_no_policy_active() -> None:
    host = host_of(INPUTS[3:], flushes=True)
    assert host.wildcard is None and host.sets == {}


@pytest.mark.parametrize("flushes", [True, False])
def test_the_host_depends_on_the_documents_and_not_on_their_order(flushes: bool) -> None:
    wanted = host_of(INPUTS, flushes=False)
    for order in list(permutations(INPUTS))[::97]:
        assert host_of(order, flushes=flushes) == wanted


def test_what_is_taken_away_again_leaves_nothing() -> None:
    gone = [(kind, key, None) for kind, key, _ in INPUTS]
    empty = host_of((), flushes=False)
    assert host_of((*INPUTS, *gone), flushes=True) == empty
    assert host_of((*INPUTS, *reversed(gone)), flushes=True) == empty
    assert host_of((*INPUTS, *gone, *INPUTS), flushes=True) == host_of(INPUTS, flushes=False)


def test_a_workload_that_moves_to_another_node_leaves_its_addresses_behind() -> None:
    moved = ("workload_endpoint", ("ns", "web"), workload("web", node="other"))
    host = host_of((*INPUTS, moved), flushes=True)
    assert list(host.workloads) == ["cali-db"]
    assert host.sets[WEB.set_id] == AddressSet([parse_net("10.65.0.3", strict=True)])


def test_of_two_workloads_on_one_interface_the_smaller_name_holds() -> None:
    twin = WorkloadEndpoint(name="a", namespace="ns", node=NODE, interface_name="cali-web", nets=(), labels={})
    host = host_of((*INPUTS, ("workload_endpoint", ("ns", "a"), twin)), flushes=False)
    assert host.workloads["cali-web"].endpoint == "ns/a"


def test_the_two_settings_come_from_the_strongest_level_that_says_them() -> None:
    default = FelixSettings(name="default", to_host=ToHost.ACCEPT, nftables_rejects=True)
    own = FelixSettings(name=f"node.{NODE}", to_host=ToHost.RETURN, iptables_rejects=False)
    host = host_of((("settings", "default", default), ("settings", own.name, own)), flushes=False)
    assert (host.to_host, host.rejects) == (ToHost.RETURN, True), "either deny action is enough"
    assert (Host().to_host, Host().rejects) == (ToHost.DROP, False)


def test_an_interface_of_the_host_keeps_what_the_kernel_says_of_it() -> None:
    interface = Interface(name="cali-web", index=7)
    host = host_of((*INPUTS, ("interface", "cali-web", interface)), flushes=False)
    assert host.workloads["cali-web"].interface is interface
    assert "cali-web" not in host.endpoints
