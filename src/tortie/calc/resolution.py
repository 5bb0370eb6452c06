"""Which host endpoint governs which interface, and what every endpoint of this node is told about it.

Source: reference dataplane-policy.md A.3; semantics.md, rows "Which host endpoint an interface gets", "Wildcard
endpoint" and "Loopback" win.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tortie.calc.settings import HostSettings
from tortie.model.desired import EndpointStatus
from tortie.model.endpoint import WILDCARD, HostEndpoint, Interface


@dataclass(frozen=True, slots=True)
class Resolution:
    """The endpoint of each governed interface, and a status for every endpoint of this node, by name.

    `wildcard`: the endpoint `*` that holds, which workload interfaces have in part even where it governs none.
    """

    governors: Mapping[str, HostEndpoint]
    statuses: tuple[EndpointStatus, ...] = ()
    wildcard: HostEndpoint | None = None


def why_not(interface: Interface, settings: HostSettings) -> str | None:
    """Why no endpoint may govern this interface, None where one may."""
    name = interface.name
    if interface.is_loopback or name == "lo":
        return f"{name} is the loopback interface, which is never policed"
    # An empty prefix would make every interface a workload's and leave the host open.
    if prefix := next((p for p in settings.interface_prefixes if p and name.startswith(p)), None):
        return f"{name} is a workload interface: its name starts with {prefix!r} (interfacePrefix)"
    if settings.excludes(name):
        return f"{name} is excluded (interfaceExclude)"
    return None


def resolve(
    endpoints: Iterable[HostEndpoint], interfaces: Mapping[str, Interface], settings: HostSettings
) -> Resolution:
    """The winner of each interface: the smallest name among named and IP-only endpoints, else the smallest wildcard."""
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.name)
    refused = {name: reason for name, interface in interfaces.items() if (reason := why_not(interface, settings))}
    eligible = {name: interface for name, interface in sorted(interfaces.items()) if name not in refused}
    holders: dict[tuple[int, int], list[str]] = {}
    for name, interface in interfaces.items():
        for net in interface.addresses:
            holders.setdefault((net.version, net.address), []).append(name)
    governors: dict[str, HostEndpoint] = {}
    wanted: dict[str, list[str]] = {}
    for endpoint in ordered:
        if endpoint.interface_name == WILDCARD:
            continue
        wanted[endpoint.name] = sorted(_wants(endpoint, interfaces, holders))
        for name in wanted[endpoint.name]:
            if name in eligible:
                governors.setdefault(name, endpoint)
    wildcards = [endpoint for endpoint in ordered if endpoint.interface_name == WILDCARD]
    if wildcards:
        for name in eligible:
            governors.setdefault(name, wildcards[0])
    statuses = []
    for endpoint in ordered:
        governed = tuple(sorted(name for name, winner in governors.items() if winner is endpoint))
        if endpoint.interface_name == WILDCARD:
            problem = _wildcard_problem(endpoint, wildcards[0], governed)
        else:
            problem = _problem(endpoint, wanted[endpoint.name], governors, refused)
        statuses.append(EndpointStatus(endpoint.name, governed, problem))
    return Resolution(dict(sorted(governors.items())), tuple(statuses), next(iter(wildcards), None))


def _wants(
    endpoint: HostEndpoint, interfaces: Mapping[str, Interface], holders: Mapping[tuple[int, int], list[str]]
) -> set[str]:
    """The interfaces that a named or IP-only endpoint asks for; a named one never matches by address."""
    if endpoint.interface_name is not None:
        return {endpoint.interface_name} & interfaces.keys()
    return {name for net in endpoint.expected_ips for name in holders.get((net.version, net.address), ())}


def _problem(
    endpoint: HostEndpoint, wanted: list[str], governors: Mapping[str, HostEndpoint], refused: Mapping[str, str]
) -> str | None:
    if not wanted and endpoint.interface_name is not None:
        return f"this host has no interface {endpoint.interface_name}"
    if not wanted:
        return "no interface of this host has one of its expectedIPs"
    problems = []
    for name in wanted:
        if name in refused:
            problems.append(refused[name])
        elif (winner := governors[name]) is not endpoint:
            problems.append(f"{name} is governed by host endpoint {winner.name}, whose name comes first")
    return "; ".join(problems) or None


def _wildcard_problem(endpoint: HostEndpoint, winner: HostEndpoint, governed: tuple[str, ...]) -> str | None:
    if endpoint is not winner:
        return f"host endpoint {winner.name} is the wildcard of this node, because its name comes first"
    return None if governed else "no interface of this host is left for the wildcard"
