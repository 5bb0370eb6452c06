"""The host that a test describes: its interfaces and routes, and everything that its resources make the model of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from tortie.apps.absorb import absorb
from tortie.apps.decoding import key_of, problem_at
from tortie.apps.policytest.document import Scenario, Spec, Unloadable
from tortie.apps.policytest.network import LOOPBACK, read_network, specs, wires
from tortie.apps.policytest.warnings import missing, overlaid
from tortie.apps.verbs.stored import is_tiered, tier_of
from tortie.calc import Engine
from tortie.calc.order import BUILT_IN_TIERS
from tortie.model.address import WIDTH, Net, parse_address
from tortie.model.endpoint import Interface, NamedPort, WorkloadEndpoint
from tortie.model.host import Host
from tortie.model.names import NAMESPACE_LABEL
from tortie.model.policy import Policy
from tortie.resources.codec import encode
from tortie.resources.kind import Resource
from tortie.resources.kinds import KINDS
from tortie.resources.problems import Problem, Problems


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
    workloads = [_workload(spec, node) for spec in specs(test.host, "workloads")]
    interfaces, routes = read_network(test, workloads, problems)
    wrong = [*problems.listed(), *_without_tier(test.resources)]
    if wrong:
        raise Unloadable(wrong)
    wrong += [
        problem_at(resource, "TT1974", "", trouble)
        for resource in test.resources
        if (trouble := absorb(engine, key_of(resource), encode(resource)))
    ]
    engine.in_sync()
    engine.flush()  # what the interfaces of pods are called, the settings say
    routes += wires(engine.local_workloads(), interfaces, test)
    for interface in interfaces.values():
        engine.set_interface(interface.name, interface)
    for endpoint in workloads:
        engine.set_workload_endpoint((endpoint.namespace, endpoint.name), endpoint)
    if wrong:
        raise Unloadable(wrong)
    for policy in asked:
        engine.set_policy(policy.key, policy)
    engine.flush()
    host = engine.host()
    return World(
        host=host,
        interfaces=interfaces,
        routes=tuple(sorted(routes, key=lambda route: -route[0].length)),
        forwards=bool(test.host.get("forwarding", passes_on)),
        warnings=(*missing(engine, host), *overlaid(test.resources)),
    )


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


def _without_tier(resources: Iterable[Resource]) -> list[Problem]:
    """A problem for each policy whose tier is not there, as `apply` would have it."""
    listed = list(resources)
    tiers = BUILT_IN_TIERS.keys() | {one.name for one in listed if one.kind == "Tier"}
    return [
        problem_at(one, "TT1903", "spec.tier", f"tier {tier!r} does not exist", "create it in the same test")
        for one in listed
        if is_tiered(KINDS[one.kind]) and (tier := tier_of(one.body)) not in tiers
    ]
