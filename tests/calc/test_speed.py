"""What a change costs must follow the change, not what is there. Bounds are generous: ten times what was measured."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from tortie.calc import Engine
from tortie.model.address import Net
from tortie.model.endpoint import HostEndpoint, Interface, NetworkSet
from tortie.model.ipset import SelectorSet
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.nets import Nets
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey
from tortie.model.rule import Action, Rule
from tortie.model.selector import Selector, parse_selector

HOST = parse_selector('has(hep) && hep == "redis"')
BLOCKED = SetMatch(Side.SOURCE, SelectorSet(parse_selector("has(blocked)")))


def policy(name: str, ports: range, selector: Selector = HOST) -> Policy:
    rules = tuple(
        Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(port, port),)), BLOCKED))
        for port in ports
    )
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier="default",
        order=None,
        selector=selector,
        ingress=rules,
        governs=frozenset({Direction.INGRESS}),
        do_not_track=True,
        apply_on_forward=True,
    )


def host() -> Engine:
    engine = Engine("me")
    engine.set_interface("eth0", Interface(name="eth0", index=2))
    hep = HostEndpoint(name="h", node="me", interface_name="eth0", labels={"hep": "redis"})
    engine.set_host_endpoint("h", hep)
    engine.in_sync()
    return engine


def took_ms(actions: list[Callable[[], object]], engine: Engine) -> float:
    """Median of the actions, each with a flush that has something to say."""
    times = []
    for action in actions:
        start = perf_counter()
        action()
        assert engine.flush()
        times.append(perf_counter() - start)
    return median(times) * 1000


def test_a_small_policy_beside_ten_thousand_rules_takes_under_two_milliseconds() -> None:
    engine = host()
    for number in range(10):
        large = policy(f"large-{number}", range(1, 1001))
        engine.set_policy(large.key, large)
    engine.flush()
    small = [policy("small", range(port, port + 2)) for port in range(1, 20)]
    assert took_ms([lambda p=p: engine.set_policy(p.key, p) for p in small], engine) < 2  # type: ignore[misc]


def test_ten_thousand_policies_for_other_endpoints_cost_a_label_change_nothing() -> None:
    engine = host()
    for number in range(10_000):
        other = policy(f"p{number}", range(0), parse_selector(f'hep == "other-{number}"'))
        engine.set_policy(other.key, other)
    engine.flush()
    heps = [
        HostEndpoint(name="h", node="me", interface_name="eth0", labels={"hep": f"other-{number}"})
        for number in range(9)
    ]
    assert took_ms([lambda h=h: engine.set_host_endpoint("h", h) for h in heps], engine) < 2  # type: ignore[misc]


def test_one_of_ten_thousand_network_sets_changes_in_under_two_milliseconds() -> None:
    engine = host()
    for number in range(10_000):
        one = NetworkSet(name=f"n{number}", namespace="", labels={"blocked": ""}, nets=Nets([Net(4, number << 8, 24)]))
        engine.set_network_set(("", one.name), one)
    user = policy("user", range(1, 2))
    engine.set_policy(user.key, user)
    engine.flush()
    changed = [
        NetworkSet(name="n7", namespace="", labels={"blocked": ""}, nets=Nets([Net(4, 0xFF000000 + number, 32)]))
        for number in range(9)
    ]
    assert took_ms([lambda n=n: engine.set_network_set(("", "n7"), n) for n in changed], engine) < 2  # type: ignore[misc]
