"""The host that a test describes: its interfaces and routes, and everything that its resources make the model of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tortie.apps.absorb import absorb
from tortie.apps.answers import ProblemAnswer
from tortie.apps.decoding import key_of, problem_answer, problem_at
from tortie.apps.policytest.document import Scenario, Spec, Unloadable
from tortie.calc import Engine
from tortie.calc.order import BUILT_IN_TIERS
from tortie.model.address import WIDTH, Net, parse_address, parse_net
from tortie.model.desired import MissingProfile
from tortie.model.endpoint import Interface, NamedPort, WorkloadEndpoint
from tortie.model.host import Host
from tortie.model.names import NAMESPACE_LABEL
from tortie.model.policy import DEFAULT_TIER, Policy
from tortie.resources.codec import encode
from tortie.resources.fields import join
from tortie.resources.kind import Resource
from tortie.resources.problems import Problems

LOOPBACK = "lo"
_OWN = (Net(4, 127 << 24, 8), Net(6, 1, 128))


@dataclass(frozen=True, slots=True)
class World:
    """What packets meet. `routes` are sorted, the longest first; `warnings` are sentences."""

    host: Host
    interfaces: Mapping[str, Interface]
    routes: tuple[tuple[Net, str], ...]
    forwards: bool
    warnings: tuple[str, ...]

    def interface_to(self, version: int, address: int) -> str | None:
        """Where the host would send a packet to that address; None where no route leads there."""
        if self.host.addresses.unicast and (version, address) in self.host.addresses.unicast:
            return LOOPBACK
        return next((device for net, device in self.routes if net.contains(version, address)), None)


def build(test: Scenario, *, passes_on: bool, asked: Iterable[Policy] = ()) -> World:
    """What the document describes. `passes_on`: whether it asks about packets that the host forwards. `asked`: policies
    that govern nothing, whose sets are wanted.

    Raises: Unloadable, with everything that is wrong with the host and with resources beside each other.
    """
    problems = Problems(test.source)
    node = _node(test, problems)
    engine = Engine(node)
    workloads = [_workload(spec, node) for spec in _specs(test.host, "workloads")]
    interfaces, routes = _network(test, workloads, problems)
    wrong = [*(problem_answer(one) for one in problems.listed()), *_without_tier(test.resources)]
    if wrong:
        raise Unloadable(wrong)
    wrong += [
        problem_answer(problem_at(resource, "TT1974", "", trouble))
        for resource in test.resources
        if (trouble := absorb(engine, key_of(resource), encode(resource)))
    ]
    for interface in interfaces.values():
        engine.set_interface(interface.name, interface)
    for endpoint in workloads:
        engine.set_workload_endpoint((endpoint.namespace, endpoint.name), endpoint)
    if wrong:
        raise Unloadable(wrong)
    for policy in asked:
        engine.set_policy(policy.key, policy)
    engine.in_sync()
    engine.flush()
    host = engine.host()
    forwards = bool(test.host.get("forwarding", passes_on))
    return World(host, interfaces, routes, forwards, tuple(_warnings(engine, host)))


def _specs(host: Spec, key: str) -> list[Spec]:
    return cast(list[Spec], host.get(key, []))


def _node(test: Scenario, problems: Problems) -> str:
    """The host's name: as the test says, else the one that all host endpoints name."""
    if "node" in test.host:
        return str(test.host["node"])
    named = sorted({str(one.spec.get("node")) for one in test.resources if one.kind == "HostEndpoint"})
    if len(named) > 1:
        found, remedy = f"endpoints of {', '.join(named[:5])}", "add node: with the host's name"
        problems.add(
            "TT1975", test.host_node, "host.node", "nobody can tell which node this is", found=found, remedy=remedy
        )
    return named[0] if named else "host"


def _workload(spec: Spec, node: str) -> WorkloadEndpoint:
    namespace = str(spec["namespace"])
    addresses = (parse_address(text) for text in cast(list[str], spec.get("addresses", [])))
    ports = (cast(dict[str, str | int], each) for each in cast(list[Spec], spec.get("ports", [])))
    return WorkloadEndpoint(
        name=str(spec["name"]),
        namespace=namespace,
        node=node,
        interface_name=str(spec["interface"]),
        nets=tuple(Net(version, value, WIDTH[version]) for version, value in addresses),
        labels={**cast(Mapping[str, str], spec.get("labels", {})), NAMESPACE_LABEL: namespace},
        profiles=tuple(cast(list[str], spec.get("profiles", []))),
        ports=tuple(NamedPort(str(one["name"]), int(one["protocol"]), int(one["port"])) for one in ports),
    )


