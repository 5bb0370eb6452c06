"""The interfaces of the host that a test describes, and the routes that tell which of them a packet takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from tortie.apps.policytest.document import Scenario, Spec
from tortie.model.address import WIDTH, Net, parse_address, parse_net
from tortie.model.endpoint import Interface, WorkloadEndpoint
from tortie.resources.fields import join
from tortie.resources.problems import Problems

LOOPBACK = "lo"
_OWN = (Net(4, 127 << 24, 8), Net(6, 1, 128))


def specs(host: Spec, key: str) -> list[Spec]:
    """A list of the host's description."""
    return cast(list[Spec], host.get(key, []))


def read_network(
    test: Scenario, workloads: Sequence[WorkloadEndpoint], problems: Problems
) -> tuple[dict[str, Interface], list[tuple[Net, str]]]:
    """The interfaces, and the routes to the networks of each, to workloads, and those that are written."""
    versions = _forwards(test)
    interfaces: dict[str, Interface] = {
        LOOPBACK: Interface(name=LOOPBACK, index=1, addresses=frozenset(_hosts(_OWN)), is_loopback=True)
    }
    routes: list[tuple[Net, str]] = [(net, LOOPBACK) for net in _OWN]
    for number, spec in enumerate(specs(test.host, "interfaces")):
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
    routes += wires(workloads, interfaces, test)
    for number, spec in enumerate(specs(test.host, "routes")):
        routes += _route(spec, join("host", "routes", number), interfaces, routes, test, problems)
    return interfaces, routes


def wires(
    workloads: Iterable[WorkloadEndpoint], interfaces: dict[str, Interface], test: Scenario
) -> list[tuple[Net, str]]:
    """The routes to workloads, whose interfaces are there afterwards."""
    found = []
    for endpoint in workloads:
        name = endpoint.interface_name
        interfaces.setdefault(name, Interface(name=name, index=len(interfaces) + 1, forwards=_forwards(test)))
        found += [(net, name) for net in endpoint.nets]
    return found


def _forwards(test: Scenario) -> frozenset[int]:
    return frozenset((4, 6)) if test.host.get("forwarding", True) else frozenset()


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
