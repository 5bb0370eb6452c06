"""Everything an engine is told, as a mapping; chance to change it; the desired state, calculated the slow plain way.

`expected` reads like the reference and shares no code with `tortie.calc`: it is what the engine is compared with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from random import Random

from tortie.calc import Engine
from tortie.model.address import Net
from tortie.model.conntrack import Timeouts, TrackingSettings
from tortie.model.desired import (
    Delta,
    DesiredState,
    EndpointState,
    HostAddresses,
    MissingProfile,
    SetChange,
    TierPolicies,
)
from tortie.model.endpoint import (
    HostEndpoint,
    Interface,
    NamedPort,
    NetworkSet,
    ServiceSlice,
    WorkloadEndpoint,
)
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.host import Host, ToHost
from tortie.model.ipset import (
    AddressSet,
    IPSet,
    Member,
    NamedPortSet,
    PortMember,
    PortSet,
    SelectorSet,
    ServiceSet,
    SetSource,
)
from tortie.model.matches import Match, PortMatch, SetMatch
from tortie.model.nets import Nets
from tortie.model.packet import TCP, UDP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.settings import FelixSettings
from tortie.model.xdp import XdpUse, XdpWish

Key = PolicyKey | str | tuple[str, str]
Value = (
    Policy
    | HostEndpoint
    | WorkloadEndpoint
    | NetworkSet
    | ServiceSlice
    | Interface
    | Tier
    | Profile
    | FelixSettings
    | Mapping[str, object]
)
Slot = tuple[str, Key]
"""Which input of the engine, and the key there."""
World = dict[Slot, Value]
Event = tuple[Slot, Value | None]

NODE = "me"
NAMES = ("a", "a-b", "a.b", "b", "c", "d", "e", "f", "g", "h")
INTERFACES = ("eth0", "eth1", "eth2", "lo", "cali1", "kube-ipvs0")
LABELS = {"role": ("web", "db", "x"), "env": ("prod", "test"), "hep": ("",), "own": ("1", "2")}
SELECTORS = (
    "all()",
    "!all()",
    "has(hep)",
    "!has(hep)",
    'role == "web"',
    'role in {"web", "db"}',
    'role != "x"',
    'has(env) && role == "db"',
    'env starts with "p" || role == "x"',
    'own == "1"',
    'own == "1" && own == "2"',
    'projectcalico.org/namespace == "n"',
    'pcns.role == "web"',
    'pcsa.role == "web" && has(projectcalico.org/serviceaccount)',
)
PROFILES = ("one", "two", "kns.n")


def tell(engine: Engine, event: Event) -> None:
    """Give one event to the engine."""
    (kind, key), value = event
    if kind == "kernel_timeouts":
        assert value is None or isinstance(value, Mapping)
        engine.set_kernel_timeouts(value or {})
        return
    getattr(engine, f"set_{kind}")(key, value)


def random_event(rng: Random, world: Mapping[Slot, Value], *, removals: int = 25) -> Event:
    """A change of the world: at times the removal of something that is there."""
    if world and rng.randrange(100) < removals:
        return rng.choice(list(world)), None
    make = rng.choice(
        (
            _policy,
            _policy,
            _policy,
            _tier,
            _profile,
            _profile,
            _settings,
            _kernel_timeouts,
            _node,
            _host_endpoint,
            _host_endpoint,
            _workload_endpoint,
            _pod,
            _implied_profile,
            _service_slice,
            _network_set,
            _interface,
        )
    )
    return make(rng)


def change(world: World, event: Event) -> None:
    """The same change in the mapping."""
    slot, value = event
    if value is None:
        world.pop(slot, None)
    else:
        world[slot] = value


def _labels(rng: Random) -> dict[str, str]:
    return {label: rng.choice(values) for label, values in LABELS.items() if rng.randrange(2)}


def _source(rng: Random) -> SetSource:
    selector = parse_selector(rng.choice(SELECTORS))
    kind = rng.randrange(8)
    if kind < 5:
        return SelectorSet(selector)
    if kind < 7:
        return NamedPortSet(rng.choice((ALL, selector)), rng.choice((TCP, UDP, None)), rng.choice(("http", "dns")))
    return ServiceSet("n", rng.choice(("web", "web", "none")), rng.randrange(2) == 1)


def _rule(rng: Random) -> Rule:
    matches: list[Match] = []
    for _ in range(rng.randrange(3)):
        source = _source(rng)
        if isinstance(source, NamedPortSet):
            matches.append(PortMatch(Side.DESTINATION, (), (source,), rng.randrange(2) == 1))
        else:
            matches.append(SetMatch(rng.choice(tuple(Side)), source, rng.randrange(2) == 1))
    return Rule(rng.choice(tuple(Action)), tuple(matches))


def _policy(rng: Random) -> Event:
    key = PolicyKey(rng.choice(("GlobalNetworkPolicy", "NetworkPolicy")), "", rng.choice(NAMES))
    stage = rng.choice(tuple(Stage))
    value = Policy(
        key=key,
        tier=rng.choice(("default", "a", "b", "gone", "kube-baseline")),
        order=rng.choice((None, 1.0, 1.0, 2.5, -1.0, 0.0)),
        selector=parse_selector(rng.choice(SELECTORS)),
        ingress=tuple(_rule(rng) for _ in range(rng.randrange(3))),
        egress=tuple(_rule(rng) for _ in range(rng.randrange(3))),
        governs=frozenset(rng.sample(tuple(Direction), 1 + rng.randrange(2))),
        do_not_track=stage is Stage.UNTRACKED,
        pre_dnat=stage is Stage.PRE_DNAT,
        apply_on_forward=stage is not Stage.NORMAL,
        needed_everywhere=rng.randrange(8) == 0,
    )
    return ("policy", key), value


def _tier(rng: Random) -> Event:
    name = rng.choice(("a", "b", "default"))
    return ("tier", name), Tier(name, rng.choice((1.0, 1.0, 2.0, 2e6)), rng.choice(tuple(TierAction)))


def _profile(rng: Random) -> Event:
    name = rng.choice(PROFILES)
    if rng.randrange(2):
        return ("profile", name), Profile(name, _labels(rng))
    ingress, egress = (tuple(_rule(rng) for _ in range(rng.randrange(3))) for _ in range(2))
    return ("profile", name), Profile(name, _labels(rng), ingress, egress)


def _settings(rng: Random) -> Event:
    name = rng.choice(("default", "node.me", "node.other", "team", "crew"))
    ports = (None, (), (FailsafePort(TCP, 22),), (FailsafePort(UDP, 53, Net(4, 0x0A000000, 8)),))
    return ("settings", name), FelixSettings(
        name=name,
        failsafe_inbound=rng.choice(ports),
        failsafe_outbound=rng.choice(ports),
        interface_prefixes=rng.choice((None, ("cali",), ("eth2", "tap"))),
        interface_exclude=rng.choice((None, (), ("eth1",), ("/^eth[12]$/",))),
        node_selector={"team": ALL, "crew": parse_selector("has(env)")}.get(name),
        created=rng.choice(("", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")),
        conntrack_timeouts=rng.choice((None, {}, {"tcpSynSent": 5.0, "udpTimeout": None}, {"tcpFinsSeen": None})),
        conntrack_size=rng.choice((None, 0, 1000)),
        drops_invalid=rng.choice((None, True, False)),
        xdp=rng.choice((None, None, *XdpUse)),
        may_use_generic_xdp=rng.choice((None, None, True, False)),
        to_host=rng.choice((None, *ToHost)),
        nftables_rejects=rng.choice((None, True, False)),
    )


def _node(rng: Random) -> Event:
    return ("node", rng.choice((NODE, NODE, "other"))), _labels(rng)


def _kernel_timeouts(rng: Random) -> Event:
    known = {"nf_conntrack_tcp_timeout_time_wait": 120.0, "nf_conntrack_tcp_timeout_syn_sent": 9.0}
    return ("kernel_timeouts", ""), {name: value for name, value in known.items() if rng.randrange(2)}


def _host_endpoint(rng: Random) -> Event:
    name = rng.choice(NAMES)
    ips = _hosts(rng)
    kinds: tuple[str | None, ...] = ("eth0", "eth1", "lo", "cali1", "*", "eth9") + ((None,) * 4 if ips else ())
    value = HostEndpoint(
        name=name,
        node=rng.choice((NODE, NODE, "other")),
        interface_name=rng.choice(kinds),
        expected_ips=ips,
        labels=_labels(rng),
        profiles=tuple(rng.sample(("one", "two", "none", "projectcalico-default-allow"), rng.randrange(3))),
        ports=_ports(rng),
        xdp=rng.choice((None, None, *XdpUse)),
    )
    return ("host_endpoint", name), value


def _workload_endpoint(rng: Random) -> Event:
    key = rng.choice(("n", "m")), rng.choice((*NAMES[:3], _of_pod(NODE, "a"), _of_pod("other", "a")))
    return ("workload_endpoint", key), _endpoint(rng, key, rng.choice((NODE, "other")))


def _endpoint(rng: Random, key: tuple[str, str], node: str) -> WorkloadEndpoint:
    return WorkloadEndpoint(
        name=key[1],
        namespace=key[0],
        node=node,
        interface_name=f"cali{rng.randrange(3)}",
        nets=_hosts(rng),
        labels={**_labels(rng), "projectcalico.org/namespace": key[0]},
        profiles=tuple(rng.sample(("one", "kns.n", "ksa.n.s", "none"), rng.randrange(3))),
        ports=_ports(rng),
    )


def _of_pod(node: str, pod: str) -> str:
    return f"{node}-k8s-{pod}-eth0"


def _pod(rng: Random) -> Event:
    """A pod, which keeps its name where it starts anew on another node."""
    namespace, pod, node = rng.choice(("n", "m")), rng.choice(("a", "b")), rng.choice((NODE, "other"))
    value = replace(_endpoint(rng, (namespace, _of_pod(node, pod)), node), interface_name=str(rng.randrange(3)))
    return ("pod", (namespace, pod)), value


def _implied_profile(rng: Random) -> Event:
    name = rng.choice(("kns.n", "kns.m", "ksa.n.s"))
    prefix = "pcsa." if name.startswith("ksa") else "pcns."
    rules = (Rule(Action.ALLOW),) if prefix == "pcns." else ()
    labels = {f"{prefix}{label}": value for label, value in _labels(rng).items()}
    return ("implied_profile", name), Profile(name, labels, rules, rules)


def _service_slice(rng: Random) -> Event:
    key = rng.choice(("n", "m")), rng.choice(NAMES[:3])
    ports = ((TCP, 80), (TCP, 443), (UDP, 53))
    value = ServiceSlice(
        namespace=key[0],
        service=rng.choice(("web", "web", "db")),
        nets=frozenset(_hosts(rng)),
        ports=frozenset(rng.sample(ports, rng.randrange(3))),
    )
    return ("service_slice", key), value


def _hosts(rng: Random) -> tuple[Net, ...]:
    return tuple({_host(rng) for _ in range(rng.randrange(3))})


def _ports(rng: Random) -> tuple[NamedPort, ...]:
    ports = (
        NamedPort("http", TCP, 80),
        NamedPort("http", TCP, 81),
        NamedPort("http", UDP, 80),
        NamedPort("dns", UDP, 53),
    )
    return tuple(rng.sample(ports, rng.randrange(4)))


def _host(rng: Random) -> Net:
    return Net(4, 0x0A000000 + rng.randrange(5), 32) if rng.randrange(3) else Net(6, rng.randrange(1, 4), 128)


def _network_set(rng: Random) -> Event:
    key = rng.choice(("", "n")), rng.choice(NAMES[:5])
    nets = [_host(rng) for _ in range(rng.randrange(4))] + [Net(4, 0x0A000000, 8)] * rng.randrange(2)
    value = NetworkSet(name=key[1], namespace=key[0], labels=_labels(rng), nets=Nets(nets))
    return ("network_set", key), value


def _interface(rng: Random) -> Event:
    name = rng.choice(INTERFACES)
    addresses = frozenset(_host(rng) for _ in range(rng.randrange(3)))
    vlans = frozenset({rng.randrange(2)})
    broadcasts = frozenset(rng.sample((0x0A0000FF, 0x0A0001FF), rng.randrange(2)))
    return ("interface", name), Interface(
        name=name, index=2, addresses=addresses, vlans=vlans, is_loopback=name == "lo", broadcasts=broadcasts
    )


def _of(world: Mapping[Slot, Value], kind: str) -> Iterator[tuple[Key, Value]]:
    return ((key, value) for (one, key), value in world.items() if one == kind)


def expected(world: Mapping[Slot, Value]) -> DesiredState:
    """The desired state, straight from the reference: every pair is asked."""
    known = _profiles(world)
    policies = [value for _, value in _of(world, "policy") if isinstance(value, Policy)]
    governed = _governed(world)
    endpoints = {}
    active = {policy.key: policy for policy in policies if policy.needed_everywhere}
    for name, endpoint in sorted(governed.items()):
        interface = world["interface", name]
        assert isinstance(interface, Interface)
        endpoints[name] = _state(world, endpoint, interface)
    workloads = _local_workloads(world)
    endpoints |= _beside_workloads(world, governed)
    met: list[HostEndpoint | WorkloadEndpoint] = [*governed.values(), *workloads]
    if workloads and (wildcard := _wildcard(world)) is not None:
        met.append(wildcard)  # its policy holds on their interfaces
    for one in met:
        active |= {policy.key: policy for policy in _chosen(world, one)}
    rules = [rule for policy in active.values() for direction in policy.governs for rule in policy.rules(direction)]
    for name in {name for one in met for name in one.profiles} & known.keys():
        rules += known[name].ingress + known[name].egress
    sets: dict[str, IPSet] = {}
    for source in (source for rule in rules for source in rule.set_sources()):
        sets[source.set_id] = _members(source, world)
    return DesiredState(
        endpoints=endpoints,
        sets=sets,
        failsafes=_failsafes(world),
        addresses=_addresses(world),
        tracking=_tracking(world),
    )


def expected_host(world: Mapping[Slot, Value]) -> Host:
    """The host with its workloads, straight from the reference."""
    desired, workloads, wildcard = expected(world), _local_workloads(world), _wildcard(world)
    ends = {}
    for one in sorted(workloads, key=lambda one: f"{one.namespace}/{one.name}"):
        interface = world.get(("interface", one.interface_name), Interface(name=one.interface_name, index=0))
        assert isinstance(interface, Interface)
        state = _state(world, one, interface)
        normal = {place: part for place, part in state.tiers.items() if place[0] is Stage.NORMAL}
        ends.setdefault(
            one.interface_name, replace(state, tiers=normal, is_workload=True, xdp=XdpWish(), rejects=False)
        )
    to_host, prefixes = _setting(world, "to_host", ToHost.DROP), _setting(world, "interface_prefixes", ("cali",))
    assert isinstance(to_host, ToHost)
    assert isinstance(prefixes, tuple)
    return Host(
        endpoints={name: one for name, one in desired.endpoints.items() if not one.is_beside_workload},
        workloads=ends,
        wildcard=_state(world, wildcard, Interface(name="*", index=0)) if workloads and wildcard else None,
        workload_prefixes=prefixes,
        sets=desired.sets,
        failsafes=desired.failsafes,
        addresses=desired.addresses,
        tracking=desired.tracking,
        to_host=to_host,
        rejects=_setting(world, "nftables_rejects", False) is True,
    )


def _profiles(world: Mapping[Slot, Value]) -> dict[str, Profile]:
    """Every profile there is: those of documents are stronger than those that namespaces and accounts imply."""
    layers = (*_of(world, "implied_profile"), *_of(world, "profile"))
    known = {str(key): value for key, value in layers if isinstance(value, Profile)}
    everything = (Rule(Action.ALLOW),)
    return known | {"projectcalico-default-allow": Profile("projectcalico-default-allow", {}, everything, everything)}


def _labels_of(world: Mapping[Slot, Value], own: Mapping[str, str], parents: tuple[str, ...]) -> dict[str, str]:
    known, found = _profiles(world), dict(own)
    for parent in parents:
        if parent in known:
            found = {**known[parent].labels_to_apply, **found}
    return found


def _chosen(world: Mapping[Slot, Value], endpoint: HostEndpoint | WorkloadEndpoint) -> list[Policy]:
    labels = _labels_of(world, endpoint.labels, endpoint.profiles)
    return [one for _, one in _of(world, "policy") if isinstance(one, Policy) and one.selector.matches(labels)]


def _state(
    world: Mapping[Slot, Value], endpoint: HostEndpoint | WorkloadEndpoint, interface: Interface
) -> EndpointState:
    known = _profiles(world)
    is_workload = isinstance(endpoint, WorkloadEndpoint)
    return EndpointState(
        interface=interface,
        endpoint=f"{endpoint.namespace}/{endpoint.name}" if isinstance(endpoint, WorkloadEndpoint) else endpoint.name,
        is_wildcard=not is_workload and endpoint.interface_name == "*",
        tiers=_tiers(_chosen(world, endpoint), world),
        profiles=tuple(known.get(name, MissingProfile(name)) for name in endpoint.profiles),
        xdp=_xdp(world, endpoint),
        rejects=_setting(world, "nftables_rejects", False) is True,
    )


def _beside_workloads(world: Mapping[Slot, Value], governed: Mapping[str, HostEndpoint]) -> dict[str, EndpointState]:
    """The early part of the wildcard, on each interface that a workload is behind."""
    workloads, wildcard = _local_workloads(world), _wildcard(world)
    prefixes = _setting(world, "interface_prefixes", ("cali",))
    assert isinstance(prefixes, tuple)
    found = {}
    for name, interface in _of(world, "interface"):
        assert isinstance(name, str)
        assert isinstance(interface, Interface)
        is_workload = name in {one.interface_name for one in workloads} or name.startswith(prefixes)
        if wildcard and workloads and is_workload and name not in governed and not interface.is_loopback:
            whole = _state(world, wildcard, interface)
            part = {place: tiers for place, tiers in whole.tiers.items() if place[0] in (Stage.PRE_DNAT, Stage.FORWARD)}
            if part:
                found[name] = replace(whole, tiers=part, profiles=(), is_beside_workload=True)
    return dict(found)


def _workloads(world: Mapping[Slot, Value]) -> list[WorkloadEndpoint]:
    """Workload endpoints of documents, and those of pods of which there is no document."""
    prefixes = _setting(world, "interface_prefixes", ("cali",))
    assert isinstance(prefixes, tuple)
    pods = [one for _, one in _of(world, "pod") if isinstance(one, WorkloadEndpoint)]
    wired = [replace(one, interface_name=f"{prefixes[0]}{one.interface_name}") for one in pods]
    found = {(one.namespace, one.name): one for one in wired}
    given = [one for _, one in _of(world, "workload_endpoint") if isinstance(one, WorkloadEndpoint)]
    return [*(found | {(one.namespace, one.name): one for one in given}).values()]


def _local_workloads(world: Mapping[Slot, Value]) -> list[WorkloadEndpoint]:
    return [one for one in _workloads(world) if one.node == NODE]


def _wildcard(world: Mapping[Slot, Value]) -> HostEndpoint | None:
    found = [one for _, one in _of(world, "host_endpoint") if isinstance(one, HostEndpoint)]
    mine = [one for one in found if one.node == NODE and one.interface_name == "*"]
    return min(mine, key=lambda one: one.name, default=None)


def _addresses(world: Mapping[Slot, Value]) -> HostAddresses:
    unicast, broadcast = set(), set()
    for _, interface in _of(world, "interface"):
        assert isinstance(interface, Interface)
        unicast |= {net[:2] for net in interface.addresses}
        broadcast |= interface.broadcasts
    return HostAddresses(frozenset(unicast), frozenset(broadcast))


def _tracking(world: Mapping[Slot, Value]) -> TrackingSettings:
    said = _setting(world, "conntrack_timeouts", {"tcpFinsSeen": None})
    size = _setting(world, "conntrack_size", 0)
    kernel = world.get(("kernel_timeouts", ""), {})
    assert isinstance(said, Mapping)
    assert isinstance(kernel, Mapping)
    assert isinstance(size, int)
    timeouts = Timeouts()
    if "tcpSynSent" in said:
        timeouts = replace(timeouts, tcp_syn_sent_s=said["tcpSynSent"])
    if "tcpFinsSeen" in said:
        timeouts = replace(timeouts, tcp_fins_seen_s=kernel.get("nf_conntrack_tcp_timeout_time_wait", 30.0))
    drops_invalid = _setting(world, "drops_invalid", True) is True
    return TrackingSettings(timeouts=timeouts, size=size or 512_000, drops_invalid=drops_invalid)


def _xdp(world: Mapping[Slot, Value], endpoint: HostEndpoint | WorkloadEndpoint) -> XdpWish:
    use, own = _setting(world, "xdp", XdpUse.AUTO), None if isinstance(endpoint, WorkloadEndpoint) else endpoint.xdp
    assert isinstance(use, XdpUse)
    may_be_generic = _setting(world, "may_use_generic_xdp", False) is True
    return XdpWish(own or use, is_own=own is not None, may_be_generic=may_be_generic)


def _setting(world: Mapping[Slot, Value], field: str, fallback: object) -> object:
    for name in (f"node.{NODE}", *_selected(world), "default"):
        document = world.get(("settings", name))
        if document is not None and getattr(document, field) is not None:
            return getattr(document, field)
    return fallback


def _selected(world: Mapping[Slot, Value]) -> list[str]:
    """The one document that selects the node by its labels: the older one, then the first by name."""
    labels = world.get(("node", NODE))
    found: list[tuple[bool, str, str]] = []
    for name in ("crew", "team") if labels is not None else ():
        document = world.get(("settings", name))
        if isinstance(document, FelixSettings) and (name == "team" or "env" in (labels or {})):  # type: ignore[operator]
            found.append((document.created == "", document.created, name))
    return [min(found)[2]] if found else []


def _failsafes(world: Mapping[Slot, Value]) -> Failsafes:
    inbound = _setting(world, "failsafe_inbound", Failsafes().inbound)
    outbound = _setting(world, "failsafe_outbound", Failsafes().outbound)
    return Failsafes(inbound, outbound)  # type: ignore[arg-type]


def _governed(world: Mapping[Slot, Value]) -> dict[str, HostEndpoint]:
    prefixes = _setting(world, "interface_prefixes", ("cali",))
    exclude = _setting(world, "interface_exclude", ("kube-ipvs0",))
    assert isinstance(prefixes, tuple)
    assert isinstance(exclude, tuple)
    excluded = {"eth1", "eth2"} if "/^eth[12]$/" in exclude else set(exclude)
    local = [
        value for _, value in _of(world, "host_endpoint") if isinstance(value, HostEndpoint) and value.node == NODE
    ]
    found = {}
    for name, interface in _of(world, "interface"):
        assert isinstance(interface, Interface)
        assert isinstance(name, str)
        if name == "lo" or name.startswith(prefixes) or name in excluded:
            continue
        specific = [
            endpoint
            for endpoint in local
            if endpoint.interface_name == name
            or (endpoint.interface_name is None and interface.addresses & set(endpoint.expected_ips))
        ]
        wildcards = [endpoint for endpoint in local if endpoint.interface_name == "*"]
        for candidates in (specific, wildcards):
            if candidates:
                found[name] = min(candidates, key=lambda endpoint: endpoint.name)
                break
    return found


def _tiers(
    chosen: list[Policy], world: Mapping[Slot, Value]
) -> dict[tuple[Stage, Direction], tuple[TierPolicies, ...]]:
    known = {
        "kube-admin": Tier("kube-admin", 1e3, TierAction.PASS),
        "default": Tier("default", 1e6),
        "kube-baseline": Tier("kube-baseline", 1e7, TierAction.PASS),
    } | {str(key): value for key, value in _of(world, "tier") if isinstance(value, Tier)}
    names = {policy.tier for policy in chosen}
    tiers = sorted((known[n] for n in names & known.keys()), key=lambda tier: (tier.order, tier.name))
    tiers += [Tier(name, inf, TierAction.DENY) for name in sorted(names - known.keys())]
    found: dict[tuple[Stage, Direction], tuple[TierPolicies, ...]] = {}
    for stage in Stage:
        for direction in Direction:
            for tier in tiers:
                part = [p for p in chosen if p.tier == tier.name and stage in p.stages and direction in p.governs]
                part.sort(key=lambda p: (inf if p.order is None else p.order, p.key.order_text))
                if part:
                    found[stage, direction] = (*found.get((stage, direction), ()), TierPolicies(tier, tuple(part)))
    return found


def _service_members(source: ServiceSet, world: Mapping[Slot, Value]) -> IPSet:
    slices = [one for _, one in _of(world, "service_slice") if isinstance(one, ServiceSlice)]
    mine = [one for one in slices if (one.namespace, one.service) == (source.namespace, source.name)]
    if not source.with_ports:
        return AddressSet(net for one in mine for net in one.nets)
    return PortSet(PortMember(*net[:2], *port) for one in mine for net in one.nets for port in one.ports)


def _members(source: SetSource, world: Mapping[Slot, Value]) -> IPSet:
    members: set[Member] = set()
    if isinstance(source, ServiceSet):
        return _service_members(source, world)

    def labels(own: Mapping[str, str], parents: tuple[str, ...]) -> dict[str, str]:
        return _labels_of(world, own, parents)

    hosts = [one for _, one in _of(world, "host_endpoint") if isinstance(one, HostEndpoint)]
    for value in (*hosts, *_workloads(world)):
        nets = value.expected_ips if isinstance(value, HostEndpoint) else value.nets
        if not source.selector.matches(labels(value.labels, value.profiles)):
            continue
        if isinstance(source, SelectorSet):
            members |= set(nets)
            continue
        for port in value.ports:
            if port.name == source.port_name and source.protocol in (None, port.protocol):
                members |= {PortMember(*net[:2], port.protocol, port.port) for net in nets}
    if isinstance(source, NamedPortSet):
        return PortSet(member for member in members if isinstance(member, PortMember))
    for _, value in _of(world, "network_set"):
        assert isinstance(value, NetworkSet)
        own = {**value.labels, "projectcalico.org/namespace": value.namespace} if value.namespace else value.labels
        if source.selector.matches(labels(own, (f"kns.{value.namespace}",) if value.namespace else ())):
            members |= set(value.nets)
    return AddressSet(member for member in members if isinstance(member, Net))


class Mirror:
    """A driver that only adds up deltas, and refuses those that contradict what it has."""

    def __init__(self) -> None:
        self.endpoints: dict[str, EndpointState] = {}
        self.sets: dict[str, tuple[bool, frozenset[Member]]] = {}
        self.failsafes: Failsafes | None = None
        self.addresses: HostAddresses | None = None
        self.tracking: TrackingSettings | None = None

    def take(self, delta: Delta) -> None:
        """Add one delta; references must be met."""
        for set_id, change in delta.sets.items():
            if change is None:
                del self.sets[set_id]
            else:
                self._change(set_id, change)
        for name, state in delta.endpoints.items():
            if state is None:
                del self.endpoints[name]
            else:
                assert state != self.endpoints.get(name), "an endpoint was told again without a change"
                self.endpoints[name] = state
        for field in ("failsafes", "addresses", "tracking"):
            if (value := getattr(delta, field)) is not None:
                assert value != getattr(self, field), f"{field} were told again without a change"
                setattr(self, field, value)
        for name, state in self.endpoints.items():
            policies = {p for groups in state.tiers.values() for g in groups for p in g.policies}
            rules = [rule for policy in policies for direction in Direction for rule in policy.rules(direction)]
            rules += [r for p in state.profiles if isinstance(p, Profile) for r in (*p.ingress, *p.egress)]
            sources = {source for rule in rules for source in rule.set_sources()}
            assert {source.set_id for source in sources} <= self.sets.keys(), f"{name} refers to a set that is gone"

    def _change(self, set_id: str, change: SetChange) -> None:
        assert change.is_new == (set_id not in self.sets)
        _, before = self.sets.get(set_id, (False, frozenset[Member]()))
        assert not change.added & before, "a member was added twice"
        assert change.removed <= before, "a member was removed that is not there"
        assert change.is_new or change.added or change.removed, "a set was told without a change"
        self.sets[set_id] = change.has_ports, (before | change.added) - change.removed

    def state(self) -> DesiredState:
        """What the deltas add up to."""
        sets: dict[str, IPSet] = {
            set_id: PortSet(members) if has_ports else AddressSet(members)  # type: ignore[arg-type]
            for set_id, (has_ports, members) in self.sets.items()
        }
        return DesiredState(
            endpoints=dict(self.endpoints),
            sets=sets,
            failsafes=self.failsafes or Failsafes(),
            addresses=self.addresses or HostAddresses(),
            tracking=self.tracking or TrackingSettings(),
        )