def _network(
    test: Scenario, workloads: Sequence[WorkloadEndpoint], problems: Problems
) -> tuple[dict[str, Interface], tuple[tuple[Net, str], ...]]:
    """The interfaces, and the routes to the networks of each, to workloads, and those that are written."""
    versions = frozenset((4, 6)) if test.host.get("forwarding", True) else frozenset[int]()
    interfaces: dict[str, Interface] = {
        LOOPBACK: Interface(name=LOOPBACK, index=1, addresses=frozenset(_hosts(_OWN)), is_loopback=True)
    }
    routes: list[tuple[Net, str]] = [(net, LOOPBACK) for net in _OWN]
    for number, spec in enumerate(_specs(test.host, "interfaces")):
        name = str(spec["name"])
        if name in interfaces and name != LOOPBACK:
            path = join("host", "interfaces", number)
            problems.add("TT1975", test.host_node, path, "an interface that is there twice", found=name)
        texts = cast(list[str], spec.get("addresses", []))
        nets = [parse_net(text, strict=False) for text in texts]
        own = frozenset(_host_net(text) for text in texts)
        broadcasts = frozenset(net.address | (1 << 32 - net.length) - 1 for net in nets if _has_broadcast(net))
        interfaces[name] = Interface(
            name=name,
            index=len(interfaces) + 1,
            addresses=own | (interfaces[name].addresses if name in interfaces else frozenset()),
            broadcasts=broadcasts,
            forwards=versions,
            is_loopback=name == LOOPBACK,
        )
        routes += [(net, name) for net in nets]
    taken: dict[str, str] = {}
    for number, endpoint in enumerate(workloads):
        name = endpoint.interface_name
        if taken.setdefault(name, endpoint.name) != endpoint.name or name == LOOPBACK:
            path = join("host", "workloads", number, "interface")
            problems.add("TT1975", test.host_node, path, "an interface that something else has", found=name)
        interfaces.setdefault(name, Interface(name=name, index=len(interfaces) + 1, forwards=versions))
        routes += [(net, name) for net in endpoint.nets]
    for number, spec in enumerate(_specs(test.host, "routes")):
        routes += _route(spec, join("host", "routes", number), interfaces, routes, test, problems)
    return interfaces, tuple(sorted(routes, key=lambda route: -route[0].length))


def _route(
    spec: Spec,
    path: str,
    interfaces: Mapping[str, Interface],
    routes: list[tuple[Net, str]],
    test: Scenario,
    problems: Problems,
) -> list[tuple[Net, str]]:
    to, device = parse_net(str(spec["to"]), strict=False), spec.get("dev")
    if device is None and "via" in spec:
        gateway = parse_address(str(spec["via"]))
        known = sorted(routes, key=lambda route: -route[0].length)
        device = next((name for net, name in known if net.contains(*gateway)), None)
    if device is None or device not in interfaces:
        found = "no interface" if device is None else str(device)
        expected = f"one of {', '.join(interfaces)}"
        message = "a route whose interface the host does not have"
        problems.add("TT1972", test.host_node, path, message, found=found, expected=expected, remedy="correct dev")
        return []
    return [(to, str(device))]


def _hosts(nets: Iterable[Net]) -> Iterable[Net]:
    """127.0.0.1 and ::1 for the nets of the loopback interface."""
    return (Net(net.version, net.address | 1, WIDTH[net.version]) for net in nets)


def _host_net(text: str) -> Net:
    version, value = parse_address(text.partition("/")[0])
    return Net(version, value, WIDTH[version])


def _has_broadcast(net: Net) -> bool:
    return net.version == 4 and net.length < 31


def _without_tier(resources: Iterable[Resource]) -> list[ProblemAnswer]:
    """A problem for each policy whose tier is not there, as `apply` would have it."""
    listed = list(resources)
    tiers = BUILT_IN_TIERS.keys() | {one.name for one in listed if one.kind == "Tier"}
    return [
        problem_answer(
            problem_at(one, "TT1903", "spec.tier", f"tier {tier!r} does not exist", "create it in the same test")
        )
        for one in listed
        if "Policy" in one.kind and (tier := str(one.spec.get("tier", DEFAULT_TIER))) not in tiers
    ]


def _warnings(engine: Engine, host: Host) -> Iterable[str]:
    for status in engine.statuses():
        if status.problem:
            yield f"HostEndpoint({status.endpoint}): {status.problem}"
    missing = {
        (state.endpoint, profile.name): None
        for state in (*host.endpoints.values(), *host.workloads.values())
        for profile in state.profiles
        if isinstance(profile, MissingProfile)
    }
    for endpoint, profile_name in missing:
        yield f"profile {profile_name}, which {endpoint} lists, does not exist: it denies at its place in the list"
