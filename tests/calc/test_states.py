"""State lists: named states that extend one another, each with the desired state it must give.

The expanders walk through the list in many ways (backwards, at once, one event at a time, everything twice, from every
state to every other) and expect the same answer in the same state, however it was reached.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from calc_world import NODE, Event, Mirror, Slot, Value, expected, tell
from tortie.calc import Engine
from tortie.model.address import Net, format_address, parse_net
from tortie.model.desired import DesiredState, MissingProfile
from tortie.model.endpoint import HostEndpoint, Interface, NamedPort, NetworkSet, ServiceSlice, WorkloadEndpoint
from tortie.model.ipset import Member, NamedPortSet, SelectorSet, ServiceSet, SetSource
from tortie.model.matches import PortMatch, SetMatch
from tortie.model.nets import Nets
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

BLOCKED = SelectorSet(parse_selector("has(blocked)"))
HTTP = NamedPortSet(ALL, TCP, "http")
WEB, WEB_PORTS = ServiceSet("shop", "web", False), ServiceSet("shop", "web", True)
OF_SHOP = SelectorSet(parse_selector("pcns.team == 'shop'"))
SETS: Mapping[str, SetSource] = {
    "blocked": BLOCKED,
    "http": HTTP,
    "web": WEB,
    "web ports": WEB_PORTS,
    "of shop": OF_SHOP,
}


@dataclass(frozen=True)
class State:
    """A named state: what is there, the policies of each interface, and the members of each set."""

    name: str
    inputs: Mapping[Slot, Value] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    """`endpoint: tier/policy,policy ... | profile missing?`, the profiles only where it lists some."""
    members: Mapping[str, str] = field(default_factory=dict)

    def extended(
        self,
        name: str,
        *values: tuple[Slot, Value],
        without: tuple[Slot, ...] = (),
        policies: Mapping[str, str],
        members: Mapping[str, str] | None = None,
    ) -> "State":
        """This state with more values, or without some."""
        inputs = {slot: value for slot, value in (dict(self.inputs) | dict(values)).items() if slot not in without}
        return State(name, inputs, policies, members or {})


def hep(name: str, interface: str | None = "eth0", **fields: object) -> tuple[Slot, Value]:
    values: dict[str, object] = {"labels": {"hep": ""}, "node": NODE} | fields
    return ("host_endpoint", name), HostEndpoint(name=name, interface_name=interface, **values)  # type: ignore[arg-type]


def link(name: str, *addresses: str) -> tuple[Slot, Value]:
    nets = frozenset(parse_net(address, strict=True) for address in addresses)
    return ("interface", name), Interface(name=name, index=2, addresses=nets)


def denying(*sources: SetSource) -> tuple[Rule, ...]:
    return tuple(
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


def profile(name: str, *sources: SetSource) -> tuple[Slot, Value]:
    return ("profile", name), Profile(name, {}, egress=denying(*sources))


def gnp(name: str, *sources: SetSource, tier: str = "default", order: float | None = None) -> tuple[Slot, Value]:
    key = PolicyKey("GlobalNetworkPolicy", "", name)
    value = Policy(
        key=key,
        tier=tier,
        order=order,
        selector=parse_selector("has(hep)"),
        ingress=denying(*sources),
        governs=frozenset({Direction.INGRESS}),
        do_not_track=True,
        apply_on_forward=True,
    )
    return ("policy", key), value


def gns(name: str, *nets: str, **labels: str) -> tuple[Slot, Value]:
    value = NetworkSet(name=name, namespace="", labels=labels, nets=Nets(parse_net(n, strict=True) for n in nets))
    return ("network_set", ("", name)), value


def part(name: str, service: str, *addresses: str, ports: tuple[int, ...] = (80,)) -> tuple[Slot, Value]:
    """A slice of a service, of which it is a part."""
    nets = frozenset(parse_net(f"{one}/{128 if ':' in one else 32}", strict=True) for one in addresses)
    both = frozenset((TCP, port) for port in ports)
    value = ServiceSlice(namespace="shop", service=service, nets=nets, ports=both)
    return ("service_slice", ("shop", name)), value


def endpoint(name: str, address: str, *, node: str = "other", port: int = 80) -> WorkloadEndpoint:
    return WorkloadEndpoint(
        name=name,
        namespace="shop",
        node=node,
        interface_name="cali1",
        nets=(parse_net(f"{address}/32", strict=True),),
        labels={"projectcalico.org/namespace": "shop"},
        profiles=("kns.shop",),
        ports=(NamedPort("http", TCP, port),),
    )


def pod(name: str, address: str, *, node: str = "other") -> tuple[Slot, Value]:
    return ("pod", ("shop", name)), endpoint(f"{node}-k8s-{name}-eth0", address, node=node)


def wep(name: str, address: str, *, port: int = 80) -> tuple[Slot, Value]:
    return ("workload_endpoint", ("shop", name)), endpoint(name, address, port=port)


def namespace(team: str, kind: str = "implied_profile") -> tuple[Slot, Value]:
    """A namespace, or the profile of that name as a document."""
    return (kind, "kns.shop"), Profile("kns.shop", {"pcns.team": team})


EMPTY = State("empty")
BARE = EMPTY.extended("an endpoint without policy", hep("h"), link("eth0"), policies={"eth0": "h:"})
ONE = BARE.extended("one policy", gnp("p"), policies={"eth0": "h: default/p"})
LISTED = ONE.extended(
    "a denylist without members", gnp("p", BLOCKED), policies={"eth0": "h: default/p"}, members={"blocked": ""}
)
FILLED = LISTED.extended(
    "a denylist",
    gns("a", "10.0.0.0/8", "10.1.0.0/16", blocked=""),
    policies={"eth0": "h: default/p"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
SHARED = FILLED.extended(
    "two network sets share a member",
    gns("b", "10.0.0.0/8", "11.0.0.0/8", blocked=""),
    policies={"eth0": "h: default/p"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16 11.0.0.0/8"},
)
UNLABELLED = SHARED.extended(
    "one of them loses its label",
    gns("a", "10.0.0.0/8", "10.1.0.0/16"),
    policies={"eth0": "h: default/p"},
    members={"blocked": "10.0.0.0/8 11.0.0.0/8"},
)
INHERITED = UNLABELLED.extended(
    "an endpoint elsewhere inherits the label",
    hep("far", node="other", labels={}, profiles=("bad",), expected_ips=(parse_net("10.9.9.9/32", strict=True),)),
    (("profile", "bad"), Profile("bad", {"blocked": ""})),
    policies={"eth0": "h: default/p"},
    members={"blocked": "10.0.0.0/8 10.9.9.9/32 11.0.0.0/8"},
)
TIERED = FILLED.extended(
    "tiers and orders",
    (("tier", "first"), Tier("first", 1.0)),
    gnp("q", BLOCKED, tier="first", order=2.0),
    gnp("r", tier="first", order=1.0),
    gnp("s", tier="vanished"),
    policies={"eth0": "h: first/r,q default/p vanished/s"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
RETIERED = TIERED.extended(
    "the tier moves behind, one policy leaves it",
    (("tier", "first"), Tier("first", 3e6)),
    gnp("r", order=-1.0),
    policies={"eth0": "h: default/r,p first/q vanished/s"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
CONFLICT = FILLED.extended(
    "a smaller name takes the interface over",
    hep("b", None, expected_ips=(parse_net("10.2.0.1/32", strict=True),), labels={}),
    link("eth0", "10.2.0.1/32"),
    policies={"eth0": "b:"},
)
WILD = FILLED.extended(
    "a wildcard takes what is left",
    hep("all", "*"),
    link("eth1"),
    link("lo"),
    link("cali0"),
    policies={"eth0": "h: default/p", "eth1": "all: default/p"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
PORTS = WILD.extended(
    "named ports of every endpoint",
    gnp("p", HTTP),
    hep(
        "web",
        "eth9",
        ports=(NamedPort("http", TCP, 80),),
        expected_ips=(parse_net("10.3.0.1/32", strict=True), parse_net("fd00::1/128", strict=True)),
    ),
    policies={"eth0": "h: default/p", "eth1": "all: default/p"},
    members={"http": "4,10.3.0.1,6,80 6,fd00::1,6,80"},
)
GONE = WILD.extended(
    "the specific endpoint goes",
    without=(("host_endpoint", "h"),),
    policies={"eth0": "all: default/p", "eth1": "all: default/p"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
PROFILED = FILLED.extended(
    "profiles behind the policies, one of which is missing",
    hep("h", profiles=("web", "none", "projectcalico-default-allow")),
    profile("web", HTTP),
    policies={"eth0": "h: default/p | web none? projectcalico-default-allow"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16", "http": ""},
)
REPROFILED = PROFILED.extended(
    "the missing one comes, the other loses its rules, the policy its set",
    profile("web"),
    profile("none", BLOCKED),
    gnp("p"),
    policies={"eth0": "h: default/p | web none projectcalico-default-allow"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
UNPROFILED = REPROFILED.extended(
    "the policy has the set that the profile had",
    gnp("p", BLOCKED),
    hep("h", profiles=("web",)),
    policies={"eth0": "h: default/p | web"},
    members={"blocked": "10.0.0.0/8 10.1.0.0/16"},
)
UNSERVED = ONE.extended(
    "services of which nobody knows anything are empty sets",
    gnp("p", WEB, WEB_PORTS),
    policies={"eth0": "h: default/p"},
    members={"web": "", "web ports": ""},
)
SERVED = UNSERVED.extended(
    "slices of both IP versions, which share an address, and one of another service",
    part("a", "web", "10.4.0.1", "10.4.0.2", ports=(80, 443)),
    part("b", "web", "10.4.0.2", "10.4.0.3"),
    part("c", "web", "fd00::4"),
    part("d", "db", "10.4.0.9"),
    policies={"eth0": "h: default/p"},
    members={
        "web": "10.4.0.1/32 10.4.0.2/32 10.4.0.3/32 fd00::4/128",
        "web ports": "4,10.4.0.1,6,443 4,10.4.0.1,6,80 4,10.4.0.2,6,443 4,10.4.0.2,6,80 4,10.4.0.3,6,80 6,fd00::4,6,80",
    },
)
RESERVED = SERVED.extended(
    "a slice loses its ports, one moves to the other service, one goes",
    part("a", "web", "10.4.0.1", ports=()),
    part("b", "db", "10.4.0.2", "10.4.0.3"),
    without=(("service_slice", ("shop", "c")),),
    policies={"eth0": "h: default/p"},
    members={"web": "10.4.0.1/32", "web ports": ""},
)
POPULATED = ONE.extended(
    "pods and what their namespace gives them",
    gnp("p", OF_SHOP, HTTP),
    pod("a", "10.5.0.1"),
    pod("b", "10.5.0.2"),
    namespace("shop"),
    policies={"eth0": "h: default/p"},
    members={"of shop": "10.5.0.1/32 10.5.0.2/32", "http": "4,10.5.0.1,6,80 4,10.5.0.2,6,80"},
)
MOVED = POPULATED.extended(
    "a pod starts anew on another node, a document is stronger than the other pod",
    pod("a", "10.5.0.7", node="third"),
    wep("other-k8s-b-eth0", "10.5.0.8", port=8080),
    policies={"eth0": "h: default/p"},
    members={"of shop": "10.5.0.7/32 10.5.0.8/32", "http": "4,10.5.0.7,6,80 4,10.5.0.8,6,8080"},
)
RENAMED = MOVED.extended(
    "a profile that is a document is stronger than the namespace",
    namespace("bank", "profile"),
    policies={"eth0": "h: default/p"},
    members={"of shop": "", "http": "4,10.5.0.7,6,80 4,10.5.0.8,6,8080"},
)
UNPLUGGED = SHARED.extended("the interface goes", without=(("interface", "eth0"),), policies={})
STATES = (
    EMPTY,
    BARE,
    ONE,
    LISTED,
    FILLED,
    SHARED,
    UNLABELLED,
    INHERITED,
    TIERED,
    RETIERED,
    CONFLICT,
    WILD,
    PORTS,
    GONE,
    PROFILED,
    REPROFILED,
    UNPROFILED,
    UNSERVED,
    SERVED,
    RESERVED,
    POPULATED,
    MOVED,
    RENAMED,
    UNPLUGGED,
)


def member_text(member: Member) -> str:
    if isinstance(member, Net):
        return str(member)
    address = format_address(member.version, member.address)
    return f"{member.version},{address},{member.protocol},{member.port}"


def described(desired: DesiredState) -> tuple[dict[str, str], dict[str, str]]:
    """The desired state in the words of the list."""
    policies = {}
    for name, state in desired.endpoints.items():
        groups = [f"{g.tier.name}/{','.join(p.key.name for p in g.policies)}" for t in state.tiers.values() for g in t]
        listed = [f"{one.name}{'?' if isinstance(one, MissingProfile) else ''}" for one in state.profiles]
        policies[name] = " ".join([f"{state.endpoint}:", *groups, *(["|", *listed] if listed else [])])
    names = {source.set_id: name for name, source in SETS.items()}
    members = {}
    for set_id, found in desired.sets.items():
        members[names[set_id]] = " ".join(sorted(member_text(member) for member in found.members))
    return policies, members


def steps(before: State, after: State) -> list[Event]:
    """The events that lead from one state to another."""
    removed: list[Event] = [(slot, None) for slot in before.inputs if slot not in after.inputs]
    return removed + [(slot, value) for slot, value in after.inputs.items() if before.inputs.get(slot) != value]


Walk = Iterator[tuple[list[Event], State | None]]
"""Events with the state they end in; None: nothing is flushed or expected after them."""


def forwards(states: tuple[State, ...]) -> Walk:
    for before, after in zip((EMPTY, *states), states, strict=False):
        yield steps(before, after), after


def backwards(states: tuple[State, ...]) -> Walk:
    yield from forwards(states[::-1])


def squashed(states: tuple[State, ...]) -> Walk:
    """All events without a flush, then one."""
    for events, _ in forwards(states):
        yield events, None
    yield [], states[-1]


def split(states: tuple[State, ...]) -> Walk:
    """One event at a time, in both orders."""
    for turn in (1, -1):
        before = EMPTY
        for after in states:
            for event in steps(before, after)[::turn]:
                yield [event], None
            yield [], after
            before = after
        yield steps(before, EMPTY), EMPTY


def repeated(states: tuple[State, ...]) -> Walk:
    """Every event twice, as a datastore may tell it."""
    for events, after in forwards(states):
        yield events * 2, after
        yield [*after.inputs.items()], after


def interleaved(states: tuple[State, ...]) -> Walk:
    """Every state is left for the empty one and entered again, with and without a flush in between."""
    for after in states:
        yield steps(EMPTY, after), after
        yield steps(after, EMPTY) + steps(EMPTY, after), after
        yield steps(after, EMPTY), EMPTY


def every_pair(states: tuple[State, ...]) -> Walk:
    """From every state to every other one directly."""
    before = EMPTY
    for one, other in permutations(states, 2):
        yield steps(before, one), one
        yield steps(one, other), other
        before = other


EXPANDERS: tuple[Callable[[tuple[State, ...]], Walk], ...] = (
    forwards,
    backwards,
    squashed,
    split,
    repeated,
    interleaved,
    every_pair,
)


@pytest.mark.parametrize("expand", EXPANDERS, ids=lambda expand: expand.__name__)
def test_a_state_gives_the_same_desired_state_however_it_is_reached(
    expand: Callable[[tuple[State, ...]], Walk],
) -> None:
    engine, mirror = Engine(NODE), Mirror()
    engine.in_sync()
    for events, state in expand(STATES):
        for event in events:
            tell(engine, event)
        if state is None:
            continue
        mirror.take(engine.flush())
        desired = engine.desired()
        assert described(desired) == (state.policies, state.members), state.name
        assert mirror.state() == desired, state.name


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_states_expect_what_the_reference_says(state: State) -> None:
    assert described(expected(state.inputs)) == (state.policies, state.members)
